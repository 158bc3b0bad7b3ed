//! The whole way with the real program: an agent's authorization request, consent, sign-in at SimpleSAMLphp,
//! the posted answer, tokens, a tool call. The provider knows Tollgate by the metadata that Tollgate serves.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use super::idp::Idp;
use crate::facade::chromium::{Browser, Driver};
use crate::support::agent::Agent;
use crate::support::process::{Process, tollgate};
use crate::support::site::Site;

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:9/back";

/// A Tollgate whose people sign in by SAML, and where they do.
struct Place {
    idp: Idp,
    site: Site,
    server: Option<Process>,
}

impl Place {
    /// The provider as a browser of this machine calls it: `localhost` is another site than 127.0.0.1.
    async fn open(provider_host: &str) -> Self {
        let idp = Idp::start();
        let mut site = Site::for_process().await;
        let address = idp.address.replace("127.0.0.1", provider_host);
        configure(&site, &idp.metadata_at(&address).await);
        let server = Process::serve(&mut site, &[]).await;
        let server = Some(server);
        let place = Self { idp, site, server };
        let told = http().get(place.at("/oauth/saml/corp/metadata")).send().await;
        let told = told.unwrap();
        assert_eq!(told.status(), StatusCode::OK);
        assert_eq!(told.headers()["content-type"], "application/samlmetadata+xml");
        place.idp.meet(&told.text().await.unwrap());
        place
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.site.url)
    }

    fn asks(&self, back: &str) -> String {
        let fields = [
            ("client_id", "program"),
            ("redirect_uri", back),
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "s 1"),
            ("resource", &self.site.endpoint()),
        ];
        Url::parse_with_params(&self.at("/oauth/authorize"), fields)
            .unwrap()
            .into()
    }

    /// Another process on the same store: what one remembered is gone.
    async fn restart(&mut self) {
        self.server.take().unwrap().kill();
        self.server = Some(Process::serve(&mut self.site, &[]).await);
    }

    /// Exchanges a code, which a program that took its answer at `back` got.
    async fn token(&self, code: &str, back: &str) -> (StatusCode, Value) {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", "program"),
            ("code", code),
            ("redirect_uri", back),
            ("code_verifier", VERIFIER),
            ("resource", &self.site.endpoint()),
        ];
        let request = http().post(self.at("/oauth/token"));
        let answer = form(request, &fields).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

fn configure(site: &Site, metadata: &str) {
    use std::os::unix::fs::PermissionsExt;
    let key = site.dir.path().join("facade.key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(site.dir.path().join("idp.xml"), metadata).unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let text = text.replacen("analyst = [", "analyst = [\"corp:analysts\", ", 1);
    std::fs::write(site.config(), text).unwrap();
    site.configure(&format!(
        "[[issuer]]\nname = \"corp\"\nurl = \"https://idp.example.test/saml\"\nmode = \"saml\"\n\
         metadata = \"idp.xml\"\ngroups_claim = \"/groups\"\n\
         [facade]\nkey = \"file:{}\"\nunchecked_seconds = 600\n\
         [[facade.client]]\nid = \"program\"\nredirect_uris = [\"http://127.0.0.1/back\"]\n",
        key.display()
    ));
}

fn http() -> reqwest::Client {
    tollgate::identity::install_tls_provider();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

fn form(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

fn field(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(one, _)| one == name)
        .map(|(_, value)| value.into_owned())
}

/// What a provider's page would post, and with whose cookies it comes.
struct Answered {
    cookies: String,
    state: String,
    response: String,
}

/// A browser as far as Tollgate sees one.
#[derive(Default)]
struct Visitor {
    cookies: BTreeMap<String, String>,
}

impl Visitor {
    fn keep(&mut self, answer: &reqwest::Response) {
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn carried(&self) -> String {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Says yes to a program. Where the provider is.
    async fn approves(&mut self, place: &Place) -> String {
        let page = http().get(place.asks(BACK)).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        self.keep(&page);
        let html = page.text().await.unwrap();
        let value = |name: &str| {
            let pattern = format!(r#"name="{name}" value="([^"]*)""#);
            regex::Regex::new(&pattern).unwrap().captures(&html).unwrap()[1].to_owned()
        };
        let (id, token) = (value("id"), value("token"));
        let fields = [("id", id.as_str()), ("token", &token), ("at", "corp")];
        let request = http()
            .post(place.at("/oauth/consent"))
            .header("origin", &place.site.url)
            .header("cookie", self.carried());
        let answer = form(request, &fields).send().await.unwrap();
        self.keep(&answer);
        onward(&answer).expect("no way to the provider")
    }

    /// The same, and signs in there.
    async fn answered(&mut self, place: &Place, who: &str) -> Answered {
        let provider = self.approves(place).await;
        let (action, fields) = place.idp.sign_in(&provider, who).await;
        assert_eq!(action, place.at("/oauth/saml/corp"));
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| key == name);
            found.unwrap_or_else(|| panic!("no {name}")).1.clone()
        };
        Answered {
            cookies: self.carried(),
            state: field("RelayState"),
            response: field("SAMLResponse"),
        }
    }
}

impl Answered {
    async fn post(&self, place: &Place) -> reqwest::Response {
        let fields = [
            ("RelayState", self.state.as_str()),
            ("SAMLResponse", &self.response),
        ];
        let request = http()
            .post(place.at("/oauth/saml/corp"))
            .header("origin", &place.idp.address)
            .header("cookie", &self.cookies);
        form(request, &fields).send().await.unwrap()
    }
}

/// Where a page leads.
fn onward(answer: &reqwest::Response) -> Option<String> {
    let refresh = answer.headers().get("refresh")?.to_str().unwrap();
    refresh.strip_prefix("0;url=").map(str::to_owned)
}

/// What the program gets: its code, or the error.
fn outcome(answer: &reqwest::Response) -> Result<String, String> {
    let Some(back) = onward(answer) else {
        return Err(answer.status().as_str().to_owned());
    };
    let back = Url::parse(&back).unwrap();
    assert_eq!(field(&back, "state").as_deref(), Some("s 1"));
    assert!(field(&back, "iss").is_some());
    field(&back, "code").ok_or_else(|| field(&back, "error").unwrap())
}

async fn assert_calls(place: &Place, token: &str) {
    let agent = Agent::with(&place.site, token.to_owned());
    let statement = "SELECT count(*) AS n FROM customers";
    let arguments = json!({"resource": "shop", "statement": statement});
    let answer = agent.call("sql_query", arguments).await;
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
}

async fn whoami(place: &Place, token: &str) -> Result<Value, StatusCode> {
    let answer = http().get(place.at("/whoami")).bearer_auth(token).send().await;
    let answer = answer.unwrap();
    match answer.status() {
        StatusCode::OK => Ok(answer.json().await.unwrap()),
        other => Err(other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_agents_request_to_its_first_call() {
    let place = Place::open("127.0.0.1").await;
    let mut visitor = Visitor::default();
    let answered = visitor.answered(&place, "alice").await;
    let answer = answered.post(&place).await;
    visitor.keep(&answer);
    assert_eq!(visitor.carried(), "", "every cookie of the sign-in is over");
    let code = outcome(&answer).unwrap();
    let (status, issued) = place.token(&code, BACK).await;
    assert_eq!(status, StatusCode::OK, "{issued}");
    let token = issued["access_token"].as_str().unwrap();
    // Nothing can be asked again: the session, and so the token, lives `unchecked_seconds`.
    assert!(issued["expires_in"].as_u64().unwrap() <= 600, "{issued}");
    let who = whoami(&place, token).await.unwrap();
    assert_eq!(who["user"]["id"], "corp#u-alice");
    assert_eq!(who["user"]["groups"], json!(["analyst"]));
    assert_calls(&place, token).await;

    // Somebody without a group signs in, and there is nothing for them.
    let answered = Visitor::default().answered(&place, "bob").await;
    let code = outcome(&answered.post(&place).await).unwrap();
    let (_, other) = place.token(&code, BACK).await;
    let who = whoami(&place, other["access_token"].as_str().unwrap()).await;
    assert_eq!(who.unwrap()["user"]["groups"], json!([]));

    // What came by the browser and what went to the program is in no log.
    let log = place.server.as_ref().unwrap().log();
    for secret in [&answered.state, &answered.response, &code, &token.to_owned()] {
        assert!(!log.contains(secret.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_once_and_for_what_it_answers() {
    let place = Place::open("127.0.0.1").await;
    let mut visitor = Visitor::default();
    let first = visitor.answered(&place, "alice").await;

    // Without the cookie, with another state, without one (begun at the provider), as a link.
    let mut foreign = Visitor::default().answered(&place, "bob").await;
    let theirs = foreign.cookies.clone();
    foreign.cookies.clear();
    assert_eq!(outcome(&foreign.post(&place).await), Err("400".to_owned()));
    foreign.cookies.clone_from(&first.cookies);
    assert_eq!(outcome(&foreign.post(&place).await), Err("400".to_owned()));
    let unasked = Answered {
        cookies: theirs,
        state: String::new(),
        response: foreign.response.clone(),
    };
    assert_eq!(outcome(&unasked.post(&place).await), Err("400".to_owned()));
    let link = format!("/oauth/saml/corp?RelayState={}", first.state);
    let link = http().get(place.at(&link)).header("cookie", &first.cookies);
    assert_eq!(
        link.send().await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED
    );

    // Somebody else's answer in one's own sign-in (login CSRF with a code of the attacker's), which is over then.
    let mixed = Visitor::default().answered(&place, "bob").await;
    let mixed = Answered {
        response: first.response.clone(),
        ..mixed
    };
    assert_eq!(outcome(&mixed.post(&place).await), Err("server_error".to_owned()));
    assert_eq!(outcome(&mixed.post(&place).await), Err("400".to_owned()));

    // All that was no answer to the first one, which still has its own; once.
    let code = outcome(&first.post(&place).await).unwrap();
    assert_eq!(outcome(&first.post(&place).await), Err("400".to_owned()));
    // An assertion that was used begins nothing, also in the same browser.
    let mut again = visitor.answered(&place, "alice").await;
    again.response.clone_from(&first.response);
    assert_eq!(outcome(&again.post(&place).await), Err("server_error".to_owned()));
    let (status, issued) = place.token(&code, BACK).await;
    assert_eq!(status, StatusCode::OK);
    // A second exchange is a theft: the session is over.
    let token = issued["access_token"].as_str().unwrap();
    whoami(&place, token).await.unwrap();
    assert_eq!(place.token(&code, BACK).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(whoami(&place, token).await, Err(StatusCode::UNAUTHORIZED));
}

/// A store has one server at a time, so a second process is the one after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_once_for_every_process_on_the_store() {
    let mut place = Place::open("127.0.0.1").await;
    // Begun at one process, answered at the next, and then never again, wherever.
    let answered = Visitor::default().answered(&place, "alice").await;
    place.restart().await;
    let code = outcome(&answered.post(&place).await).unwrap();
    assert_eq!(outcome(&answered.post(&place).await), Err("400".to_owned()));
    place.restart().await;
    assert_eq!(outcome(&answered.post(&place).await), Err("400".to_owned()));
    // A used assertion in a sign-in of its own, at a process that has never seen it.
    let mut again = Visitor::default().answered(&place, "alice").await;
    again.response.clone_from(&answered.response);
    assert_eq!(outcome(&again.post(&place).await), Err("server_error".to_owned()));
    // The code is from two processes ago, and still the program's.
    let (_, issued) = place.token(&code, BACK).await;
    let token = issued["access_token"].as_str().unwrap();
    place.restart().await;
    assert_eq!(whoami(&place, token).await.unwrap()["user"]["id"], "corp#u-alice");
    // Many at once: one of them.
    for _ in 0..3 {
        let answered = Visitor::default().answered(&place, "alice").await;
        let all = futures::future::join_all((0..6).map(|_| answered.post(&place))).await;
        let codes = all.iter().filter(|answer| outcome(answer).is_ok()).count();
        assert_eq!(codes, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_doctor_speak_of_it() {
    let place = Place::open("127.0.0.1").await;
    let said = |arguments: &[&str]| {
        let output = tollgate(&place.site, arguments);
        let both = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(both).unwrap())
    };
    let (_, check) = said(&["check"]);
    assert!(check.contains("corp: its SAML metadata is understood"), "{check}");
    let (sound, doctor) = said(&["doctor", "identity", "--issuer", "corp"]);
    assert!(sound, "{doctor}");
    for part in [
        "https://idp.example.test/saml",
        &place.at("/oauth/saml/corp/metadata"),
        "unchecked_seconds",
    ] {
        assert!(doctor.contains(part), "{part}: {doctor}");
    }
    let (done, login) = said(&["doctor", "identity", "--login", "--issuer", "corp"]);
    assert!(!done && login.contains("SAML"), "{login}");
    std::fs::write(place.site.dir.path().join("idp.xml"), "<none/>").unwrap();
    for arguments in [&["check"][..], &["doctor", "identity", "--issuer", "corp"]] {
        let (sound, words) = said(arguments);
        assert!(!sound && words.contains("is no SAML 2.0 metadata"), "{words}");
    }
}

async fn sign_in(browser: &Browser<'_>, name: &str) {
    browser.write("input[name=username]", name).await;
    browser.write("input[name=password]", name).await;
    browser.click("#submit_button").await;
}

/// The provider is on another site: its form brings cookies only if they are `SameSite=None`, and those
/// browsers take only if they are `Secure`, also on loopback without TLS.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_in_a_real_browser_comes_back_from_another_site() {
    let place = Place::open("localhost").await;
    let program = crate::facade::gate::page("<title>The program</title>".to_owned()).await;
    let back = format!("{program}/back");
    let driver = Driver::start();
    let browser = driver.browser().await;
    for round in 0..2 {
        browser.open(&place.asks(&back)).await;
        browser.click("button.yes").await;
        if round == 0 {
            browser.at("http://localhost:").await;
            sign_in(&browser, "alice").await; // the second time the provider knows them
        }
        let url = browser.at(&format!("{back}?")).await;
        assert_eq!(field(&url, "iss").as_deref(), Some(place.site.url.as_str()));
        let (status, issued) = place.token(&field(&url, "code").unwrap(), &back).await;
        assert_eq!(status, StatusCode::OK, "{issued}");
        assert_calls(&place, issued["access_token"].as_str().unwrap()).await;
        assert_eq!(browser.cookies().await, Vec::<Value>::new());
    }
    browser.close().await;
}

/// The attacker says yes in a browser of their own and gives the victim the way to the provider.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_27124_by_saml_too_a_second_browser_cannot_ride_on_the_firsts_consent() {
    let place = Place::open("localhost").await;
    let mut attacker = Visitor::default();
    let captured = attacker.approves(&place).await;
    let driver = Driver::start();
    let victim = driver.browser().await;
    victim.open(&captured).await;
    sign_in(&victim, "alice").await;
    let page = victim.says("This sign-in is over").await;
    assert!(!page.contains("tgc_"));
    assert_eq!(victim.url().await.as_str(), place.at("/oauth/saml/corp"));
    victim.close().await;
}
