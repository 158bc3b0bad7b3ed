//! Starts SimpleSAMLphp with the configuration of `tests/peers/saml` and signs in there as a browser does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use tollgate::clock::{Timestamp, World};
use tollgate::identity::provider::{Provider, Question, SignInError, SignedIn};
use tollgate::identity::saml::{self, SamlSpec};
use zeroize::Zeroizing;

/// Where Tollgate would be; nothing is ever asked of it.
pub(super) const GATE: &str = "https://gate.example.test";

/// A running provider; it ends with this value.
pub(super) struct Idp {
    process: Child,
    _output: BufReader<ChildStderr>,
    folder: tempfile::TempDir,
    pub(super) address: String,
    browser: reqwest::Client,
}

impl Drop for Idp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/saml")
}

/// A file that `tests/peers/setup-saml` made: a missing one is a failure, never a skipped test.
pub(super) fn made(name: &str) -> String {
    let file = folder().join("installed/keys").join(name);
    std::fs::read_to_string(file).expect("the SAML provider is not set up: run tests/peers/setup-saml")
}

impl Idp {
    /// Starts it on a port of its own choice and waits for the line that names it.
    #[expect(clippy::disallowed_methods, reason = "the provider is another program")]
    pub(super) fn start() -> Self {
        made("idp.crt");
        tollgate::identity::install_tls_provider();
        let scratch = tempfile::tempdir().unwrap();
        let mut process = std::process::Command::new("php")
            .args(["-d", "display_errors=0", "-S", "127.0.0.1:0", "-t"])
            .arg(folder().join("installed/program/www"))
            .env("SIMPLESAMLPHP_CONFIG_DIR", folder().join("config"))
            .env("TOLLGATE_IDP_DIR", scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("php is missing: run scripts/setup test");
        let mut output = BufReader::new(process.stderr.take().unwrap());
        let started = Regex::new(r"\((http://127\.0\.0\.1:\d+)\) started").unwrap();
        let mut line = String::new();
        let address = loop {
            line.clear();
            let read = output.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the provider did not start");
            if let Some(found) = started.captures(&line) {
                break found[1].to_owned();
            }
        };
        Self {
            process,
            _output: output,
            folder: scratch,
            address,
            browser: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    pub(super) async fn metadata(&self) -> String {
        self.metadata_at(&self.address).await
    }

    /// As it describes itself to whoever calls it this.
    pub(super) async fn metadata_at(&self, address: &str) -> String {
        let url = format!("{address}/saml2/idp/metadata.php");
        let answer = self.browser.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    /// As whoever sets it up gives it the metadata of a Tollgate.
    pub(super) fn meet(&self, metadata: &str) {
        std::fs::write(self.folder.path().join("gate.xml"), metadata).unwrap();
    }

    /// Tollgate's side of the client of this name there.
    pub(super) async fn client(&self, name: &str) -> Client {
        Client::new(spec(name, self.metadata().await))
    }

    /// Signs in with a browser that knows nothing yet. The fields its last form would post, and where to.
    pub(super) async fn sign_in(&self, begin: &str, who: &str) -> (String, Vec<(String, String)>) {
        let mut cookies = BTreeMap::new();
        let mut page = self.visit(&mut cookies, begin, None).await;
        if page.contains("name=\"password\"") {
            let form = fields(&page);
            let known = form.iter().filter(|(name, _)| name == "AuthState");
            let mut form: Vec<_> = known.cloned().collect();
            form.push(("username".to_owned(), who.to_owned()));
            form.push(("password".to_owned(), who.to_owned()));
            let url = format!("{}/module.php/core/loginuserpass.php", self.address);
            page = self.visit(&mut cookies, &url, Some(&form)).await;
        }
        let action = Regex::new(r#"<form[^>]*action="([^"]*)""#).unwrap();
        let action = action
            .captures(&page)
            .unwrap_or_else(|| panic!("no form: {page}"));
        (unescaped(&action[1]), fields(&page))
    }

    async fn visit(
        &self,
        cookies: &mut BTreeMap<String, String>,
        url: &str,
        form: Option<&[(String, String)]>,
    ) -> String {
        let mut url = url.to_owned();
        let mut form = form.map(|form| {
            url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(form)
                .finish()
        });
        for _ in 0..10 {
            let carried: Vec<_> = cookies
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let request = match form.take() {
                Some(body) => self
                    .browser
                    .post(&url)
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .body(body),
                None => self.browser.get(&url),
            };
            let answer = request.header("Cookie", carried.join("; ")).send().await.unwrap();
            for set in answer.headers().get_all("Set-Cookie") {
                let pair = set.to_str().unwrap().split(';').next().unwrap();
                let (key, value) = pair.split_once('=').unwrap();
                cookies.insert(key.to_owned(), value.to_owned());
            }
            if !answer.status().is_redirection() {
                return answer.text().await.unwrap();
            }
            let place = answer.headers()["Location"].to_str().unwrap();
            url = url::Url::parse(&url).unwrap().join(place).unwrap().into();
        }
        panic!("too many redirects");
    }
}

fn fields(page: &str) -> Vec<(String, String)> {
    let input = Regex::new(r#"<input type="hidden" name="([^"]*)" value="([^"]*)""#).unwrap();
    let found = input.captures_iter(page);
    found
        .map(|found| (unescaped(&found[1]), unescaped(&found[2])))
        .collect()
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#039;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

pub(super) fn spec(name: &str, metadata: String) -> SamlSpec {
    SamlSpec {
        name: name.to_owned(),
        public_url: GATE.to_owned(),
        metadata,
        groups_claim: Some("/groups".to_owned()),
        groups_cut_at: Some(100),
        max_lifetime_seconds: 86_400,
    }
}

/// Ours is set from what the provider answers, so that no test depends on how long something took.
#[derive(Debug)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    /// The moment an answer was made.
    pub(super) fn set(&self, answer: &Answer) {
        let written = Regex::new(r#"<saml:Assertion [^>]*IssueInstant="([^"]*)""#).unwrap();
        let sealed = Regex::new(r#"IssueInstant="([^"]*)""#).unwrap();
        let found = written
            .captures(&answer.xml)
            .or_else(|| sealed.captures(&answer.xml));
        let format = &time::format_description::well_known::Rfc3339;
        let at = time::OffsetDateTime::parse(&found.unwrap()[1], format).unwrap();
        self.0
            .store(at.unix_timestamp().cast_unsigned(), Ordering::SeqCst);
    }

    pub(super) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds.cast_unsigned(), Ordering::SeqCst);
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
        buffer.fill(7);
    }
}

/// Tollgate's side.
pub(super) struct Client {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) clock: Arc<Clock>,
}

/// A response, decoded, to be posted or changed first.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) question: Question,
    pub(super) xml: String,
}

pub(super) fn question(max_age: Option<u64>) -> Question {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    Question {
        redirect_uri: format!("{GATE}/unused"),
        state: Zeroizing::new(format!("state-{count}-{}", "s".repeat(32))),
        nonce: Zeroizing::new(format!("nonce-{count}-{}", "n".repeat(32))),
        verifier: Zeroizing::new("v".repeat(43)),
        max_age,
        acr_values: Vec::new(),
    }
}

impl Client {
    pub(super) fn new(spec: SamlSpec) -> Self {
        let clock = Arc::new(Clock(AtomicU64::new(1_800_000_000)));
        Self {
            provider: saml::provider(spec, clock.clone()).unwrap(),
            clock,
        }
    }

    /// What the provider answers to a fresh question when this person signs in.
    pub(super) async fn asked(&self, idp: &Idp, who: &str) -> Answer {
        self.asked_with(idp, who, question(None)).await
    }

    pub(super) async fn asked_with(&self, idp: &Idp, who: &str, question: Question) -> Answer {
        let begin = self.provider.begin(&question).await.unwrap();
        let (_, fields) = idp.sign_in(begin.as_str(), who).await;
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| key == name);
            found.unwrap_or_else(|| panic!("no {name}")).1.clone()
        };
        assert_eq!(field("RelayState"), *question.state);
        let xml = STANDARD.decode(field("SAMLResponse")).unwrap();
        let answer = Answer {
            question,
            xml: String::from_utf8(xml).unwrap(),
        };
        self.clock.set(&answer);
        answer
    }

    pub(super) async fn post(&self, answer: &Answer) -> Result<SignedIn, SignInError> {
        self.post_text(&answer.question, &answer.xml).await
    }

    /// The same answer with another text.
    pub(super) async fn post_changed(&self, answer: &Answer, xml: &str) -> SignInError {
        assert_ne!(answer.xml, xml, "the attack changed nothing");
        let refused = self.post_text(&answer.question, xml).await;
        refused.expect_err("a changed response signed somebody in")
    }

    pub(super) async fn post_text(&self, question: &Question, xml: &str) -> Result<SignedIn, SignInError> {
        let fields = [
            ("SAMLResponse".to_owned(), STANDARD.encode(xml)),
            ("RelayState".to_owned(), question.state.to_string()),
        ];
        self.provider.finish(question, &fields).await
    }
}
