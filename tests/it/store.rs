//! The store on a real PostgreSQL: several replicas of the real binary over one database.

mod approvers;
mod channels;
mod copies;
mod killed;
mod outages;
mod refusals;
mod replicas;
mod rolling;
mod silence;
mod stats;

use std::path::PathBuf;

use crate::support::agent::Agent;
use crate::support::governed::{Governed, Person};
use crate::support::postgres::Postgres;
use crate::support::process::Process;
use crate::support::site::{Site, on_server};

const SECRET: &str = "password-of-the-store";

/// A server as the store needs it, with a database and a role of its own.
async fn server() -> Postgres {
    let pg = Postgres::start_with(&["fsync=on"]).await;
    pg.sql(
        "postgres",
        &format!("CREATE ROLE tollgate LOGIN PASSWORD '{SECRET}'"),
    );
    pg.sql("postgres", "CREATE DATABASE gate OWNER tollgate");
    pg
}

/// An organisation's Tollgate on two replicas, here and there.
struct Two {
    pg: Postgres,
    all: Governed,
    there: PathBuf,
    address: String,
    /// Where the people's side of the other replica listens.
    control: String,
}

impl Two {
    async fn new(hold: u32) -> Self {
        let pg = server().await;
        let all = Governed::new(hold).await;
        let folder = all.site.dir.path();
        std::fs::write(folder.join("store-password"), SECRET).unwrap();
        private(&folder.join("store-password"));
        let text = std::fs::read_to_string(all.site.config()).unwrap();
        let text = on_server(&text, &pg.url("tollgate", "gate"));
        let secret = format!(
            "[store]\npassword = \"file:{}\"\n",
            folder.join("store-password").display()
        );
        let here = text.replacen("[store]\n", &secret, 1);
        std::fs::write(all.site.config(), &here).unwrap();
        let (address, port) = (free().await, free().await.rsplit_once(':').unwrap().1.to_owned());
        let own = all.site.url.trim_start_matches("http://");
        let listen = |at: &str| format!("listen = \"{at}\"");
        let mine = here.lines().find(|line| line.starts_with("control_listen"));
        let other = here
            .replacen(
                &format!("\n{}", listen(own)),
                &format!("\n{}", listen(&address)),
                1,
            )
            .replacen(
                mine.unwrap(),
                &format!("control_listen = \"127.0.0.1:{port}\""),
                1,
            );
        assert!(other.contains(&address), "{other}");
        let there = folder.join("there.toml");
        std::fs::write(&there, other).unwrap();
        Self {
            pg,
            there,
            address,
            control: port,
            all,
        }
    }

    async fn serve_here(&mut self) -> Process {
        self.all.serve().await
    }

    async fn serve_there(&self) -> Process {
        Process::replica(&self.all.site, &self.there).await
    }

    fn site(&self) -> &Site {
        &self.all.site
    }

    /// The configuration of both, changed before they start.
    fn configure(&self, change: impl Fn(&str) -> String) {
        for file in [self.site().config(), self.there.clone()] {
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, change(&text)).unwrap();
        }
    }

    /// Somebody who has just signed in, at either replica.
    fn person(&self, subject: &str, groups: &[&str]) -> [Person; 2] {
        let here = self.all.person(subject, groups);
        let there = here.by(&self.control);
        [here, there]
    }

    /// The same agent through the other replica.
    fn there(&self, agent: &Agent) -> Agent {
        agent.by(&self.address)
    }

    fn sql(&self, script: &str) -> String {
        self.pg.sql("gate", script)
    }
}

async fn free() -> String {
    Site::free_port().await.local_addr().unwrap().to_string()
}

fn private(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
