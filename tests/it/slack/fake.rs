//! The stand-in for Slack, as a process of its own, and what people press there.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::site::root;
use crate::support::until;

pub(crate) const TEAM: &str = "T0000000001";

pub(crate) struct Fake {
    /// With a `/` at its end.
    pub(crate) url: String,
    http: reqwest::Client,
    /// Ends with its standard input.
    _child: Child,
}

/// Who presses.
pub(crate) struct Press<'a> {
    pub(crate) user: &'a str,
    pub(crate) team: &'a str,
    pub(crate) action: &'a str,
    /// When, as Slack counts: the same press has the same.
    pub(crate) at: &'a str,
}

impl<'a> Press<'a> {
    pub(crate) fn new(user: &'a str, action: &'a str, at: &'a str) -> Self {
        Self {
            user,
            team: TEAM,
            action,
            at,
        }
    }

    /// What Slack sends of it.
    pub(crate) fn payload(&self, message: &Value) -> Value {
        let ts = &message["ts"];
        let channel = &message["channel"];
        let id = format!("tollgate_{}", self.action);
        let value = value_of(message, &id).unwrap_or_default();
        json!({
            "type": "block_actions",
            "user": {"id": self.user, "username": "someone", "team_id": self.team},
            "team": {"id": self.team, "domain": "fake"},
            "api_app_id": "A1",
            "trigger_id": format!("trigger.{}", self.at),
            "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": false},
            "channel": {"id": channel, "name": "approvals"},
            "message": message,
            "actions": [{"type": "button", "action_id": id, "block_id": "tollgate_decide", "value": value, "action_ts": self.at}],
        })
    }
}

/// The value of a button of a message.
pub(crate) fn value_of(message: &Value, action: &str) -> Option<String> {
    let blocks = message["blocks"].as_array()?;
    let buttons = blocks
        .iter()
        .filter_map(|block| block["elements"].as_array())
        .flatten();
    let mut found = buttons.filter(|button| button["action_id"] == action);
    found.next()?["value"].as_str().map(str::to_owned)
}

/// The request a message is about, from its page's address.
pub(crate) fn request_of(message: &Value) -> String {
    let text = message["blocks"].to_string();
    let found = regex::Regex::new("/approvals/([a-z0-9]{32})").unwrap();
    found.captures(&text).unwrap()[1].to_owned()
}

impl Fake {
    #[expect(clippy::disallowed_methods, reason = "the tests start their peers")]
    pub(crate) async fn start() -> Self {
        let folder = root().join("tests/peers/slack");
        assert!(
            folder.join("node_modules/ws").exists(),
            "run tests/peers/setup-slack first"
        );
        let (child, url) = tokio::task::spawn_blocking(move || {
            let mut child = std::process::Command::new("node")
                .arg("fake.mjs")
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("node runs");
            let mut line = String::new();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            out.read_line(&mut line).unwrap();
            (child, line.trim().to_owned())
        })
        .await
        .unwrap();
        Self {
            url,
            http: tollgate::app::http_client().unwrap(),
            _child: child,
        }
    }

    pub(crate) async fn tell(&self, what: &str, body: &Value) {
        let url = format!("{}_/{what}", self.url);
        let answer = self.http.post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    pub(crate) async fn state(&self) -> Value {
        let answer = self
            .http
            .get(format!("{}_/state", self.url))
            .send()
            .await
            .unwrap();
        answer.json().await.unwrap()
    }

    /// The next `times` requests of a method fare like this.
    pub(crate) async fn fault(&self, method: &str, kind: &str, times: u32) {
        let body = json!({"method": method, "kind": kind, "times": times});
        self.tell("fault", &body).await;
    }

    /// The next `times` of them about this.
    pub(crate) async fn fault_about(&self, method: &str, kind: &str, about: &str, times: u32) {
        let body = json!({"method": method, "kind": kind, "times": times, "match": about});
        self.tell("fault", &body).await;
    }

    /// Once so many requests of a method were refused as a test said.
    pub(crate) async fn refused(&self, method: &str, times: usize) {
        until("refusals", async || {
            let state = self.state().await;
            let all = state["refused"].as_array()?.clone();
            (all.iter().filter(|one| **one == method).count() >= times).then_some(())
        })
        .await;
    }

    /// So many connections are open.
    pub(crate) async fn connected(&self, count: u64) {
        until("connections", async || {
            (self.state().await["connected"].as_u64()? >= count).then_some(())
        })
        .await;
    }

    /// Messages that are no answers in threads, once there are so many.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Value> {
        until("messages", async || {
            let state = self.state().await;
            let all = state["messages"].as_array()?.clone();
            let top: Vec<Value> = all
                .into_iter()
                .filter(|one| {
                    one.get("thread_ts").is_none() && one["channel"].as_str().unwrap().starts_with('C')
                })
                .collect();
            (top.len() >= count).then_some(top)
        })
        .await
    }

    /// A message as it is once it says this.
    pub(crate) async fn says(&self, ts: &Value, words: &str) -> Value {
        until(words, async || {
            let messages = self.messages(1).await;
            let message = messages.into_iter().find(|one| one["ts"] == *ts)?;
            message["blocks"].to_string().contains(words).then_some(message)
        })
        .await
    }

    /// Everything of a kind (`ephemerals`, `views`, `messages`), once one of them says this.
    pub(crate) async fn told(&self, kind: &str, words: &str) -> Value {
        until(words, async || {
            let state = self.state().await;
            let all = state[kind].as_array()?.clone();
            all.into_iter().find(|one| one.to_string().contains(words))
        })
        .await
    }

    /// What is said in a thread, once it says this.
    pub(crate) async fn threaded(&self, words: &str) -> Value {
        until(words, async || {
            let state = self.state().await;
            let all = state["messages"].as_array()?.clone();
            all.into_iter()
                .find(|one| one.get("thread_ts").is_some() && one.to_string().contains(words))
        })
        .await
    }

    /// Sends an interaction over one of the connections.
    pub(crate) async fn send(&self, envelope: &str, payload: &Value, times: u32) {
        let envelope = json!({
            "type": "interactive", "envelope_id": envelope, "payload": payload, "accepts_response_payload": true,
        });
        self.tell("send", &json!({"envelope": envelope, "times": times}))
            .await;
        let id = envelope["envelope_id"].clone();
        until("an acknowledgement", async || {
            let state = self.state().await;
            let acks = state["acks"].as_array()?;
            acks.iter().any(|ack| ack["envelope_id"] == id).then_some(())
        })
        .await;
    }

    pub(crate) async fn press(&self, message: &Value, press: &Press<'_>) {
        let envelope = format!("envelope-{}-{}", press.user, press.at);
        self.send(&envelope, &press.payload(message), 1).await;
    }
}
