//! The real binary as the facade of a certified provider, people who sign in through it, and notes of every
//! secret that was ever made and of every answer that says no.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, Purpose};
use tollgate::call::Hash;
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::demo::{CONTROL, Way, config_text};
use url::Url;

use crate::identity::idp::Idp;
use crate::support::agent::Agent;
use crate::support::governed::Person;
use crate::support::process::Process;
use crate::support::site::{Server, Site};

/// Where the program of the tests takes its answers.
const BACK: &str = "http://127.0.0.1/back";
/// As the provider knows us (`tests/peers/idp/idp.mjs`).
const SECRET: &str = "gate-secret of/this test";

pub(super) struct Stand {
    pub(super) idp: Idp,
    pub(super) site: Site,
    pub(super) control: String,
    /// Where the second replica listens.
    pub(super) second: String,
    listener: Option<TcpListener>,
    secrets: Mutex<Vec<(String, String)>>,
    refusals: Mutex<Vec<(String, Vec<u8>)>>,
}

/// An answer that has been read.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text))
    }

    /// The cookie this answer sets, as a browser sends it; others it may take away.
    pub(super) fn cookie(&self) -> String {
        let lines = self.headers.get_all("set-cookie").iter();
        let pairs = lines.map(|line| line.to_str().unwrap().split(';').next().unwrap());
        let mut set = pairs.filter(|pair| !pair.ends_with('='));
        set.next().unwrap().to_owned()
    }

    /// The value of a hidden field.
    fn field(&self, name: &str) -> String {
        let (_, rest) = self
            .text
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

/// What a sign-in gave a program.
pub(super) struct Grant {
    pub(super) code: String,
    pub(super) verifier: String,
    pub(super) access: String,
    pub(super) refresh: String,
}

pub(super) fn random() -> String {
    let mut bytes = [0; 32];
    System::new().random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields).finish()
}

impl Stand {
    /// With these policies, and `more` at the end of the configuration.
    pub(super) async fn new(policies: &str, more: &str) -> Self {
        let (idp, site) = (Idp::start(), Site::for_process().await);
        let (people, second) = (Site::free_port().await, Site::free_port().await);
        let port = people.local_addr().unwrap().port();
        let stand = Self {
            control: format!("http://localhost:{port}"),
            second: second.local_addr().unwrap().to_string(),
            listener: Some(second),
            idp,
            site,
            secrets: Mutex::default(),
            refusals: Mutex::default(),
        };
        stand.site.set_policies(policies);
        let mut key = [0; 32];
        System::new().random(&mut key);
        let key = stand.file("facade.key", "the sealing key", &STANDARD.encode(key));
        let client = stand.file("client.secret", "our client secret at the provider", SECRET);
        let issuer = &stand.idp.issuer;
        let text = config_text(&stand.site.url, Some(port), "corp", issuer, Way::Facade(&key));
        let ours = format!(
            "client_id = \"gate-basic\"\nclient_secret = \"file:{}\"\n",
            client.display()
        );
        let text = text
            .replace("client_id = \"tollgate\"\n", &ours)
            .replace("corp:analyst\"", "corp:analysts\"");
        let text = format!(
            "{text}\n{more}\n[[facade.client]]\nid = \"editor\"\nname = \"The editor\"\nredirect_uris = [\"{BACK}\"]\n"
        );
        std::fs::write(stand.site.config(), text).unwrap();
        stand
    }

    /// A file with a secret in it, which only its owner can read.
    pub(super) fn file(&self, name: &str, what: &str, secret: &str) -> PathBuf {
        let path = self.site.dir.path().join(name);
        std::fs::write(&path, secret).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        self.note(what, secret);
        path
    }

    pub(super) async fn serve(&mut self, arguments: &[&str]) -> Process {
        Process::serve(&mut self.site, arguments).await
    }

    /// A second replica on the same store, in the process of the test, which listens at [`Self::second`]: all of the
    /// program but its guard against a second `tollgate serve` on one store.
    pub(super) async fn serve_second(&mut self) -> Server {
        let config = self.site.dir.path().join("second.toml");
        std::fs::copy(self.site.config(), &config).unwrap();
        let config = Config::load(&config).unwrap();
        let app = App::build(config, Purpose::Serve).await.unwrap();
        let shutdown = CancellationToken::new();
        let listener = self.listener.take().expect("served twice");
        let task = tokio::spawn(app.serve(listener, shutdown.clone()));
        Server { shutdown, task }
    }

    /// From now on nothing may show this.
    pub(super) fn note(&self, what: &str, secret: &str) {
        assert!(secret.len() >= 8, "too short to be looked for: {what}");
        let mut secrets = self.secrets.lock().unwrap();
        secrets.push((what.to_owned(), secret.to_owned()));
    }

    pub(super) fn secrets(&self) -> Vec<(String, String)> {
        self.secrets.lock().unwrap().clone()
    }

    /// Every answer so far that said no, and what it was to.
    pub(super) fn refusals(&self) -> Vec<(String, Vec<u8>)> {
        self.refusals.lock().unwrap().clone()
    }

    /// Sends it, reads the answer, and notes its cookies and, when it says no, its text.
    pub(super) async fn send(&self, what: &str, request: RequestBuilder) -> Reply {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        for cookie in headers.get_all("set-cookie") {
            let (_, value) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = value.split(';').next().unwrap();
            if !value.is_empty() {
                self.note("a cookie", value);
            }
        }
        if status >= 400 {
            let said = format!("{headers:?}\n{text}").into_bytes();
            self.refusals
                .lock()
                .unwrap()
                .push((format!("{what}: {status}"), said));
        }
        Reply {
            status,
            headers,
            text,
        }
    }

    pub(super) fn http() -> reqwest::Client {
        tollgate::app::http_client().unwrap()
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = Self::http()
            .post(format!("{}{path}", self.site.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(fields));
        self.send(path, request).await
    }

    /// The same as a browser with this cookie sends it from our own page.
    pub(super) async fn submit(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Reply {
        let request = Self::http()
            .post(format!("{}{path}", self.site.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", &self.site.url)
            .header("cookie", cookie)
            .body(form(fields));
        self.send(path, request).await
    }

    /// Says yes to what this page asks, and goes to the provider as `user`: the address of the callback, and the
    /// cookie it needs.
    pub(super) async fn consent(&self, page: &Reply, user: &str) -> (String, String) {
        let (id, token) = (page.field("id"), page.field("token"));
        self.note("the id of a sign-in, our state at the provider", &id);
        self.note("the token of a form", &token);
        let fields = [("id", id.as_str()), ("token", &token), ("at", "corp")];
        let agreed = self.submit("/oauth/consent", &page.cookie(), &fields).await;
        let refresh = agreed.headers["refresh"].to_str().unwrap();
        let provider = refresh.strip_prefix("0;url=").unwrap();
        let to = format!("{}/oauth/callback/corp", self.site.url);
        let query = [("url", provider), ("to", to.as_str()), ("user", user)];
        let callback = self.idp.ask("visit", &query).await.as_str().unwrap().to_owned();
        if let Some(code) = field(&callback, "code") {
            self.note("a code of the provider", &code);
        }
        (callback, agreed.cookie())
    }

    pub(super) async fn come_back(&self, callback: &str, cookie: &str) -> Reply {
        let request = Self::http().get(callback).header("cookie", cookie);
        self.send("the callback", request).await
    }

    /// The question that a program's request leads to.
    pub(super) async fn question(&self, verifier: &str) -> Reply {
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).0);
        let resource = self.site.endpoint();
        let fields = [
            ("client_id", "editor"),
            ("redirect_uri", BACK),
            ("response_type", "code"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("state", "s"),
            ("resource", &resource),
        ];
        let url = Url::parse_with_params(&format!("{}/oauth/authorize", self.site.url), fields).unwrap();
        self.send("a request to authorize", Self::http().get(url)).await
    }

    /// `user` signs in for the program: its code and its verifier.
    pub(super) async fn code(&self, user: &str) -> (String, String) {
        let verifier = random();
        self.note("a verifier", &verifier);
        let (callback, cookie) = self.consent(&self.question(&verifier).await, user).await;
        let back = self.come_back(&callback, &cookie).await;
        let back = back
            .headers
            .get("location")
            .unwrap_or_else(|| panic!("{}", back.text));
        let code = field(back.to_str().unwrap(), "code").unwrap();
        self.note("a code", &code);
        (code, verifier)
    }

    /// Exchanges a code.
    pub(super) async fn redeem(&self, code: &str, verifier: &str) -> Reply {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", "editor"),
            ("redirect_uri", BACK),
            ("code", code),
            ("code_verifier", verifier),
        ];
        self.post("/oauth/token", &fields).await
    }

    pub(super) async fn refresh(&self, token: &str) -> Reply {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", "editor"),
            ("refresh_token", token),
        ];
        self.post("/oauth/token", &fields).await
    }

    /// The tokens of an answer.
    pub(super) fn tokens(&self, answer: &Reply) -> (String, String) {
        let answer = answer.json();
        let text = |name: &str| {
            let token = answer[name].as_str().unwrap_or_else(|| panic!("{answer}"));
            self.note(name, token);
            token.to_owned()
        };
        (text("access_token"), text("refresh_token"))
    }

    /// `user` signs in for the program.
    pub(super) async fn sign_in(&self, user: &str) -> Grant {
        let (code, verifier) = self.code(user).await;
        let (access, refresh) = self.tokens(&self.redeem(&code, &verifier).await);
        Grant {
            code,
            verifier,
            access,
            refresh,
        }
    }

    /// The program of somebody who signed in.
    pub(super) fn agent(&self, grant: &Grant) -> Agent {
        Agent::with(&self.site, grant.access.clone())
    }

    /// An ID token of `user` for the people's side.
    pub(super) async fn id_token(&self, user: &str) -> String {
        let verifier = random();
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).0);
        let redirect = "http://127.0.0.1/callback";
        let fields = [
            ("client_id", CONTROL),
            ("redirect_uri", redirect),
            ("response_type", "code"),
            ("scope", "openid"),
            ("max_age", "300"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let url = Url::parse_with_params(&format!("{}/auth", self.idp.issuer), fields).unwrap();
        let query = [("url", url.as_str()), ("to", redirect), ("user", user)];
        let back = self.idp.ask("visit", &query).await;
        let code = field(back.as_str().unwrap(), "code").unwrap();
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", CONTROL),
            ("redirect_uri", redirect),
            ("code", &code),
            ("code_verifier", &verifier),
        ];
        let request = Self::http()
            .post(format!("{}/token", self.idp.issuer))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&fields));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let token = answer["id_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
        self.note("an ID token", token);
        token.to_owned()
    }

    /// `user` on the people's side.
    pub(super) async fn person(&self, user: &str) -> Person {
        Person::new(&self.control, self.id_token(user).await)
    }

    /// The sessions that the owner of this ID token sees.
    pub(super) async fn sessions(&self, id_token: &str) -> Vec<Value> {
        let request = Self::http().get(format!("{}/api/sessions", self.control));
        let answer = self.send("sessions", request.bearer_auth(id_token)).await.json();
        answer["sessions"].as_array().unwrap().clone()
    }

    /// Ends one there.
    pub(super) async fn end(&self, id_token: &str, session: &Value) {
        let id = session["id"].as_str().unwrap();
        let request = Self::http().post(format!("{}/api/sessions/{id}/end", self.control));
        let request = request.bearer_auth(id_token).json(&serde_json::json!({}));
        let ended = self.send("the end of a session", request).await;
        assert_eq!(ended.status, 200, "{}", ended.text);
    }
}

/// One parameter of an address.
pub(super) fn field(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    let mut pairs = url.query_pairs();
    pairs
        .find(|(one, _)| one == name)
        .map(|(_, value)| value.into_owned())
}
