//! Slack's Web API, as far as we need it: one request, one answer, within bounds. What it says is
//! an outsider's: only the fields we ask for are read, and its words reach our logs only as words it has for errors.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use super::pace::{Pace, kind};
use crate::clock::World;
use crate::identity::reach::Reach;
use crate::secret::Secret;

/// Bounds of one request.
const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(8);
/// The largest answer that is read, in bytes.
const ANSWER: usize = 512 * 1024;
/// The longest wait that is taken at its word, in seconds; afterwards it is asked again.
const LONGEST: u64 = 3600;
/// Errors of Slack's that say nothing about what was asked (docs.slack.dev, "Common errors").
const PASSING: &[&str] = &[
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
];

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It may be asked again, after this long where Slack says so.
    #[error("{why}")]
    Later { why: String, wait: Option<Duration> },
    /// Slack's word for why not.
    #[error("Slack says {0}")]
    No(String),
}

impl Fault {
    fn later(why: impl Into<String>) -> Self {
        Self::Later {
            why: why.into(),
            wait: None,
        }
    }
}

/// Whose tokens a request is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Bot,
    App,
}

/// What `users.info` says of an account.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) team_id: Option<String>,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) real_name: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    is_app_user: bool,
    #[serde(default)]
    is_restricted: bool,
    #[serde(default)]
    is_ultra_restricted: bool,
    #[serde(default)]
    is_stranger: bool,
}

impl Account {
    /// Why nobody decides with this account.
    pub(super) fn unfit(&self, team: &str) -> Option<&'static str> {
        if self.team_id.as_deref() != Some(team) {
            return Some("it is of another workspace");
        }
        let program = self.is_bot || self.is_app_user || self.id == "USLACKBOT";
        let guest = self.is_restricted || self.is_ultra_restricted || self.is_stranger;
        match (self.deleted, program, guest) {
            (true, _, _) => Some("it is switched off"),
            (_, true, _) => Some("it is a program's"),
            (_, _, true) => Some("it is a guest's"),
            _ => None,
        }
    }
}

/// The client of one installation.
pub(super) struct Api {
    base: Url,
    bot: Secret,
    app: Option<Secret>,
    client: Client,
    pace: Pace,
    world: Arc<dyn World>,
    /// The same without a bound on the whole, for what stays open.
    pub(super) open: Client,
}

impl Api {
    /// For the API at `base`.
    ///
    /// # Errors
    /// The client cannot be set up, or `base` is a private address.
    pub(super) fn new(
        base: Url,
        bot: Secret,
        app: Option<Secret>,
        world: Arc<dyn World>,
    ) -> Result<Self, String> {
        let reach = Reach::of(&base, false).ok_or("the url names an address of a private network")?;
        crate::identity::install_tls_provider();
        let builder = || {
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .http1_only()
                .dns_resolver(reach)
                .connect_timeout(CONNECT)
                .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        };
        let built = |client: reqwest::Result<Client>| client.map_err(|error| error.to_string());
        Ok(Self {
            base,
            bot,
            app,
            pace: Pace::default(),
            world,
            client: built(builder().timeout(WHOLE).build())?,
            open: built(builder().build())?,
        })
    }

    /// Whether the API is this machine, as in tests.
    pub(super) fn is_local(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// One method with JSON.
    pub(super) async fn call(&self, method: &str, body: &Value) -> Result<Value, Fault> {
        let channel = body.get("channel").and_then(Value::as_str);
        let coded = "application/json; charset=utf-8";
        let what = (method, kind(method, channel));
        self.send(what, As::Bot, coded, body.to_string()).await
    }

    /// Waits until it is a channel's turn for a message more.
    pub(super) async fn turn(&self, channel: &str) {
        while let Some(wait) = self.pace.turn(channel, self.world.monotonic()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// A message in a channel, or to an account, when it is its turn.
    pub(super) async fn post(&self, channel: &str, body: &Value) -> Result<Value, Fault> {
        self.turn(channel).await;
        self.call("chat.postMessage", body).await
    }

    /// One method with a form: some take nothing else.
    async fn form(&self, method: &str, who: As, fields: &[(&str, &str)]) -> Result<Value, Fault> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let coded = "application/x-www-form-urlencoded";
        self.send((method, kind(method, None)), who, coded, body).await
    }

    /// The workspace this installation is of.
    pub(super) async fn team(&self) -> Result<String, Fault> {
        let said = self.form("auth.test", As::Bot, &[]).await?;
        text(&said, "team_id")
    }

    /// What the workspace knows of an account.
    pub(super) async fn account(&self, user: &str) -> Result<Account, Fault> {
        let mut said = self.form("users.info", As::Bot, &[("user", user)]).await?;
        let account = said.get_mut("user").map(Value::take).unwrap_or_default();
        let account: Account =
            serde_json::from_value(account).map_err(|_| Fault::later("an answer that is none"))?;
        if account.id != user {
            return Err(Fault::later("an answer about another account"));
        }
        Ok(account)
    }

    /// Where to open a Socket Mode connection. Holds a ticket: not to be shown.
    pub(super) async fn socket(&self) -> Result<String, Fault> {
        let said = self.form("apps.connections.open", As::App, &[]).await?;
        text(&said, "url")
    }

    /// Says something to one person in a channel, seen by nobody else and kept by nobody.
    pub(super) async fn whisper(
        &self,
        channel: &str,
        user: &str,
        blocks: &Value,
        words: &str,
    ) -> Result<(), Fault> {
        let body = json!({"channel": channel, "user": user, "blocks": blocks, "text": words});
        self.call("chat.postEphemeral", &body).await.map(|_| ())
    }

    /// `what`: the method, and what a limit on it is about. What Slack wants to hear no more of is not sent.
    async fn send(
        &self,
        (method, kind): (&str, String),
        who: As,
        coded: &str,
        body: String,
    ) -> Result<Value, Fault> {
        if let Some(wait) = self.pace.closed(&kind, self.world.monotonic()) {
            return Err(Fault::Later {
                why: "Slack says it is too much".to_owned(),
                wait: Some(wait),
            });
        }
        let said = self.ask(method, who, coded, body).await;
        if let Err(Fault::Later { wait: Some(wait), .. }) = &said {
            self.pace.close(&kind, self.world.monotonic(), *wait);
        }
        said
    }

    async fn ask(&self, method: &str, who: As, coded: &str, body: String) -> Result<Value, Fault> {
        let token = match who {
            As::Bot => &self.bot,
            As::App => self
                .app
                .as_ref()
                .ok_or_else(|| Fault::No("no app token".to_owned()))?,
        };
        let url = self
            .base
            .join(method)
            .map_err(|_| Fault::No("no such method".to_owned()))?;
        let asked = self
            .client
            .post(url)
            .bearer_auth(token.expose())
            .header("content-type", coded)
            .body(body);
        match timeout(WHOLE, async { read(asked.send().await).await }).await {
            Ok(said) => said,
            Err(_) => Err(Fault::later("no answer in time")),
        }
    }
}

async fn read(answer: reqwest::Result<reqwest::Response>) -> Result<Value, Fault> {
    let mut answer = answer.map_err(|error| match error.is_timeout() {
        true => Fault::later("no answer in time"),
        false => Fault::later("Slack cannot be reached"),
    })?;
    let status = answer.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let after = answer.headers().get(RETRY_AFTER);
        let seconds = after.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        return Err(Fault::Later {
            why: "Slack says it is too much".to_owned(),
            wait: Some(Duration::from_secs(seconds.unwrap_or(30).clamp(1, LONGEST))),
        });
    }
    if !status.is_success() {
        return Err(Fault::later(format!("it answered HTTP {}", status.as_u16())));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|_| Fault::later("its answer broke off"))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER {
            return Err(Fault::later("its answer is too long"));
        }
    }
    let said: Value = serde_json::from_slice(&bytes).map_err(|_| Fault::later("an answer that is none"))?;
    match (said.get("ok"), said.get("error").and_then(Value::as_str)) {
        (Some(Value::Bool(true)), _) => Ok(said),
        (Some(Value::Bool(false)), Some(error)) if PASSING.contains(&error) => {
            Err(Fault::later(format!("Slack says {error}")))
        }
        (Some(Value::Bool(false)), Some(error)) => Err(Fault::No(word(error))),
        _ => Err(Fault::later("an answer that is none")),
    }
}

/// An error as it may be logged: a word, whatever was sent in its place.
fn word(error: &str) -> String {
    let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
    error.chars().filter(fits).take(64).collect()
}

fn text(said: &Value, name: &str) -> Result<String, Fault> {
    let found = said
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| text.len() <= 4096);
    found
        .map(str::to_owned)
        .ok_or_else(|| Fault::later("an answer that is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(more: &Value) -> Account {
        let mut all = json!({"id": "U1", "team_id": "T1"});
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn only_members_of_the_workspace_decide() {
        assert_eq!(account(&json!({})).unfit("T1"), None);
        assert!(account(&json!({})).unfit("T2").is_some());
        for flag in [
            "deleted",
            "is_bot",
            "is_app_user",
            "is_restricted",
            "is_ultra_restricted",
            "is_stranger",
        ] {
            assert!(account(&json!({flag: true})).unfit("T1").is_some(), "{flag}");
        }
        assert!(account(&json!({"team_id": null})).unfit("T1").is_some());
        assert!(account(&json!({"id": "USLACKBOT"})).unfit("T1").is_some());
    }

    #[test]
    fn an_error_is_a_word() {
        assert_eq!(word("channel_not_found"), "channel_not_found");
        assert_eq!(word("<b>\n\u{202e}no"), "bno");
    }
}
