//! A site on disk (shop database, repository, policies, tools, configuration) and a Tollgate on it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tollgate::demo::{client::Client, repo, shop};

use super::issuer::Issuer;

/// A key that opens nothing, put together here so that no scanner mistakes this file.
pub(crate) fn planted_key() -> String {
    format!("AKIA{}", "Q7ZL2NTVX4WJ3MRB")
}

/// Analysts read the shop; no obligations.
pub(crate) const ANALYSTS: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"shop");
"#;

/// The configuration with its store at another address.
pub(crate) fn on_server(config: &str, store: &str) -> String {
    let file = config.lines().find(|line| line.starts_with("url = \"sqlite:"));
    let file = file.expect("a store that is a file");
    config.replacen(file, &format!("url = \"{store}\""), 1)
}

/// A schema that no other site has.
fn schema(dir: &Path) -> String {
    let hash = tollgate::call::Hash::of(dir.to_str().unwrap().as_bytes()).hex();
    format!("s{}", hash.get(..24).unwrap())
}

/// Everything one Tollgate needs.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) issuer: Issuer,
    pub(crate) listener: Option<tokio::net::TcpListener>,
    pub(crate) url: String,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::on(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()).await
    }

    /// For a process of its own, which has to take the port itself: one that the system gives nobody
    /// who asks for just any.
    pub(crate) async fn for_process() -> Self {
        Self::on(Self::free_port().await).await
    }

    /// A port that the system gives nobody who asks for just any.
    pub(crate) async fn free_port() -> tokio::net::TcpListener {
        let mut random = [0; 2];
        loop {
            tollgate::clock::World::random(&tollgate::clock::System::new(), &mut random);
            let port = 20_000 + u16::from_le_bytes(random) % 10_000;
            if let Ok(listener) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
                return listener;
            }
        }
    }

    async fn on(listener: tokio::net::TcpListener) -> Self {
        let dir = tempfile::tempdir().unwrap();
        shop::create(&dir.path().join("shop.db")).unwrap();
        repo::create(dir.path(), Path::new("/nonexistent"), &planted_key()).unwrap();
        copy(&root().join("policies"), &dir.path().join("policies"));
        copy(&root().join("tools"), &dir.path().join("tools"));
        let issuer = Issuer::start().await;
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config =
            tollgate::demo::config_text(&url, None, "test", &issuer.url, tollgate::demo::Way::Bearer);
        let config = match std::env::var("TOLLGATE_TEST_POSTGRES") {
            Ok(server) => on_server(&config, &format!("{server}?schema={}", schema(dir.path()))),
            Err(_) => config,
        };
        std::fs::write(dir.path().join("tollgate.toml"), config).unwrap();
        Self {
            dir,
            issuer,
            listener: Some(listener),
            url,
        }
    }

    /// A side for people at this port of loopback, whose client at the issuer is `client`.
    pub(crate) fn add_control(&self, port: u16, client: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let server = format!(
            "[server]\ncontrol_listen = \"127.0.0.1:{port}\"\ncontrol_url = \"http://localhost:{port}\"\n"
        );
        let issuer = format!("[[issuer]]\ncontrol_audience = \"{client}\"\n");
        let text = text
            .replacen("[server]\n", &server, 1)
            .replacen("[[issuer]]\n", &issuer, 1);
        std::fs::write(self.config(), text).unwrap();
    }

    /// Adds to the end of the configuration.
    pub(crate) fn configure(&self, more: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), format!("{text}\n{more}")).unwrap();
    }

    /// Other policies, without decision tests.
    pub(crate) fn set_policies(&self, text: &str) {
        let folder = self.dir.path().join("policies");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("all.cedar"), text).unwrap();
    }

    /// Statements of analysts may run for an hour: what ends earlier was ended by something else.
    pub(crate) fn allow_long_statements(&self) {
        self.set_policies(ANALYSTS);
        self.configure("[limits]\nseconds = 3600\n");
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("tollgate.toml")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}/mcp", self.url)
    }

    /// A token for `subject` in `groups`, as the demo's configuration maps them.
    pub(crate) fn token(&self, subject: &str, groups: &[&str]) -> String {
        self.issuer.token(&self.endpoint(), subject, groups)
    }

    /// A client of `subject` in `groups`.
    pub(crate) fn client_in(&self, subject: &str, groups: &[&str]) -> Client {
        let token = self.token(subject, groups);
        Client::new(
            tollgate::app::http_client().unwrap(),
            &self.endpoint(),
            token,
            "test",
        )
    }

    /// A client whose token names no client, so that nobody vouches for the agent.
    pub(crate) fn unvouched_client(&self, subject: &str, groups: &[&str]) -> Client {
        let token = self.issuer.anonymous_agent(&self.endpoint(), subject, groups);
        Client::new(
            tollgate::app::http_client().unwrap(),
            &self.endpoint(),
            token,
            "test",
        )
    }

    /// Starts Tollgate in this process, on the listener whose port the configuration names.
    pub(crate) async fn serve(&mut self) -> Server {
        let config = tollgate::config::Config::load(&self.config()).unwrap();
        let shutdown = CancellationToken::new();
        let listener = self.listener.take().expect("served twice");
        let app = tollgate::app::App::build(config, tollgate::app::Purpose::Serve)
            .await
            .unwrap();
        let task = tokio::spawn(app.serve(listener, shutdown.clone()));
        Server { shutdown, task }
    }
}

/// A Tollgate that is serving.
pub(crate) struct Server {
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Server {
    /// Drains it, as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// The structured content of a tool result.
pub(crate) fn envelope(result: &Value) -> &Value {
    &result["structuredContent"]
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
