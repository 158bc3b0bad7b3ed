//! A control side with one request in front of it, an issuer people sign in at, and a browser in small.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Form, Query};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::BoxFuture;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tollgate::approval::listing::{Counts, Listed, Listing, Shelf, Wanted};
use tollgate::approval::review::{Card, Choice, NotDecided, Reviewer, Sheet, State};
use tollgate::call::{ApprovalId, Approver, Bound};
use tollgate::clock::{System, Timestamp, World};
use tollgate::console::{self, Around, Desk, Spec};
use tollgate::identity::issuer::{DemoClient, DemoIssuer, DemoSpec, Page};
use tollgate::identity::security_keys::About;
use tollgate::identity::{GroupMap, HttpFetch, Identity, IdentitySpec, IssuerSpec};

/// The one request.
pub(super) const ID: &str = "0123456789abcdefghijklmnopqrstuv";
pub(super) const SHA: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
pub(super) const CLIENT: &str = "tollgate-control";
/// The issuer's client for the other side.
const AGENTS: &str = "tollgate";
/// Words nobody should be able to draw with.
pub(super) const HOSTILE: &str =
    "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}evil\u{200b}\"'";

/// The system's world, ahead of itself by as much as the test says.
#[derive(Debug)]
pub(super) struct Ahead {
    system: System,
    seconds: AtomicU64,
}

impl Ahead {
    pub(super) fn by(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl World for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp(self.system.now().0 + 1000 * self.seconds.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn random(&self, buffer: &mut [u8]) {
        self.system.random(buffer);
    }
}

/// One request of `asker`, which `dba`s decide.
pub(super) struct OneRequest {
    sheet: Mutex<Sheet>,
    pub(super) decided: Mutex<Vec<(String, Choice)>>,
    pub(super) cancelled: Mutex<Vec<String>>,
    /// As the approval stage does with `webauthn = "required"`.
    pub(super) needs_key: AtomicBool,
    /// What stands around it.
    pub(super) around: Mutex<Option<Around>>,
    /// So many more of the same in lists.
    pub(super) more: AtomicUsize,
    changed: watch::Sender<()>,
}

impl OneRequest {
    pub(super) fn new(sheet: Sheet) -> Self {
        Self {
            sheet: Mutex::new(sheet),
            decided: Mutex::default(),
            cancelled: Mutex::default(),
            needs_key: AtomicBool::new(false),
            around: Mutex::default(),
            more: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        }
    }

    fn shelf(&self, reviewer: &Reviewer, sheet: &Sheet) -> Shelf {
        if reviewer.user.id() == sheet.card.requester {
            Shelf::Own
        } else if sheet.card.state == State::Pending {
            Shelf::Waiting
        } else {
            Shelf::Decided
        }
    }

    fn may_see(&self, reviewer: &Reviewer, id: &ApprovalId) -> Result<Sheet, NotDecided> {
        let mut sheet = self.sheet.lock().unwrap().clone();
        let asked = reviewer.user.groups.contains("dba");
        if sheet.card.id != *id || !(asked || reviewer.user.id() == sheet.card.requester) {
            return Err(NotDecided::Unknown);
        }
        sheet.card.may_decide =
            asked && reviewer.user.id() != sheet.card.requester && sheet.card.state == State::Pending;
        let open = matches!(sheet.card.state, State::Pending | State::Granted);
        sheet.card.may_refuse = asked && reviewer.user.id() != sheet.card.requester && open;
        sheet.card.may_withdraw = open;
        Ok(sheet)
    }
}

impl OneRequest {
    /// Changes the request, and tells whoever looks at it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Sheet)) {
        change(&mut self.sheet.lock().unwrap());
        self.changed.send_replace(());
    }
}

impl Desk for OneRequest {
    fn page<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Listing, NotDecided>> {
        let one = self.may_see(reviewer, &ApprovalId(ID.to_owned()));
        let seen = one
            .into_iter()
            .filter(|sheet| wanted.shelf == Shelf::All || self.shelf(reviewer, sheet) == wanted.shelf);
        let filtered = seen.filter(|sheet| {
            let card = &sheet.card;
            wanted.state.is_none_or(|state| state == card.state)
                && wanted.tool.as_ref().is_none_or(|tool| *tool == card.tool)
                && (wanted.resource.is_none() || wanted.resource == card.resource)
        });
        let more = self.more.load(Ordering::SeqCst);
        let items = filtered
            .flat_map(|sheet| {
                let would = sheet.card.tool.clone(); // as hostile as the rest
                let rules: BTreeSet<String> = sheet.because.iter().map(|(id, _)| id.clone()).collect();
                std::iter::repeat_n(
                    Listed {
                        would: vec![would.clone()],
                        card: sheet.card,
                        rules,
                    },
                    1 + more,
                )
            })
            .collect();
        Box::pin(async move { Ok(Listing { items, next: None }) })
    }

    fn counts<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Counts, NotDecided>> {
        let one = self.may_see(reviewer, &ApprovalId(ID.to_owned()));
        let mut counts = Counts::default();
        if let Ok(sheet) = one {
            match self.shelf(reviewer, &sheet) {
                Shelf::Waiting => counts.waiting = 1,
                Shelf::Own => counts.own = 1,
                Shelf::Decided | Shelf::All => counts.decided = 1,
            }
        }
        Box::pin(async move { Ok(counts) })
    }

    fn around<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Around>, NotDecided>> {
        Box::pin(async move {
            self.may_see(reviewer, id)?;
            Ok(self.around.lock().unwrap().clone())
        })
    }

    fn changes(&self) -> Option<watch::Receiver<()>> {
        Some(self.changed.subscribe())
    }

    fn show<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Sheet, NotDecided>> {
        Box::pin(async move { self.may_see(reviewer, id) })
    }

    fn decide<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        choice: Choice,
        seen: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let shown = self.may_see(reviewer, id)?;
            if shown.card.requester == reviewer.user.id() {
                return Err(NotDecided::OwnRequest);
            }
            if shown.card.state != State::Pending {
                return Err(NotDecided::Final("granted"));
            }
            if seen != shown.action_sha256 {
                return Err(NotDecided::Changed);
            }
            let about = About::Approve {
                approval: id.0.clone(),
                action_sha256: seen.to_owned(),
            };
            let proven = reviewer.key.as_ref();
            let proven = proven.is_some_and(|proof| proof.is_for(&reviewer.user, &about));
            if choice == Choice::Approve && self.needs_key.load(Ordering::SeqCst) && !proven {
                return Err(NotDecided::SecurityKey("its page".to_owned()));
            }
            if matches!(&choice, Choice::Refuse(reason) if reason.is_empty()) {
                return Err(NotDecided::BadReason("say why"));
            }
            self.decided
                .lock()
                .unwrap()
                .push((reviewer.user.id(), choice.clone()));
            let mut sheet = self.sheet.lock().unwrap();
            sheet.card.state = match choice {
                Choice::Approve | Choice::ApproveFor(_) => State::Granted,
                Choice::Refuse(_) => State::Refused,
            };
            self.changed.send_replace(());
            Ok(sheet.card.clone())
        })
    }

    fn cancel<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let shown = self.may_see(reviewer, id)?;
            self.cancelled.lock().unwrap().push(reviewer.user.id());
            Ok(shown.card)
        })
    }
}

pub(super) fn sheet(words: &str) -> Sheet {
    Sheet {
        card: Card {
            id: ApprovalId(ID.to_owned()),
            state: State::Pending,
            requester: "demo#asker".to_owned(),
            agent: "demo-agent".to_owned(),
            tool: "sql_execute".to_owned(),
            resource: Some("shop".to_owned()),
            created_at: "2026-11-22T09:30:00.000Z".to_owned(),
            decide_by: "2026-11-22T10:00:00.000Z".to_owned(),
            execute_by: None,
            asks: vec![(2, "dba".to_owned())],
            approved_by: vec![Approver {
                issuer: "demo".to_owned(),
                subject: "first".to_owned(),
                groups: ["dba".to_owned()].into(),
            }],
            may_decide: false,
            may_refuse: false,
            may_withdraw: false,
            similar: None,
            grant: None,
            escalated_to: Vec::new(),
        },
        action_sha256: SHA.to_owned(),
        because: vec![(
            "dba-approves".to_owned(),
            Some("Changes of orders need a second pair of eyes.".to_owned()),
        )],
        runs: None,
        arguments: Some(json!({"resource": "shop", "statement": words})),
        facts: json!({"relations": ["orders"]}),
        effect: Some(json!({
            "rows": {"orders": {"updated": {"count": 2, "keys": ["a", "b"]}}, "audit_log": {"inserted": {"count": 2, "keys": []}}},
            "schema": {"orders_by_day": "drop index"},
            "irreversible": true,
            "sample": [{"table": "orders", "key": 17,
                "before": {"id": 17, "status": "open", "note": words},
                "after": {"id": 17, "status": "closed", "note": words}}],
        })),
        bound: Bound::Keys,
        unattended: false,
        offer: None,
        ahead: false,
        may_break_glass: false,
        claimed_reason: Some(words.to_owned()),
        history: vec![(
            "2026-11-22T09:31:00.000Z".to_owned(),
            "approved".to_owned(),
            Some("demo#first".to_owned()),
            None,
        )],
    }
}

/// Everything.
pub(super) struct Place {
    pub(super) url: String,
    pub(super) desk: Arc<OneRequest>,
    pub(super) identity: Identity,
    pub(super) issuer: Arc<DemoIssuer>,
    pub(super) world: Arc<Ahead>,
    secrets: BTreeMap<String, String>,
    stop: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Place {
    pub(super) async fn new() -> Self {
        Self::with(
            sheet("UPDATE orders SET status = 'closed' WHERE id IN (17, 18)"),
            |_| {},
        )
        .await
    }

    pub(super) async fn with(sheet: Sheet, change: impl FnOnce(&mut Spec)) -> Self {
        Self::beside(&[], sheet, change).await
    }

    /// With further issuers of these names, where nobody answers.
    pub(super) async fn beside(others: &[&str], sheet: Sheet, change: impl FnOnce(&mut Spec)) -> Self {
        let world = Arc::new(Ahead {
            system: System::new(),
            seconds: AtomicU64::new(0),
        });
        let control = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}", control.local_addr().unwrap().port());
        let (issuer, secrets) = issuer(&url, world.clone()).await;
        let metadata = issuer.metadata();
        let own = metadata["issuer"].as_str().unwrap().to_owned();
        let others = others
            .iter()
            .map(|name| (*name, format!("http://127.0.0.1:1/{name}")));
        let issuers = std::iter::once(("demo", own)).chain(others);
        let spec = IdentitySpec {
            issuers: issuers
                .map(|(name, url)| {
                    let mut spec = IssuerSpec::new(name, &url, "http://127.0.0.1:1/mcp");
                    spec.control_audience = Some(CLIENT.to_owned());
                    spec
                })
                .collect(),
            groups: GroupMap::parse([("dba", vec!["demo:dba"])]).unwrap(),
            resource: "http://127.0.0.1:1/mcp".to_owned(),
            scopes: Vec::new(),
            facade: None,
            own: Vec::new(),
        };
        let identity = Identity::new(spec, Arc::new(HttpFetch::new()), world.clone()).unwrap();
        let desk = Arc::new(OneRequest::new(sheet));
        let mut spec = Spec::new(url.parse().unwrap(), 300, world.clone());
        change(&mut spec);
        let stop = CancellationToken::new();
        tokio::spawn(console::serve(
            desk.clone(),
            identity.people(),
            spec,
            control,
            stop.clone(),
        ));
        Self {
            url,
            desk,
            identity,
            issuer,
            world,
            secrets,
            stop,
        }
    }

    pub(super) fn secret(&self, user: &str) -> &str {
        &self.secrets[user]
    }

    pub(super) fn decided(&self) -> Vec<(String, Choice)> {
        self.desk.decided.lock().unwrap().clone()
    }

    /// What the issuer signs for the agents' side.
    pub(super) fn other_side(&self, user: &str) -> String {
        self.signed_for(AGENTS, user)
    }

    /// An ID token, as the terminal's sign-in gets it.
    pub(super) fn id_token(&self, user: &str) -> String {
        self.signed_for(CLIENT, user)
    }

    fn signed_for(&self, client: &str, user: &str) -> String {
        let verifier = "v".repeat(43);
        let challenge = {
            use base64::Engine;
            let hash = tollgate::call::Hash::of(verifier.as_bytes());
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash.0)
        };
        let pairs = |more: &[(&str, &str)]| -> Vec<(String, String)> {
            let own = [
                ("client_id", client),
                ("redirect_uri", "http://127.0.0.1:9/callback"),
            ];
            own.iter()
                .chain(more)
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let asked = pairs(&[
            ("response_type", "code"),
            ("scope", "openid"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("username", user),
            ("password", self.secret(user)),
        ]);
        let Page::See(place) = self.issuer.authorize(&asked, true) else {
            panic!("no code for {user}");
        };
        let place = url::Url::parse(&place).unwrap();
        let code = place
            .query_pairs()
            .find(|(name, _)| name == "code")
            .unwrap()
            .1
            .into_owned();
        let answer = self
            .issuer
            .redeem(&pairs(&[("code", &code), ("code_verifier", &verifier)]));
        answer.unwrap()["id_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Response {
        let mut request = http().get(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, token: &str, body: &Value) -> Response {
        let request = http()
            .post(format!("{}{path}", self.url))
            .bearer_auth(token)
            .json(body);
        request.send().await.unwrap()
    }
}

pub(super) fn http() -> reqwest::Client {
    tollgate::app::http_client().unwrap()
}

/// Serves the demo's issuer, for people too.
async fn issuer(control: &str, world: Arc<Ahead>) -> (Arc<DemoIssuer>, BTreeMap<String, String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let dba = || ["dba".to_owned()].into();
    let spec = DemoSpec {
        url: url.clone(),
        users: BTreeMap::from([
            ("asker".to_owned(), dba()),
            ("second".to_owned(), dba()),
            ("third".to_owned(), dba()),
            ("stranger".to_owned(), ["sales".to_owned()].into()),
        ]),
        clients: vec![
            DemoClient {
                id: CLIENT.to_owned(),
                redirect_uris: [format!("{control}/signed-in/demo")].into(),
                terminal: true,
            },
            DemoClient {
                id: AGENTS.to_owned(),
                redirect_uris: BTreeSet::new(),
                terminal: true,
            },
        ],
    };
    let (issuer, secrets) = DemoIssuer::start(spec, world).unwrap();
    let issuer = Arc::new(issuer);
    let paths = issuer.paths();
    let page = |page| match page {
        Page::Html(status, html) => (StatusCode::from_u16(status).unwrap(), Html(html)).into_response(),
        Page::See(place) => Redirect::to(&place).into_response(),
    };
    type Fields = Vec<(String, String)>;
    let (asked, submitted, redeemed) = (issuer.clone(), issuer.clone(), issuer.clone());
    let (metadata, jwks) = (issuer.metadata(), issuer.jwks());
    let router = Router::new()
        .route(&paths.metadata[0], get(move || async move { Json(metadata) }))
        .route(&paths.jwks, get(move || async move { Json(jwks) }))
        .route(
            &paths.authorize,
            get(move |Query(fields): Query<Fields>| async move { page(asked.authorize(&fields, false)) })
                .post(
                    move |Form(fields): Form<Fields>| async move { page(submitted.authorize(&fields, true)) },
                ),
        )
        .route(
            &paths.token,
            axum::routing::post(move |Form(fields): Form<Fields>| async move {
                match redeemed.redeem(&fields) {
                    Ok(answer) => Json(answer).into_response(),
                    Err(why) => (StatusCode::BAD_REQUEST, why.to_string()).into_response(),
                }
            }),
        );
    tokio::spawn(async move { axum::serve(listener, router).await });
    let secrets = secrets
        .into_iter()
        .map(|(name, secret)| (name, secret.to_string()))
        .collect();
    (issuer, secrets)
}

/// A browser in small: cookies by host and port, redirects one at a time.
#[derive(Default)]
pub(super) struct Browser {
    /// Other sites' cookies are as they are.
    lenient: bool,
    jar: BTreeMap<(String, String), String>,
}

impl Browser {
    pub(super) fn lenient() -> Self {
        Self {
            lenient: true,
            ..Self::default()
        }
    }

    fn host(url: &str) -> String {
        let url = url::Url::parse(url).unwrap();
        format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(80))
    }

    pub(super) fn cookies(&self, url: &str) -> String {
        let host = Self::host(url);
        let mine = self.jar.iter().filter(|((at, _), _)| *at == host);
        let pairs: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep(&mut self, url: &str, answer: &Response) {
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            if !self.lenient {
                let kept = line.starts_with("__Host-") && line.contains("; Secure; HttpOnly; SameSite=Lax");
                assert!(
                    kept && !line.contains("Domain") && line.contains("Path=/;"),
                    "{line}"
                );
            }
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let key = (Self::host(url), name.to_owned());
            if line.contains("Max-Age=0") {
                self.jar.remove(&key);
            } else {
                self.jar.insert(key, value.to_owned());
            }
        }
    }

    pub(super) async fn get(&mut self, url: &str) -> Response {
        let answer = http()
            .get(url)
            .header("cookie", self.cookies(url))
            .send()
            .await
            .unwrap();
        self.keep(url, &answer);
        answer
    }

    /// Sends a form as a page of `origin` would.
    pub(super) async fn submit(
        &mut self,
        url: &str,
        fields: &[(&str, &str)],
        origin: Option<&str>,
    ) -> Response {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut request = http()
            .post(url)
            .header("cookie", self.cookies(url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.send().await.unwrap();
        self.keep(url, &answer);
        answer
    }

    /// Follows redirects to a page; gives its address and text.
    pub(super) async fn open(&mut self, url: &str) -> (String, String) {
        let mut url = url.to_owned();
        for _ in 0..10 {
            let answer = self.get(&url).await;
            match place(&answer, &url) {
                Some(next) => url = next,
                None => return (url, answer.text().await.unwrap()),
            }
        }
        panic!("round and round at {url}");
    }

    /// Signs `user` in, from whatever page asks for it, and gives the page they come back to.
    pub(super) async fn sign_in(&mut self, place_: &Place, path: &str, user: &str) -> (String, String) {
        let (url, form) = self.open(&format!("{}{path}", place_.url)).await;
        assert!(url.starts_with("http://127.0.0.1:"), "the issuer asks: {url}");
        let mut fields = hidden(&form);
        fields.push(("username".to_owned(), user.to_owned()));
        fields.push(("password".to_owned(), place_.secret(user).to_owned()));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = self.submit(&url, &fields, None).await;
        let next = place(&answer, &url).expect("signed in at the issuer");
        self.open(&next).await
    }
}

/// Where a redirect leads.
pub(super) fn place(answer: &Response, from: &str) -> Option<String> {
    let next = answer.headers().get("location")?.to_str().unwrap();
    Some(url::Url::parse(from).unwrap().join(next).unwrap().into())
}

/// The hidden fields of a page's first form with any.
pub(super) fn hidden(html: &str) -> Vec<(String, String)> {
    let input = regex::Regex::new(r#"<input type="hidden" name="([^"]*)" value="([^"]*)">"#).unwrap();
    let plain = |text: &str| text.replace("&quot;", "\"").replace("&amp;", "&");
    input
        .captures_iter(html)
        .map(|found| (plain(&found[1]), plain(&found[2])))
        .collect()
}

/// The hidden fields of the form with this action.
pub(super) fn form(html: &str, action: &str) -> Vec<(String, String)> {
    let (_, rest) = html
        .split_once(&format!("action=\"{action}\""))
        .unwrap_or_else(|| panic!("no form {action}: {html}"));
    hidden(rest.split("</form>").next().unwrap())
}
