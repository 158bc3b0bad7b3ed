//! The whole of it as an organisation runs it: the demo's configuration and the shipped policies, the real
//! binary with its side for people, agents that call it, and people who decide over its API.

use reqwest::Method;
use serde_json::{Value, json};

use super::process::Process;
use super::site::Site;
use super::until;

/// The control side's client at the issuer.
const CLIENT: &str = "tollgate-control";

/// A site whose server has a side for people; calls wait `hold` seconds for them.
pub(crate) struct Governed {
    pub(crate) site: Site,
    control: String,
}

impl Governed {
    pub(crate) async fn new(hold: u32) -> Self {
        let site = Site::for_process().await;
        let other = Site::free_port().await; // both ports are the server's to take
        let port = other.local_addr().unwrap().port();
        drop(other);
        let control = format!("http://localhost:{port}");
        site.add_control(port, CLIENT);
        site.configure(&format!("[approval]\nhold_seconds = {hold}\n"));
        Self { site, control }
    }

    /// Starts the binary, also again after it ended.
    pub(crate) async fn serve(&mut self) -> Process {
        Process::serve(&mut self.site, &[]).await
    }

    /// Somebody who has just signed in as a person.
    pub(crate) fn person(&self, subject: &str, groups: &[&str]) -> Person {
        Person {
            control: self.control.clone(),
            token: self.site.issuer.id_token(CLIENT, subject, groups),
            host: None,
        }
    }
}

/// Somebody on the control side.
#[derive(Clone)]
pub(crate) struct Person {
    control: String,
    token: String,
    /// What they call the server, where that is not its address.
    host: Option<String>,
}

impl Person {
    /// With this ID token at this control side.
    pub(crate) fn new(control: &str, token: String) -> Self {
        let control = control.to_owned();
        let host = None;
        Self { control, token, host }
    }

    /// The same person at another process of this server, which listens at this port.
    pub(crate) fn by(&self, port: &str) -> Self {
        let url = url::Url::parse(&self.control).unwrap();
        Self {
            control: format!("http://127.0.0.1:{port}"),
            host: Some(url.authority().to_owned()),
            token: self.token.clone(),
        }
    }

    /// Where the API's requests are.
    pub(crate) fn url(&self) -> String {
        format!("{}/api/approvals", self.control)
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Status and body of one request to the API.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let http = tollgate::app::http_client().unwrap();
        let mut request = http.request(method, format!("{}{path}", self.url()));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(host) = &self.host {
            request = request.header("host", host);
        }
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The requests this person may decide now.
    pub(crate) async fn waiting(&self) -> Vec<Value> {
        let (status, list) = self.api(Method::GET, "", None).await;
        assert_eq!(status, 200, "{list}");
        let cards = list["approvals"].as_array().unwrap().iter();
        let mine = cards.filter(|card| card["may_decide"] == json!(true));
        mine.cloned().collect()
    }

    /// Waits until there is exactly one to decide, and shows it.
    pub(crate) async fn asked(&self) -> Value {
        let id = until("a request to decide", async || {
            let cards = self.waiting().await;
            (cards.len() == 1).then(|| cards[0]["id"].as_str().unwrap().to_owned())
        })
        .await;
        self.show(&id).await
    }

    /// Everything there is to see of one request.
    pub(crate) async fn show(&self, id: &str) -> Value {
        let (status, sheet) = self.api(Method::GET, &format!("/{id}"), None).await;
        assert_eq!(status, 200, "{sheet}");
        sheet
    }

    /// Tries to approve what `sheet` shows.
    pub(crate) async fn try_approve(&self, sheet: &Value) -> (u16, Value) {
        let path = format!("/{}/approve", sheet["id"].as_str().unwrap());
        let seen = json!({ "action_sha256": sheet["action_sha256"] });
        self.api(Method::POST, &path, Some(&seen)).await
    }

    /// Approves what `sheet` shows.
    pub(crate) async fn approve(&self, sheet: &Value) {
        let (status, card) = self.try_approve(sheet).await;
        assert_eq!(status, 200, "{card}");
    }

    /// Refuses it.
    pub(crate) async fn refuse(&self, sheet: &Value, reason: &str) {
        let path = format!("/{}/refuse", sheet["id"].as_str().unwrap());
        let seen = json!({ "action_sha256": sheet["action_sha256"], "reason": reason });
        let (status, card) = self.api(Method::POST, &path, Some(&seen)).await;
        assert_eq!(status, 200, "{card}");
    }
}
