//! A real, headless browser, driven as W3C WebDriver says.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use url::Url;

use crate::support::until;

/// How WebDriver names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running driver; it and its browsers end with this value.
pub(crate) struct Driver {
    process: Child,
    _output: BufReader<ChildStdout>,
    url: String,
    http: Client,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Driver {
    /// Starts it on a port of its choice, which it takes for both families of addresses: where somebody has that one of the
    /// second by then, it ends, and another is tried. A missing driver is a failure, never a skipped test.
    pub(crate) fn start() -> Self {
        let started = (0..10).find_map(|_| Self::try_start());
        started.expect("the driver did not start, ten times")
    }

    #[expect(clippy::disallowed_methods, reason = "the driver is another program")]
    fn try_start() -> Option<Self> {
        let mut process = std::process::Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver is not installed: run scripts/setup test");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                process.wait().unwrap();
                return None;
            }
            if let Some((_, rest)) = line.split_once("successfully on port ") {
                break rest.trim().trim_end_matches('.').to_owned();
            }
        };
        tollgate::identity::install_tls_provider();
        Some(Self {
            process,
            _output: output,
            url: format!("http://127.0.0.1:{port}"),
            http: Client::builder().no_proxy().tls_certs_only([]).build().unwrap(),
        })
    }

    /// A fresh browser: no cookies, nobody signed in.
    pub(crate) async fn browser(&self) -> Browser<'_> {
        let profile = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            // Nothing from elsewhere: pages of the provider name fonts of the internet, and would wait for them.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let answer = self
            .http
            .post(format!("{}/session", self.url))
            .json(&wanted)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        let session = answer["value"]["sessionId"].as_str();
        let session = session.unwrap_or_else(|| panic!("no browser: {answer}"));
        Browser {
            url: format!("{}/session/{session}", self.url),
            http: &self.http,
            _profile: profile,
        }
    }
}

/// One browser of one person.
pub(crate) struct Browser<'a> {
    url: String,
    http: &'a Client,
    _profile: tempfile::TempDir,
}

impl Browser<'_> {
    async fn post(&self, what: &str, body: &Value) -> Value {
        let answer = self
            .http
            .post(format!("{}/{what}", self.url))
            .json(body)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["value"].get("error").is_none(), "{what} {body}: {answer}");
        answer["value"].clone()
    }

    async fn get(&self, what: &str) -> Value {
        let answer = self
            .http
            .get(format!("{}/{what}", self.url))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["value"].clone()
    }

    pub(crate) async fn open(&self, url: &str) {
        self.post("url", &json!({"url": url})).await;
    }

    pub(crate) async fn url(&self) -> Url {
        Url::parse(self.get("url").await.as_str().unwrap()).unwrap()
    }

    pub(crate) async fn html(&self) -> String {
        self.get("source").await.as_str().unwrap().to_owned()
    }

    /// Waits for what this selector finds.
    async fn find(&self, css: &str) -> String {
        let body = json!({"using": "css selector", "value": css});
        until(css, async || {
            let answer = self
                .http
                .post(format!("{}/element", self.url))
                .json(&body)
                .send()
                .await
                .unwrap();
            let answer: Value = answer.json().await.unwrap();
            Some(answer["value"].get(ELEMENT)?.as_str()?.to_owned())
        })
        .await
    }

    /// Does something with what this selector finds, and gives that: where the page was another one by then, nothing was
    /// done, and it is found again.
    async fn with(&self, css: &str, what: &str, body: &Value) -> String {
        until(css, async || {
            let element = self.find(css).await;
            let address = format!("{}/element/{element}/{what}", self.url);
            let answer = self.http.post(address).json(body).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            match answer["value"]["error"].as_str() {
                None => Some(element),
                Some("stale element reference") => None,
                Some(_) => panic!("{what} {css}: {answer}"),
            }
        })
        .await
    }

    pub(crate) async fn click(&self, css: &str) {
        self.with(css, "click", &json!({})).await;
    }

    /// Clicks on what leads to another page, which may have the same address, and waits until it is there.
    pub(crate) async fn follow(&self, css: &str) {
        let element = self.with(css, "click", &json!({})).await;
        until("the page is another one", async || {
            let name = self.get(&format!("element/{element}/name")).await;
            name.get("error").map(drop)
        })
        .await;
    }

    pub(crate) async fn write(&self, css: &str, text: &str) {
        self.with(css, "value", &json!({"text": text})).await;
    }

    /// Waits until the page is one that begins so, and gives its address.
    pub(crate) async fn at(&self, begins: &str) -> Url {
        until(begins, async || {
            let url = self.url().await;
            url.as_str().starts_with(begins).then_some(url)
        })
        .await
    }

    /// Waits until the page says so.
    pub(crate) async fn says(&self, words: &str) -> String {
        until(words, async || {
            let html = self.html().await;
            html.contains(words).then_some(html)
        })
        .await
    }

    /// Names and values of the cookies of this page's host.
    pub(crate) async fn cookies(&self) -> Vec<Value> {
        self.get("cookie").await.as_array().unwrap().clone()
    }

    /// Runs a script in the page, under whatever policy it has; gives what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
            .await
    }

    /// Runs a script that calls its last argument when it is done.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        self.post("execute/async", &json!({"script": script, "args": []}))
            .await
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
            .await
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]});
        self.post("actions", &actions).await;
    }

    /// The page as it looks, a PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let picture = self.get("screenshot").await;
        STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }

    /// Gives the browser an authenticator that verifies its person (WebAuthn Level 3, section 12).
    pub(crate) async fn authenticator(&self) -> String {
        let what = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true,
        });
        let id = self.post("webauthn/authenticator", &what).await;
        id.as_str().unwrap().to_owned()
    }

    /// Whether the person of an authenticator verifies themselves from now on.
    pub(crate) async fn verifies(&self, authenticator: &str, verifies: bool) {
        let what = format!("webauthn/authenticator/{authenticator}/uv");
        self.post(&what, &json!({"isUserVerified": verifies})).await;
    }

    /// Ends the browser.
    pub(crate) async fn close(self) {
        let _ = self.http.delete(&self.url).send().await;
    }
}
