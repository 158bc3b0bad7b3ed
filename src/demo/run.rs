//! Sets the demo up, plays it, and leaves it running if asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::changes::{self, Cast};
use super::client::Client;
use super::people::Desk;
use super::play::{Stage, session};
use super::register::{Place, register};
use super::{CONTROL, FACADE, Way, agents, config_text, repo, shop};
use crate::app::{self, App, Purpose};
use crate::audit::Audit;
use crate::audit::list::Query;
use crate::clock::{System, World};
use crate::config::Config;
use crate::identity::issuer::{Credential, DemoClient, DemoIssuer, DemoSpec};
use crate::ownership::shell_word;

/// Marks a folder as ours to remove.
const MARKER: &str = ".tollgate-demo";
/// Where `--serve` listens if it can, as the documentation says.
const USUAL: &str = "127.0.0.1:7330";
const USUAL_CONTROL: &str = "127.0.0.1:7331";

const POLICIES: &[(&str, &str)] = &[
    (
        "10-everyone.cedar",
        include_str!("../../policies/10-everyone.cedar"),
    ),
    (
        "20-analyst.cedar",
        include_str!("../../policies/20-analyst.cedar"),
    ),
    (
        "30-developer.cedar",
        include_str!("../../policies/30-developer.cedar"),
    ),
    ("40-dba.cedar", include_str!("../../policies/40-dba.cedar")),
    (
        "tests/starter.toml",
        include_str!("../../policies/tests/starter.toml"),
    ),
];
const TOOLS: &[(&str, &str)] = &[
    (
        "orders_of_customer.toml",
        include_str!("../../tools/orders_of_customer.toml"),
    ),
    ("top_products.toml", include_str!("../../tools/top_products.toml")),
    (
        "revenue_by_month.toml",
        include_str!("../../tools/revenue_by_month.toml"),
    ),
    (
        "customer_overview.toml",
        include_str!("../../tools/customer_overview.toml"),
    ),
    ("find_text.toml", include_str!("../../tools/find_text.toml")),
];

/// How to play.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder to make everything in; made new each time.
    pub dir: PathBuf,
    /// Stay after the session and print how to register.
    pub serve: bool,
    /// Colours.
    pub colour: bool,
}

/// Plays the demo to `out`.
///
/// # Errors
/// When something cannot be set up, or the session shows what it must not.
pub async fn run(options: &Options, out: &mut (dyn Write + Send), shutdown: CancellationToken) -> Result<()> {
    let made = site(&options.dir)?;
    let listener = listen_at(options.serve.then_some(USUAL)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let control = listen_at(options.serve.then_some(USUAL_CONTROL)).await?;
    let port = control.local_addr()?.port();
    let desk = Desk {
        url: format!("http://localhost:{port}/").parse()?,
        issuer: format!("{url}/demo"),
        client_id: CONTROL.to_owned(),
    };
    let config = options.dir.join("tollgate.toml");
    let key = std::path::absolute(options.dir.join("facade.key"))?;
    private(&key, &random(&System::new()))?;
    let text = config_text(&url, Some(port), "demo", &desk.issuer, Way::Facade(&key));
    std::fs::write(&config, text)?;
    let (issuer, secrets) = DemoIssuer::start(users(&url, &desk), Arc::new(System::new()))?;
    let app = App::build(Config::load(&config)?, Purpose::Demo(Arc::new(issuer))).await?;
    let gate = app.gate.clone();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(app.serve_both(listener, Some(control), stop.clone()));

    let mut stage = Stage::new(out, options.colour);
    introduce(&mut stage, &made, &options.dir, &url)?;
    if options.serve && !url.ends_with(USUAL) {
        stage.say(&format!("{USUAL} is taken, so it is another port this time"))?;
    }
    let endpoint = format!("{url}/mcp");
    let everybody = Everybody {
        endpoint: &endpoint,
        secrets: &secrets,
    };
    everybody.play(&mut stage, &desk, &made.key).await?;
    journal(&mut stage, &config, &gate.audit).await?;
    if options.serve {
        let place = Place {
            endpoint: &endpoint,
            control: desk.url.as_str().trim_end_matches('/'),
            program: &ourselves(),
            config: &shell_word(&config),
        };
        register(&mut stage, &place, &secrets)?;
        everybody.stay(&mut stage, &desk, &shutdown).await?;
    }
    stop.cancel();
    serving.await??;
    if options.serve {
        stage.scene("Stopped")?;
        let report = app::audit_verify(&Config::load(&config)?, None, None).await?;
        stage.verified(&report)?;
    }
    Ok(())
}

struct Made {
    /// Locked as long as this demo lives: the next one must not remove the folder under it.
    _marker: File,
    key: String,
    own_history: bool,
}

/// Who plays, by login name.
struct Everybody<'a> {
    endpoint: &'a str,
    secrets: &'a [Credential],
}

impl Everybody<'_> {
    /// An agent, after its person has signed in for it.
    async fn agent(&self, user: &str) -> Result<Client> {
        let token = agents::token(self.endpoint, user, self.secret(user)?).await?;
        Ok(Client::new(
            app::http_client()?,
            self.endpoint,
            token,
            "demo-agent",
        ))
    }

    fn secret(&self, user: &str) -> Result<&str> {
        let found = self.secrets.iter().find(|(name, _)| name == user);
        Ok(found.context("no such user")?.1.as_str())
    }

    async fn play(&self, stage: &mut Stage<'_>, desk: &Desk, planted: &str) -> Result<()> {
        let developer = self.agent("developer").await?;
        session(stage, &self.agent("analyst").await?, &developer, planted).await?;
        changes::commands(stage, &developer).await?;
        changes::change(stage, self.cast().await?, desk).await
    }

    /// Leaves one agent waiting for a person, and goes on until it is stopped.
    async fn stay(&self, stage: &mut Stage<'_>, desk: &Desk, shutdown: &CancellationToken) -> Result<()> {
        let cast = self.cast().await?;
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            waited = changes::left_waiting(stage, cast, desk) => waited?,
        }
        stage.say("")?;
        stage.say("The demo goes on until you stop it with Ctrl-C.")?;
        shutdown.cancelled().await;
        Ok(())
    }

    /// Who changes, and who decides.
    async fn cast(&self) -> Result<Cast<'_>> {
        Ok(Cast {
            agent: self.agent("dba").await?,
            requester: ("dba", self.secret("dba")?),
            reviewer: ("lead", self.secret("lead")?),
        })
    }
}

/// Everything on disk, in a folder that is empty, new, or ours.
fn site(dir: &Path) -> Result<Made> {
    if let Ok(marker) = File::open(dir.join(MARKER)) {
        if marker.try_lock().is_err() {
            bail!(
                "a demo is running in {}: stop it first with Ctrl-C, or give another folder with --dir",
                dir.display()
            );
        }
        std::fs::remove_dir_all(dir).with_context(|| format!("remove the last demo in {}", dir.display()))?;
    }
    let occupied = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        bail!(
            "{} is not empty and was not made by the demo; give a new folder with --dir",
            dir.display()
        );
    }
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let mut marker = File::create(dir.join(MARKER))?;
    marker.write_all(b"made by `tollgate demo`; removed by its next start\n")?;
    marker.lock()?;
    for (folder, files) in [("policies", POLICIES), ("tools", TOOLS)] {
        for (name, text) in files {
            let path = dir.join(folder).join(name);
            std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            std::fs::write(path, text)?;
        }
    }
    let key = planted(&System::new());
    let shared = dir.join("work/shared");
    std::fs::create_dir_all(&shared)?;
    std::fs::write(shared.join("app.log"), log(&key))?;
    shop::create(&dir.join("shop.db")).context("the shop's database")?;
    let made = repo::create(dir, Path::new("."), &key).context("the repository")?;
    Ok(Made {
        _marker: marker,
        key,
        own_history: made.own_history,
    })
}

/// A log such as shops write, with a key in it that should not be there.
fn log(key: &str) -> String {
    let mut text = String::new();
    for minute in 10..40 {
        let line = match minute % 9 {
            0 => "ERROR payment provider timed out".to_owned(),
            5 => "WARN  retrying order 19".to_owned(),
            _ => "INFO  order stored".to_owned(),
        };
        text += &format!("2026-03-01T08:{minute}:00Z {line}\n");
    }
    text + &format!("2026-03-01T08:40:00Z DEBUG upload with {key}\n")
}

/// Looks like a cloud access key and opens nothing.
fn planted(world: &dyn World) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 16];
    world.random(&mut bytes);
    let letters = bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)).copied().map(char::from));
    ["AK", "IA"].concat() + &letters.collect::<String>()
}

/// Listens where the documentation says, if asked to and it is free, else on any port of loopback.
async fn listen_at(usual: Option<&str>) -> Result<TcpListener> {
    if let Some(usual) = usual
        && let Ok(listener) = TcpListener::bind(usual).await
    {
        return Ok(listener);
    }
    TcpListener::bind("127.0.0.1:0")
        .await
        .context("listen on loopback")
}

/// Two who read, an administrator who asks for changes, and who decides: about those, and about the
/// scripts of the developer.
fn users(url: &str, desk: &Desk) -> DemoSpec {
    let user = |name: &str, groups: &str| {
        let groups: BTreeSet<String> = groups.split(' ').map(str::to_owned).collect();
        (name.to_owned(), groups)
    };
    DemoSpec {
        url: desk.issuer.clone(),
        users: BTreeMap::from([
            user("analyst", "analyst"),
            user("developer", "developer"),
            user("dba", "dba"),
            user("lead", "dba developer"),
        ]),
        clients: vec![
            DemoClient {
                id: desk.client_id.clone(),
                redirect_uris: [desk.url.join("signed-in/demo")]
                    .into_iter()
                    .flatten()
                    .map(String::from)
                    .collect(),
                terminal: true,
            },
            DemoClient {
                id: FACADE.to_owned(),
                redirect_uris: [format!("{url}/oauth/callback/demo")].into(),
                terminal: false,
            },
        ],
    }
}

/// 32 unpredictable bytes, as text.
fn random(world: &dyn World) -> String {
    let mut bytes = [0; 32];
    world.random(&mut bytes);
    crate::call::hex(&bytes)
}

/// A file that nobody else reads.
fn private(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("make {}", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}

fn introduce(stage: &mut Stage<'_>, made: &Made, dir: &Path, url: &str) -> Result<()> {
    let history = if made.own_history {
        "this project's own history"
    } else {
        "a generated history"
    };
    stage.scene("Tollgate: what an agent gets, and what it does not")?;
    stage.say(&format!(
        "made in {}: a shop (SQLite, 2,000 customers)",
        dir.display()
    ))?;
    stage.say(&format!(
        "and a git repository ({history}, and one commit with a key in it)"
    ))?;
    stage.say(&format!("serving MCP at {url}/mcp;"))?;
    stage.say("every answer below came over that wire")
}

/// What the journal says of the session, while the server runs.
async fn journal(stage: &mut Stage<'_>, config: &Path, audit: &Audit) -> Result<()> {
    stage.scene("6. On record: exactly what the model was offered")?;
    audit.checkpoint().await?; // signed now rather than in a while
    let file = shell_word(config);
    let config = Config::load(config)?;
    let everything = Query {
        limit: 100,
        ..Query::default()
    };
    let page = app::audit_replay(&config, &everything).await?;
    stage.replayed(&page.items)?;
    stage.say("")?;
    stage.verified(&app::audit_verify(&config, None, None).await?)?;
    stage.say(&format!(
        "look yourself: {} audit replay --config {file}",
        ourselves()
    ))
}

/// This program, as the reader can call it from here.
fn ourselves() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tollgate"));
    let here = std::env::current_dir().unwrap_or_default();
    shell_word(program.strip_prefix(&here).unwrap_or(&program))
}
