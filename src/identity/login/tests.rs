//! What servers, issuers and programs beside us could do to a login, with a network in memory and a real
//! loopback port. Against a certified provider: `tests/it/login`.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::*;
use crate::clock::Timestamp;
use crate::identity::fetch::{FetchError, Fetched, Form};

const SERVER: &str = "https://gate.example.com";
const ISSUER: &str = "https://login.example.com/realm";

#[derive(Debug, Default)]
struct Clock {
    random: AtomicU64,
    seconds: AtomicU64,
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp((1_800_000_000 + self.seconds.load(Ordering::SeqCst)) * 1000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let hash = crate::call::Hash::of(&self.random.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&hash.0[..chunk.len()]);
        }
    }
}

/// Answers by address; what was posted, and with which credential something was asked, is kept.
#[derive(Debug, Default)]
struct Network {
    pages: Mutex<HashMap<String, (u16, Value)>>,
    posted: Mutex<Vec<(String, BTreeMap<String, String>)>>,
    asked_as: Mutex<Vec<(String, String)>>,
    /// Taken by every post: a test that holds it keeps answers from arriving.
    wire: tokio::sync::Mutex<()>,
}

impl Network {
    fn serve(&self, url: &str, status: u16, body: Value) {
        self.pages.lock().unwrap().insert(url.to_owned(), (status, body));
    }

    fn answer(&self, url: &Url) -> Result<Fetched, FetchError> {
        let page = self.pages.lock().unwrap().get(url.as_str()).cloned();
        let (status, body) = page.unwrap_or((404, Value::Null));
        Ok(Fetched {
            status,
            cache_control: None,
            body: body.to_string().into_bytes(),
        })
    }

    fn posts(&self) -> usize {
        self.posted.lock().unwrap().len()
    }
}

impl Fetch for Network {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move { self.answer(url) })
    }

    fn get_as<'a>(
        &'a self,
        url: &'a Url,
        authorization: &'a str,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.asked_as
            .lock()
            .unwrap()
            .push((url.to_string(), authorization.to_owned()));
        Box::pin(async move { self.answer(url) })
    }

    fn post<'a>(&'a self, url: &'a Url, form: Form<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let fields = form
                .fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            self.posted
                .lock()
                .unwrap()
                .push((url.to_string(), fields.collect()));
            let _wire = self.wire.lock().await;
            self.answer(url)
        })
    }
}

fn site() -> Site {
    Site::parse(SERVER).unwrap()
}

/// A server with an issuer of the organisation's own, as both would be.
fn network() -> Network {
    let network = Network::default();
    network.serve(
        "https://gate.example.com/.well-known/oauth-protected-resource/mcp",
        200,
        json!({
            "resource": "https://gate.example.com/mcp",
            "authorization_servers": [ISSUER],
            "scopes_supported": ["mcp:read"],
            "tollgate_login_client_ids": {ISSUER: "tollgate-login"},
        }),
    );
    network.serve(
        "https://login.example.com/.well-known/oauth-authorization-server/realm",
        200,
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example.com/authorize?tenant=1",
            "token_endpoint": "https://login.example.com/token",
            "device_authorization_endpoint": "https://login.example.com/device",
            "revocation_endpoint": "https://login.example.com/revoke",
            "scopes_supported": ["openid", "offline_access"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        }),
    );
    network.serve(
        "https://login.example.com/token",
        200,
        json!({"access_token": "at-1", "refresh_token": "rt-1", "token_type": "Bearer", "expires_in": 600}),
    );
    network
}

async fn plan(network: &Network) -> Result<Plan, LoginError> {
    Plan::find(network, &site(), None, None).await
}

/// The good document at this address with one member changed.
fn change(network: &Network, url: &str, member: &str, value: Value) {
    let mut pages = network.pages.lock().unwrap();
    let page = &mut pages.get_mut(url).unwrap().1;
    page[member] = value;
}

const RESOURCE_METADATA: &str = "https://gate.example.com/.well-known/oauth-protected-resource/mcp";
const ISSUER_METADATA: &str = "https://login.example.com/.well-known/oauth-authorization-server/realm";

#[test]
fn an_address_is_taken_as_people_write_it() {
    for same in [
        "https://gate.example.com",
        "https://gate.example.com/",
        "https://GATE.example.com:443/mcp",
        " https://gate.example.com/mcp/ ",
    ] {
        let site = Site::parse(same).unwrap();
        assert_eq!(
            (site.server(), site.resource().as_str()),
            (SERVER, "https://gate.example.com/mcp"),
            "{same}"
        );
    }
    let below = Site::parse("https://example.com/gate").unwrap();
    assert_eq!(below.resource().as_str(), "https://example.com/gate/mcp");
    for wrong in [
        "gate.example.com",
        "http://gate.example.com",
        "https://a:b@gate.example.com",
        "https://gate.example.com/?x=1",
        "https://gate.example.com/#x",
        "file:///etc/passwd",
        "",
    ] {
        assert!(
            matches!(Site::parse(wrong), Err(LoginError::Address(_))),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_server_says_where_to_log_in_and_as_whom() {
    let network = network();
    let plan = plan(&network).await.unwrap();
    assert_eq!(plan.key.issuer, ISSUER);
    assert_eq!(plan.key.client_id, "tollgate-login");
    assert_eq!(plan.scope, "mcp:read offline_access");
    // The server's own authorization server knows this program; another does not, unless the server says so.
    change(
        &network,
        RESOURCE_METADATA,
        "tollgate_login_client_ids",
        Value::Null,
    );
    let unknown = Plan::find(&network, &site(), None, None).await.unwrap_err();
    assert!(matches!(unknown, LoginError::NoClient { .. }), "{unknown}");
    let given = Plan::find(&network, &site(), None, Some("mine")).await.unwrap();
    assert_eq!(given.key.client_id, "mine");
    change(
        &network,
        RESOURCE_METADATA,
        "authorization_servers",
        json!([SERVER]),
    );
    network.serve(
        "https://gate.example.com/.well-known/oauth-authorization-server",
        200,
        json!({"issuer": SERVER, "token_endpoint": "https://gate.example.com/oauth/token"}),
    );
    let own = Plan::find(&network, &site(), None, None).await.unwrap();
    assert_eq!(own.key.client_id, "tollgate-cli");
}

#[tokio::test]
async fn metadata_that_is_not_what_it_should_be_is_not_believed() {
    let cases: [(&str, &str, Value); 13] = [
        (
            RESOURCE_METADATA,
            "resource",
            json!("https://other.example.com/mcp"),
        ),
        (
            RESOURCE_METADATA,
            "resource",
            json!("https://gate.example.com/mcp/"),
        ),
        (RESOURCE_METADATA, "resource", Value::Null),
        (RESOURCE_METADATA, "authorization_servers", json!([])),
        (
            RESOURCE_METADATA,
            "authorization_servers",
            json!(["http://login.example.com/realm"]),
        ),
        (
            RESOURCE_METADATA,
            "authorization_servers",
            json!(["http://127.0.0.1:9000"]),
        ),
        (
            ISSUER_METADATA,
            "issuer",
            json!("https://login.example.com/other"),
        ),
        (
            ISSUER_METADATA,
            "issuer",
            json!("https://login.example.com/realm/"),
        ),
        (
            ISSUER_METADATA,
            "token_endpoint",
            json!("http://login.example.com/token"),
        ),
        (ISSUER_METADATA, "token_endpoint", json!("http://127.0.0.1:22/")),
        (
            ISSUER_METADATA,
            "authorization_endpoint",
            json!("javascript:alert(1)"),
        ),
        (
            ISSUER_METADATA,
            "revocation_endpoint",
            json!("http://localhost:1/"),
        ),
        (
            ISSUER_METADATA,
            "code_challenge_methods_supported",
            json!(["plain"]),
        ),
    ];
    for (url, member, value) in cases {
        let network = network();
        change(&network, url, member, value.clone());
        if member == "authorization_servers" {
            let ids = json!({value[0].as_str().unwrap_or_default(): "c"});
            change(&network, url, "tollgate_login_client_ids", ids);
        }
        let refused = plan(&network).await;
        assert!(
            matches!(refused, Err(LoginError::Metadata(_))),
            "{member} {value}: {refused:?}"
        );
        assert_eq!(network.posts(), 0);
    }
    let network = network();
    assert!(
        Plan::find(&network, &site(), Some("https://evil.example.com"), None)
            .await
            .is_err()
    );
    network.serve(RESOURCE_METADATA, 302, json!({}));
    assert!(plan(&network).await.is_err(), "a redirect is followed nowhere");
}

/// Sends a request to the port and gives the answer.
async fn knock(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Begins a login; gives the address that was shown and what becomes of it.
async fn begin(network: Arc<Network>) -> (Url, u16, tokio::task::JoinHandle<Result<Login, LoginError>>) {
    let plan = plan(&network).await.unwrap();
    let (show, shown) = tokio::sync::oneshot::channel();
    let login = tokio::spawn(async move {
        let clock = Clock::default();
        plan.by_browser(network.as_ref(), &clock, move |url| {
            show.send(url.clone()).unwrap()
        })
        .await
    });
    let url = shown.await.unwrap();
    let port = Url::parse(&parameter(&url, "redirect_uri"))
        .unwrap()
        .port()
        .unwrap();
    (url, port, login)
}

fn get(query: &str) -> String {
    format!("GET /callback?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn only_the_answer_to_this_login_ends_the_wait() {
    let network = Arc::new(network());
    let (url, port, login) = begin(Arc::clone(&network)).await;
    assert_eq!(parameter(&url, "tenant"), "1", "the endpoint's own query stays");
    assert_eq!(parameter(&url, "resource"), "https://gate.example.com/mcp");
    assert_eq!(parameter(&url, "code_challenge_method"), "S256");
    let state = parameter(&url, "state");
    let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap(); // a browser that only prepares
    for stranger in [
        get("code=stolen"),
        get("code=stolen&state=guessed"),
        get(&format!("code=stolen&state={state}&state={state}")),
        get(&format!("code=stolen&state={state}x")),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "POST /callback HTTP/1.1\r\n\r\n".to_owned(),
        "\u{1}\u{2}\r\n\r\n".to_owned(),
        format!("GET /callback?{} HTTP/1.1\r\n\r\n", "a".repeat(20_000)),
    ] {
        let answer = knock(port, &stranger).await;
        assert!(
            !answer.contains("200 OK") && !answer.contains("stolen"),
            "{answer}"
        );
    }
    assert_eq!(network.posts(), 0);
    let iss = encoded(ISSUER);
    let answer = knock(port, &get(&format!("code=good&state={state}&iss={iss}"))).await;
    assert!(answer.contains("200 OK"), "{answer}");
    let login = login.await.unwrap().unwrap();
    assert_eq!(login.tokens.access.expose(), "at-1");
    let (address, fields) = network.posted.lock().unwrap()[0].clone();
    assert_eq!(address, "https://login.example.com/token");
    assert_eq!(fields["code"], "good");
    assert_eq!(fields["resource"], "https://gate.example.com/mcp");
    assert_eq!(
        fields["redirect_uri"],
        format!("http://127.0.0.1:{port}/callback")
    );
    let challenge = {
        use base64::Engine;
        let hash = crate::call::Hash::of(fields["code_verifier"].as_bytes());
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash.0)
    };
    assert_eq!(challenge, parameter(&url, "code_challenge"));
    assert!(
        TcpStream::connect(("127.0.0.1", port)).await.is_err(),
        "the port is closed"
    );
    let shown = format!("{login:?}");
    assert!(!shown.contains("at-1") && !shown.contains("rt-1"), "{shown}");
}

/// RFC 9207: a code of another issuer (mix-up) is sent to nobody.
#[tokio::test]
async fn an_answer_of_another_issuer_ends_the_login_and_its_code_goes_nowhere() {
    for iss in ["&iss=https%3A%2F%2Fevil.example.com", "", "&iss=a&iss=b"] {
        let network = Arc::new(network());
        let (url, port, login) = begin(Arc::clone(&network)).await;
        let state = parameter(&url, "state");
        knock(port, &get(&format!("code=stolen&state={state}{iss}"))).await;
        assert_eq!(
            login.await.unwrap().unwrap_err(),
            LoginError::OtherIssuer,
            "{iss}"
        );
        assert_eq!(network.posts(), 0);
    }
}

#[tokio::test]
async fn a_denial_is_told_in_the_issuers_word_alone() {
    let network = Arc::new(network());
    let (url, port, login) = begin(Arc::clone(&network)).await;
    let (state, iss) = (parameter(&url, "state"), encoded(ISSUER));
    let query = format!("error=access_denied%1b%5b2J&error_description=x&state={state}&iss={iss}");
    knock(port, &get(&query)).await;
    let refused = login.await.unwrap().unwrap_err();
    assert_eq!(refused, LoginError::Refused("access_denied2J".to_owned()));
}

#[tokio::test]
async fn answers_of_the_token_endpoint_that_cannot_be_used_are_refused() {
    for body in [
        json!({"access_token": "at", "token_type": "DPoP"}),
        json!({"access_token": "a b", "token_type": "Bearer"}),
        json!({"access_token": "a\r\nb", "token_type": "Bearer"}),
        json!({"access_token": "a".repeat(20_000), "token_type": "Bearer"}),
        json!({"access_token": "", "token_type": "Bearer"}),
        json!({"access_token": "at", "refresh_token": "", "token_type": "Bearer"}),
        json!({"access_token": "at", "token_type": "Bearer", "expires_in": -1}),
        json!({"id_token": "x", "token_type": "Bearer"}),
        json!([]),
    ] {
        let network = network();
        network.serve("https://login.example.com/token", 200, body.clone());
        let url = Url::parse("https://login.example.com/token").unwrap();
        let asked = grant::ask(&network, &Clock::default(), &url, &[]).await;
        assert!(matches!(asked, Err(grant::Fault::Away(_))), "{body}");
    }
}

/// A folder as a login makes it, with a login whose token ends in so many seconds.
async fn kept(network: &Arc<Network>, folder: &Path, seconds: u64) -> Arc<Access> {
    let access = access(network, folder);
    let plan = plan(network).await.unwrap();
    let tokens = Tokens {
        access: Secret::new("at-0".to_owned()),
        refresh: Some(Secret::new("rt-0".to_owned())),
        expires_at: 1_800_000_000 + seconds,
    };
    access.keep(&plan.login(tokens)).await.unwrap();
    access
}

fn access(network: &Arc<Network>, folder: &Path) -> Arc<Access> {
    let fetch: Arc<dyn Fetch> = Arc::clone(network) as _;
    let cache = Cache::at(folder.join("tollgate"));
    Arc::new(Access::new(site(), cache, fetch, Arc::new(Clock::default())))
}

#[tokio::test]
async fn what_is_kept_is_ours_alone_and_shows_nothing() {
    let (network, home) = (Arc::new(network()), tempfile::tempdir().unwrap());
    let access = kept(&network, home.path(), 600).await;
    let folder = home.path().join("tollgate");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
    assert_eq!(access.token().await.unwrap().expose(), "at-0");
    assert_eq!(network.posts(), 0);
    assert_eq!(Cache::at(folder).last(), Some(site()));
    let shown = format!("{access:?}");
    assert!(!shown.contains("at-0") && !shown.contains("rt-0"), "{shown}");
}

/// Two that find the same token about to end, each with handles of its own as two processes have.
#[tokio::test]
async fn two_that_renew_at_once_renew_once() {
    let (network, home) = (Arc::new(network()), tempfile::tempdir().unwrap());
    let first = kept(&network, home.path(), 30).await;
    let second = access(&network, home.path());
    let held = network.wire.lock().await;
    let tasks = [first, second].map(|access| tokio::spawn(async move { access.token().await }));
    while network.posts() == 0 {
        tokio::task::yield_now().await;
    }
    drop(held);
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().expose(), "at-1");
    }
    assert_eq!(network.posts(), 1);
    let fields = network.posted.lock().unwrap()[0].1.clone();
    assert_eq!(
        (fields["refresh_token"].as_str(), fields["client_id"].as_str()),
        ("rt-0", "tollgate-login")
    );
    assert_eq!(fields["resource"], "https://gate.example.com/mcp");
}

#[tokio::test]
async fn a_login_that_cannot_be_renewed_now_is_kept_and_one_that_has_ended_is_not() {
    const TOKEN: &str = "https://login.example.com/token";
    let (network, home) = (Arc::new(network()), tempfile::tempdir().unwrap());
    let access = kept(&network, home.path(), 30).await;
    for (status, body) in [
        (503, json!({})),
        (500, json!({"error": "invalid_grant"})),
        (429, json!({})),
    ] {
        network.serve(TOKEN, status, body);
        assert_eq!(
            access.token().await.unwrap().expose(),
            "at-0",
            "what is left of it"
        );
        let refused = Secret::new("at-0".to_owned());
        let none = access.instead(&refused).await.unwrap_err();
        assert!(matches!(none, LoginError::Away(_)), "{none}");
    }
    network.serve(TOKEN, 400, json!({"error": "invalid_client"}));
    assert_eq!(access.token().await.unwrap().expose(), "at-0");
    network.serve(TOKEN, 400, json!({"error": "invalid_grant"}));
    assert_eq!(
        access.token().await.unwrap_err(),
        LoginError::Ended(SERVER.to_owned())
    );
    assert_eq!(
        access.token().await.unwrap_err(),
        LoginError::LoggedOut(SERVER.to_owned())
    );
}

/// A new login in the place of an old one ends the old one at the server.
#[tokio::test]
async fn a_login_in_the_place_of_another_ends_it() {
    let (network, home) = (Arc::new(network()), tempfile::tempdir().unwrap());
    network.serve("https://login.example.com/revoke", 200, json!({}));
    kept(&network, home.path(), 600).await;
    let access = kept(&network, home.path(), 900).await;
    let (address, fields) = network.posted.lock().unwrap()[0].clone();
    assert_eq!(address, "https://login.example.com/revoke");
    assert_eq!(fields["token"], "rt-0");
    assert_eq!(access.end().await.unwrap(), Ending::Ended);
    assert_eq!(access.end().await.unwrap(), Ending::None);
}

#[tokio::test]
async fn a_login_elsewhere_is_not_found_here() {
    let (network, home) = (Arc::new(network()), tempfile::tempdir().unwrap());
    kept(&network, home.path(), 600).await;
    let fetch: Arc<dyn Fetch> = Arc::clone(&network) as _;
    let cache = Cache::at(home.path().join("tollgate"));
    let other = Site::parse("https://gate.example.com:8443").unwrap();
    let access = Access::new(other, cache, fetch, Arc::new(Clock::default()));
    assert!(matches!(access.token().await, Err(LoginError::LoggedOut(_))));
}

#[tokio::test]
async fn a_job_asks_its_runner_for_a_token_of_this_server() {
    let network = Arc::new(Network::default());
    let fetch: Arc<dyn Fetch> = Arc::clone(&network) as _;
    let world: Arc<dyn World> = Arc::new(Clock::default());
    let claims = {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json!({"exp": 1_800_000_300}).to_string())
    };
    let asked = "https://run.example.com/token?api-version=2&audience=https%3A%2F%2Fgate.example.com%2Fmcp";
    network.serve(asked, 200, json!({"value": format!("e30.{claims}.c2ln")}));
    let variable = |name: &str| match name {
        "ACTIONS_ID_TOKEN_REQUEST_URL" => Some("https://run.example.com/token?api-version=2".to_owned()),
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("request-token".to_owned()),
        _ => None,
    };
    let credential = runner::find(&site(), &fetch, &world, variable).unwrap().unwrap();
    let token = credential.token().await.unwrap();
    credential.token().await.unwrap();
    let requests = network.asked_as.lock().unwrap().clone();
    assert_eq!(
        requests,
        [(asked.to_owned(), "Bearer request-token".to_owned())],
        "once, and kept"
    );
    assert!(credential.instead(&token).await.is_ok());
    assert_eq!(network.asked_as.lock().unwrap().len(), 2);
    let shown = format!("{credential:?}");
    assert!(
        !shown.contains("request-token") && !shown.contains("run.example"),
        "{shown}"
    );

    let http = |name: &str| match name {
        "ACTIONS_ID_TOKEN_REQUEST_URL" => Some("http://run.example.com/token".to_owned()),
        name => variable(name),
    };
    assert!(
        runner::find(&site(), &fetch, &world, http).is_err(),
        "not over plain HTTP"
    );
    let missing = |name: &str| (name == "TOLLGATE_ID_TOKEN_ENV").then(|| "JOB".to_owned());
    assert!(
        runner::find(&site(), &fetch, &world, missing).is_err(),
        "nothing else is tried"
    );
    let none = |_: &str| Some(String::new());
    assert!(runner::find(&site(), &fetch, &world, none).unwrap().is_none());
}
