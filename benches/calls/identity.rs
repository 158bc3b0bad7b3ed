//! What it costs to know who asks: a token that was seen a moment ago and one that was not, of every kind,
//! and a whole sign-in through the facade, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, KeyChange, Purpose, keys_change};
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::demo::{FACADE, Way, config_text};
use tollgate::gate::Gate;
use tollgate::identity::Bearer;
use tollgate::identity::issuer::{DemoClient, DemoIssuer, DemoSpec};
use tollgate::identity::services::Terms;

use crate::Plan;
use crate::issuer::Issuer;
use crate::sign_in::Program;
use crate::site::Site;
use crate::table::{Times, micros, say, table};

/// Who signs in.
pub(crate) const PERSON: &str = "developer";
/// At most so many sign-ins: the server lets one address open 120 pages at once, and each takes five.
const SIGN_INS: u32 = 20;
/// At most so many exchanges of refresh tokens: a session keeps its newest 64 access tokens.
const REFRESHES: u32 = 50;
/// At most so many API keys: each is made on record.
const KEYS: u32 = 60;

pub(crate) async fn print(site: &Site, issuer: &Issuer, plan: Plan) -> Result<()> {
    let world = Arc::new(System::new());
    let (place, stop) = Place::start(site, issuer, world.clone(), plan).await?;
    let mut program = Program::new(&place.url, &place.secret, world.clone())?;
    let mut signed_in = Vec::new();
    for _ in 0..(plan.calls / 50).clamp(3, SIGN_INS) {
        signed_in.push(program.sign_in().await?);
    }
    let mut ours: Vec<String> = signed_in.iter().map(|tokens| tokens.access.clone()).collect();
    let mut latest = signed_in.pop().context("nobody signed in")?;
    for _ in 0..(plan.calls / 5).clamp(20, REFRESHES) {
        latest = program.refresh(&latest).await?;
        ours.push(latest.access.clone());
    }
    let count = plan.calls / 5;
    let signed = (0..count).map(|n| issuer.token(&place.audience, &format!("person-{n}"), &["surveyor"]));
    let opaque = (0..count).map(|n| format!("opaque-{n:08}-of-another-issuer"));
    let rows = [
        ("of the facade (`tga_`)", ours),
        ("an issuer's own (JWT, EdDSA)", signed.collect()),
        ("an API key (`tgk_`)", place.keys.clone()),
        ("opaque (its issuer is asked)", opaque.collect()),
    ];
    let mut cells = Vec::new();
    for (name, tokens) in rows {
        cells.push(checks(&place.gate, &*world, name, &tokens, plan).await?);
    }
    table(
        "Who asks? A token is checked, in this process, µs (aim: less than 20 for one seen a moment ago)",
        &["", "tokens", "first p50", "p95", "seen p50", "p95"],
        &cells,
    )?;
    program.print()?;
    stop.cancel();
    say(
        "  browser, program, facade and the demo's identity provider are all in this process and on its two threads",
    )
}

/// Checks every token for the first time, and then one of them over and over.
async fn checks(
    gate: &Gate,
    world: &dyn World,
    name: &str,
    tokens: &[String],
    plan: Plan,
) -> Result<Vec<String>> {
    let (mut first, mut seen) = (Times::default(), Times::default());
    let (warm, tokens) = tokens.split_first().context("no tokens")?; // keys and endpoints are looked up once
    check(gate, world, warm).await?;
    for token in tokens {
        first.add(check(gate, world, token).await?);
    }
    check(gate, world, warm).await?;
    for _ in 0..plan.calls {
        seen.add(check(gate, world, warm).await?);
    }
    let mut cells = vec![name.to_owned(), tokens.len().to_string()];
    cells.extend([&mut first, &mut seen].into_iter().flat_map(|times| {
        [50, 95].map(|percent| format!("{:.1}", times.percentile(percent).as_secs_f64() * 1e6))
    }));
    Ok(cells)
}

async fn check(gate: &Gate, world: &dyn World, token: &str) -> Result<Duration> {
    let start = world.monotonic();
    let admitted = gate.admit(Bearer(Some(token))).await;
    let took = world.monotonic() - start;
    admitted.ok().context("a token of the benchmark is refused")?;
    Ok(took)
}

/// One server that takes tokens of every kind.
struct Place {
    url: String,
    audience: String,
    gate: Arc<Gate>,
    secret: String,
    keys: Vec<String>,
}

impl Place {
    async fn start(
        site: &Site,
        issuer: &Issuer,
        world: Arc<System>,
        plan: Plan,
    ) -> Result<(Self, CancellationToken)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let audience = format!("{url}/mcp");
        let config = config(site, &url, issuer, &tells(&audience, world.as_ref()).await?)?;
        let keys = keys(&config, (plan.calls / 10).min(KEYS)).await?;
        let (demo, secrets) = DemoIssuer::start(people(&url), world)?;
        let app = App::build(Config::load(&config)?, Purpose::Demo(Arc::new(demo))).await?;
        let gate = app.gate.clone();
        let stop = CancellationToken::new();
        tokio::spawn(app.serve(listener, stop.clone()));
        let (_, secret) = secrets.into_iter().next().context("nobody lives there")?;
        let place = Self {
            url,
            audience,
            gate,
            secret: secret.to_string(),
            keys,
        };
        Ok((place, stop))
    }
}

fn people(url: &str) -> DemoSpec {
    DemoSpec {
        url: format!("{url}/demo"),
        users: BTreeMap::from([(PERSON.to_owned(), BTreeSet::from(["developer".to_owned()]))]),
        clients: vec![DemoClient {
            id: FACADE.to_owned(),
            redirect_uris: [format!("{url}/oauth/callback/demo")].into(),
            terminal: false,
        }],
    }
}

fn config(site: &Site, url: &str, issuer: &Issuer, asked: &str) -> Result<PathBuf> {
    for name in ["facade.key", "introspection.secret"] {
        let mut options = std::fs::File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(site.path(name))?;
        std::io::Write::write_all(&mut file, &[b'k'; 32])?;
    }
    let key = site.path("facade.key");
    let secret = site.path("introspection.secret");
    let text = config_text(url, None, "demo", &format!("{url}/demo"), Way::Facade(&key))
        .replace("journal.db", "identity.db")
        .replace("labels = [\"work\"]", "labels = [\"work\", \"bench\", \"asks\"]") // the site's policies name them
        .replace(
            "[groups]\n",
            "[groups]\nsurveyor = [\"bench:surveyor\", \"asked:surveyor\"]\n",
        );
    let more = format!(
        "\n[[issuer]]\nname = \"bench\"\nurl = \"{}\"\nmode = \"bearer\"\naudience = \"{url}/mcp\"\ngroups_claim = \"/groups\"\n\
         \n[[issuer]]\nname = \"asked\"\nurl = \"{asked}\"\nmode = \"bearer\"\naudience = \"{url}/mcp\"\ngroups_claim = \"/groups\"\n\
         opaque = true\nclient_id = \"tollgate\"\nclient_secret = \"file:{}\"\n",
        issuer.url,
        secret.display(),
    );
    let file = site.path("identity.toml");
    std::fs::write(&file, text + &more)?;
    Ok(file)
}

/// Keys of as many services.
async fn keys(config: &std::path::Path, count: u32) -> Result<Vec<String>> {
    let config = Config::load(config)?;
    let mut keys = Vec::new();
    for n in 0..count.max(3) {
        let terms = Terms {
            service: format!("service-{n}"),
            groups: ["developer".to_owned()].into(),
            tools: ["sql_query".to_owned()].into(),
            resources: ["shop".to_owned()].into(),
            life: Duration::from_secs(3600),
        };
        let (_, text) = keys_change(&config, KeyChange::Create(terms)).await?;
        keys.push(text.context("a new key has a text")?.expose().to_owned());
    }
    Ok(keys)
}

/// An issuer that says of every token that it is good (RFC 7662); its address.
async fn tells(audience: &str, world: &dyn World) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let metadata = json!({
        "issuer": url, "jwks_uri": format!("{url}/jwks"), "token_endpoint": format!("{url}/token"),
        "authorization_endpoint": format!("{url}/authorize"), "introspection_endpoint": format!("{url}/introspect"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    });
    let now = world.now().seconds();
    let answer = json!({
        "active": true, "token_type": "Bearer", "iss": url, "aud": audience, "sub": "person-1", "client_id": "bench",
        "scope": "mcp", "groups": ["surveyor"], "iat": now, "exp": now + 3600,
    });
    let router = Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(move || async move { Json(metadata) }),
        )
        .route("/introspect", post(move || async move { Json(answer) }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// A row: what it is, how many requests it takes, and how long it took.
pub(crate) fn row(name: &str, requests: &str, times: &mut Times) -> Vec<String> {
    vec![
        name.to_owned(),
        requests.to_owned(),
        times.len().to_string(),
        micros(times.percentile(50)),
        micros(times.percentile(95)),
    ]
}
