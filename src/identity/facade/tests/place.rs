//! A facade over a store of its own, with played providers, a settable clock and browsers in small.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::call::Hash;
use crate::clock::{Timestamp, World};
use crate::identity::facade::{Documents, Facade, FacadeSpec, KnownClient, Times};
use crate::identity::fetch::{Fetch, FetchError, Fetched};
use crate::identity::provider::{Again, Provider, Question, SignInError, SignedIn, Upstream};
use crate::identity::seal::Seal;
use crate::secret::Secret;
use crate::store::rows::Rows;
use crate::store::{Store, testing};

pub(in crate::identity::facade) const NOW: u64 = 1_800_000_000_000;
pub(in crate::identity::facade) const URL: &str = "https://gate.example.com";
pub(in crate::identity::facade) const RESOURCE: &str = "https://gate.example.com/mcp";
pub(in crate::identity::facade) const SITE: &str = "https://agent.example.net/back";
/// A client by document.
pub(in crate::identity::facade) const DOCUMENT: &str = "https://agent.example.net/oauth/client.json";
pub(in crate::identity::facade) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[derive(Debug, Default)]
pub(in crate::identity::facade) struct Clock {
    seconds: AtomicU64,
    random: AtomicU64,
}

impl Clock {
    pub(in crate::identity::facade) fn by(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(NOW + self.seconds.load(Ordering::SeqCst) * 1000)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let hash = Hash::of(&self.random.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&hash.0[..chunk.len()]);
        }
    }
}

/// Documents by address; counts what is asked.
#[derive(Debug, Default)]
pub(in crate::identity::facade) struct Network {
    pages: Mutex<HashMap<String, Fetched>>,
    pub(in crate::identity::facade) asked: AtomicU64,
    /// A test that holds it keeps answers from arriving.
    pub(in crate::identity::facade) wire: tokio::sync::Mutex<()>,
}

impl Network {
    pub(in crate::identity::facade) fn serve(
        &self,
        url: &str,
        status: u16,
        body: impl ToString,
        cache_control: Option<&str>,
    ) {
        let page = Fetched {
            status,
            cache_control: cache_control.map(str::to_owned),
            body: body.to_string().into_bytes(),
        };
        self.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    pub(in crate::identity::facade) fn count(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Fetch for Network {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let _wire = self.wire.lock().await;
            let page = self.pages.lock().unwrap().get(url.as_str()).cloned();
            page.ok_or_else(|| FetchError("unreachable".to_owned()))
        })
    }
}

/// A provider that signs in whoever the answer's `as` names, if the question is the one it was asked.
#[derive(Debug)]
pub(in crate::identity::facade) struct Played {
    name: &'static str,
    posts: bool,
    asked: Mutex<HashMap<String, (String, String, String)>>,
    pub(in crate::identity::facade) finished: AtomicU64,
    pub(in crate::identity::facade) away: Mutex<bool>,
}

impl Played {
    pub(in crate::identity::facade) fn new(name: &'static str, posts: bool) -> Arc<Self> {
        Arc::new(Self {
            name,
            posts,
            asked: Mutex::default(),
            finished: AtomicU64::new(0),
            away: Mutex::default(),
        })
    }
}

impl Provider for Played {
    fn name(&self) -> &str {
        self.name
    }

    fn posts(&self) -> bool {
        self.posts
    }

    fn begin<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Url, SignInError>> {
        Box::pin(async move {
            if *self.away.lock().unwrap() {
                return Err(SignInError::Provider("away".to_owned()));
            }
            let kept = (
                question.nonce.to_string(),
                question.verifier.to_string(),
                question.redirect_uri.clone(),
            );
            self.asked
                .lock()
                .unwrap()
                .insert(question.state.to_string(), kept);
            let url = format!("https://{}.example/authorize", self.name);
            Ok(Url::parse_with_params(&url, [("state", question.state.as_str())]).unwrap())
        })
    }

    fn finish<'a>(
        &'a self,
        question: &'a Question,
        fields: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<SignedIn, SignInError>> {
        Box::pin(async move {
            self.finished.fetch_add(1, Ordering::SeqCst);
            let asked = self.asked.lock().unwrap().get(question.state.as_str()).cloned();
            let same = asked.is_some_and(|(nonce, verifier, redirect_uri)| {
                nonce == *question.nonce
                    && verifier == *question.verifier
                    && redirect_uri == question.redirect_uri
            });
            assert!(same, "the question at the end is not the one at the beginning");
            let get = |name: &str| {
                fields
                    .iter()
                    .find(|(one, _)| one == name)
                    .map(|(_, value)| value.clone())
            };
            if let Some(error) = get("error") {
                return Err(SignInError::Refused(error));
            }
            Ok(SignedIn {
                issuer: get("issuer").unwrap_or_else(|| self.name.to_owned()),
                subject: get("as").unwrap(),
                claimed: BTreeSet::from(["analysts".to_owned()]),
                auth_time: Some(NOW / 1000),
                acr: None,
                sid: Some("sid-1".to_owned()),
                upstream: Upstream {
                    refresh: Some("upstream-refresh-secret".to_owned()),
                    access: None,
                    access_until: None,
                },
            })
        })
    }

    fn metadata(&self) -> Option<String> {
        self.posts.then(|| "<EntityDescriptor/>".to_owned())
    }

    fn again<'a>(&'a self, _: &'a str, _: &'a Upstream) -> BoxFuture<'a, Result<Again, SignInError>> {
        Box::pin(async { Ok(Again::CannotAsk) })
    }
}

pub(in crate::identity::facade) struct Place {
    pub(in crate::identity::facade) facade: Arc<Facade>,
    /// Another replica on the same store.
    pub(in crate::identity::facade) twin: Arc<Facade>,
    store: Store,
    pub(in crate::identity::facade) clock: Arc<Clock>,
    pub(in crate::identity::facade) corp: Arc<Played>,
    pub(in crate::identity::facade) rows: Rows,
    folder: TempDir,
}

pub(in crate::identity::facade) fn spec() -> FacadeSpec {
    let tools = |tools: &[&str]| tools.iter().map(|tool| (*tool).to_owned()).collect();
    FacadeSpec {
        url: URL.to_owned(),
        resource: RESOURCE.to_owned(),
        scopes: BTreeMap::from([
            ("mcp:read".to_owned(), tools(&["sql_query"])),
            ("mcp:write".to_owned(), tools(&["sql_execute"])),
        ]),
        times: Times {
            access: Duration::from_secs(900),
            idle: Duration::from_secs(3600),
            session: Duration::from_secs(7200),
            recheck: Duration::from_secs(600),
            unchecked: Duration::from_secs(3600),
        },
        registration: true,
        documents: Some(Documents {
            hosts: None,
            allow_private: false,
        }),
        clients: vec![
            KnownClient {
                id: "site".to_owned(),
                name: "The site".to_owned(),
                redirect_uris: vec![Url::parse(SITE).unwrap()],
            },
            KnownClient {
                id: "native".to_owned(),
                name: "The program".to_owned(),
                redirect_uris: vec![Url::parse("http://127.0.0.1/cb").unwrap()],
            },
        ],
    }
}

pub(in crate::identity::facade) fn document() -> Value {
    json!({
        "client_id": DOCUMENT, "client_name": "An agent", "redirect_uris": [SITE, "http://localhost/cb"],
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
    })
}

impl Place {
    pub(in crate::identity::facade) async fn new() -> Self {
        Self::with(spec()).await
    }

    pub(in crate::identity::facade) async fn with(spec: FacadeSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::open(&folder.path().join("a.db")).await;
        let rows = Rows::new(store.clone());
        let (clock, network) = (Arc::<Clock>::default(), Arc::<Network>::default());
        network.serve(DOCUMENT, 200, document(), None);
        let (corp, other, post) = (
            Played::new("corp", false),
            Played::new("other", false),
            Played::new("post", true),
        );
        let facade = |rows: Rows| {
            let seal = Seal::new(vec![Secret::new("0123456789abcdef0123456789abcdef".to_owned())]).unwrap();
            Arc::new(Facade::new(
                spec.clone(),
                rows,
                vec![corp.clone(), other.clone(), post.clone()],
                Arc::new(seal),
                network.clone(),
                clock.clone(),
            ))
        };
        Self {
            facade: facade(rows.clone()),
            twin: facade(Rows::new(store.clone())),
            store,
            clock,
            corp,
            rows,
            folder,
        }
    }

    /// A column of the only row, or of the newest.
    pub(in crate::identity::facade) fn column<T: testing::Cell + Send>(&self, query: &str) -> T {
        self.store.peek(query)
    }

    pub(in crate::identity::facade) fn execute(&self, statement: &str) {
        self.store.tamper(&[], statement);
    }

    /// Everything in the store, as bytes.
    pub(in crate::identity::facade) fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for name in ["a.db", "a.db-wal"] {
            all.extend(std::fs::read(self.folder.path().join(name)).unwrap_or_default());
        }
        all
    }
}

/// A good request of a client, with some fields changed; `None` leaves one out.
pub(in crate::identity::facade) fn request(changes: &[(&str, Option<&str>)]) -> String {
    let good = [
        ("client_id", "site"),
        ("redirect_uri", SITE),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("scope", "mcp:read"),
        ("state", "s p&c=1"),
    ];
    let mut fields: Vec<(&str, &str)> = good
        .into_iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
        .collect();
    fields.extend(
        changes
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?))),
    );
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// A cookie jar.
#[derive(Debug, Default, Clone)]
pub(in crate::identity::facade) struct Browser(pub(super) BTreeMap<String, String>);

/// The form on the page with the question.
#[derive(Debug, Clone)]
pub(in crate::identity::facade) struct Form {
    pub(in crate::identity::facade) id: String,
    pub(in crate::identity::facade) token: String,
}

impl Browser {
    pub(in crate::identity::facade) fn keep(&mut self, answer: &Response<Vec<u8>>) {
        for line in answer.headers().get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn cookies(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    pub(in crate::identity::facade) async fn get(
        &mut self,
        facade: &Facade,
        path: &str,
    ) -> Response<Vec<u8>> {
        self.send(facade, "GET", path, &[], "").await
    }

    pub(in crate::identity::facade) async fn send(
        &mut self,
        facade: &Facade,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Vec<u8>> {
        let mut request = Request::builder().method(method).uri(path);
        if !self.0.is_empty() {
            request = request.header("cookie", self.cookies());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.as_bytes().to_vec()).unwrap();
        assert!(facade.serves(request.uri().path()) || path.starts_with("/nowhere"));
        let answer = facade.answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        self.keep(&answer);
        answer
    }

    /// Opens the authorization endpoint.
    pub(in crate::identity::facade) async fn authorize(
        &mut self,
        facade: &Facade,
        query: &str,
    ) -> Response<Vec<u8>> {
        self.get(facade, &format!("/oauth/authorize?{query}")).await
    }

    /// The question of a good request.
    pub(in crate::identity::facade) async fn asked(&mut self, facade: &Facade, query: &str) -> Form {
        let answer = self.authorize(facade, query).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", html(&answer));
        form(&answer)
    }

    /// Sends the form as a browser does.
    pub(in crate::identity::facade) async fn decide(
        &mut self,
        facade: &Facade,
        form: &Form,
        what: (&str, &str),
    ) -> Response<Vec<u8>> {
        let headers = [("origin", URL), ("sec-fetch-site", "same-origin")];
        self.post_form(facade, form, what, &headers).await
    }

    pub(in crate::identity::facade) async fn post_form(
        &mut self,
        facade: &Facade,
        form: &Form,
        what: (&str, &str),
        headers: &[(&str, &str)],
    ) -> Response<Vec<u8>> {
        let body = encoded(&[("id", &form.id), ("token", &form.token), what]);
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers: Vec<_> = headers.iter().copied().chain([kind]).collect();
        self.send(facade, "POST", "/oauth/consent", &headers, &body).await
    }

    /// Says yes to a good request; the state the provider was given.
    pub(in crate::identity::facade) async fn approved(&mut self, facade: &Facade, query: &str) -> String {
        let form = self.asked(facade, query).await;
        let answer = self.decide(facade, &form, ("at", "corp")).await;
        let place = onward(&answer).expect("leads to the provider");
        assert_eq!(place.host_str(), Some("corp.example"));
        field(&place, "state").unwrap()
    }

    /// The whole way; where the browser ends.
    pub(in crate::identity::facade) async fn signed_in(&mut self, facade: &Facade, query: &str) -> Url {
        let state = self.approved(facade, query).await;
        let answer = self.get(facade, &callback("corp", &state)).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{}", html(&answer));
        location(&answer).unwrap()
    }
}

pub(in crate::identity::facade) fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

pub(in crate::identity::facade) fn callback(issuer: &str, state: &str) -> String {
    format!(
        "/oauth/callback/{issuer}?{}",
        encoded(&[("state", state), ("as", "alice"), ("code", "up")])
    )
}

pub(in crate::identity::facade) fn html(answer: &Response<Vec<u8>>) -> String {
    String::from_utf8(answer.body().clone()).unwrap()
}

pub(in crate::identity::facade) fn form(answer: &Response<Vec<u8>>) -> Form {
    let html = html(answer);
    let value = |name: &str| {
        let pattern = format!(r#"name="{name}" value="([^"]*)""#);
        regex::Regex::new(&pattern).unwrap().captures(&html).unwrap()[1].to_owned()
    };
    Form {
        id: value("id"),
        token: value("token"),
    }
}

fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

pub(in crate::identity::facade) fn location(answer: &Response<Vec<u8>>) -> Option<Url> {
    Some(Url::parse(header_of(answer.headers(), "location")?).unwrap())
}

/// Where a page leads by itself.
pub(in crate::identity::facade) fn onward(answer: &Response<Vec<u8>>) -> Option<Url> {
    let place = header_of(answer.headers(), "refresh")?
        .strip_prefix("0;url=")
        .unwrap();
    Some(Url::parse(place).unwrap())
}

pub(in crate::identity::facade) fn field(url: &Url, name: &str) -> Option<String> {
    let mut found = url.query_pairs().filter(|(one, _)| one == name);
    let first = found.next().map(|(_, value)| value.into_owned());
    assert!(found.next().is_none(), "{name} is there twice");
    first
}

/// A page that leads nowhere.
pub(in crate::identity::facade) fn assert_stays(answer: &Response<Vec<u8>>, why: &str) {
    assert!(answer.status().is_client_error(), "{why}: {}", answer.status());
    assert!(location(answer).is_none() && onward(answer).is_none(), "{why}");
    assert!(!html(answer).contains("href"), "{why}");
}
