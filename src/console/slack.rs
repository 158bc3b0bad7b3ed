//! Slack: requests as messages in channels, decisions by the people who linked their accounts there.
//!
//! A message is a view of the durable record, like every page. What is pressed decides through [`super::Desk`], under
//! the identity that a person's own sign-in linked to the account, and only what the approval stage lets be decided
//! by a message (`approval/posting`). Slack being away loses nothing and lets nothing through: what is to be told is
//! in the store, and what nobody decided is refused by its deadline.

mod acts;
mod api;
pub(super) mod card;
pub(super) mod link;
mod linking;
mod pace;
mod posts;
mod routes;
mod signature;
mod socket;
mod threads;
pub(super) mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::sync::{Notify, OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use routes::{Escalation, Route};

use super::Desk;
use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::notices::WordMask;
use super::problem::Problem;
use crate::approval::Approvals;
use crate::approval::review::Posting;
use crate::call::Hash;
use crate::clock::World;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::rows::Rows;

/// Envelopes that are worked on at once; what comes beyond is not taken, and pressed again.
const AT_ONCE: usize = 64;
/// How long it is remembered what came: longer than a signature counts or Slack tries again, in milliseconds.
const REMEMBERED: u64 = 24 * 3_600_000;
/// How long the store may take before whoever pressed is told that nothing was decided.
const STORE: Duration = Duration::from_secs(5);
/// The largest body that Slack sends, in bytes: a card of ours comes back with what was pressed on it.
const BODY_BYTES: usize = 1024 * 1024;

/// How what people press comes back.
#[derive(Debug)]
pub enum Delivery {
    /// Socket Mode, with the app-level token.
    Socket(Secret),
    /// Requests to `/slack/interactivity`, signed with this secret.
    Http(Secret),
}

/// One installation.
#[derive(Debug)]
pub struct Spec {
    /// The Web API, with a `/` at its end.
    pub url: Url,
    /// The app's token in the workspace.
    pub bot_token: Secret,
    /// How what people press comes back.
    pub delivery: Delivery,
    /// Where requests go that no route names.
    pub channel: String,
    /// Group or policy → where its requests go.
    pub routes: BTreeMap<String, Route>,
    /// Where requests go that nobody decides.
    pub escalation: Option<Escalation>,
    /// How long a link lasts.
    pub link: Duration,
    /// What people's browsers call the control side.
    pub control: Url,
    /// Authentication context classes that each issuer can be asked for.
    pub acr: BTreeMap<String, Vec<String>>,
}

/// Where links go on record.
pub trait LinkLedger: Send + Sync {
    /// Gives whether it is on record.
    fn record(&self, what: Value) -> BoxFuture<'_, bool>;
}

/// What Slack needs of the rest.
pub struct Parts {
    /// The requests, as channels may show them.
    pub approvals: Approvals,
    /// What decides.
    pub desk: Arc<dyn Desk>,
    /// Messages, links and what came.
    pub rows: Rows,
    /// Hides secrets in words of people and programs.
    pub mask: WordMask,
    /// Where links go on record.
    pub ledger: Arc<dyn LinkLedger>,
    /// Time and randomness.
    pub world: Arc<dyn World>,
}

/// One installation at work.
pub struct Slack {
    spec: Spec,
    parts: Parts,
    api: api::Api,
    world: Arc<dyn World>,
    /// The workspace, once Slack has said which.
    team: OnceCell<String>,
    at_once: Arc<Semaphore>,
    /// The same for telling people that theirs was not taken.
    at_a_loss: Arc<Semaphore>,
    /// Something was decided: there is something to tell.
    nudge: Notify,
}

impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack")
            .field("channel", &self.spec.channel)
            .finish_non_exhaustive()
    }
}

impl Slack {
    /// Ready to run.
    ///
    /// # Errors
    /// The client cannot be set up, or the url is a private address.
    pub fn new(mut spec: Spec, parts: Parts) -> Result<Arc<Self>, String> {
        let app = match &mut spec.delivery {
            Delivery::Socket(token) => Some(std::mem::replace(token, Secret::new(String::new()))),
            Delivery::Http(_) => None,
        };
        let bot = std::mem::replace(&mut spec.bot_token, Secret::new(String::new()));
        let api = api::Api::new(spec.url.clone(), bot, app, Arc::clone(&parts.world))?;
        Ok(Arc::new(Self {
            spec,
            world: Arc::clone(&parts.world),
            parts,
            api,
            team: OnceCell::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            at_a_loss: Arc::new(Semaphore::new(AT_ONCE)),
            nudge: Notify::new(),
        }))
    }

    /// Shows requests and listens until `stop` fires.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let listening = async {
            if matches!(self.spec.delivery, Delivery::Socket(_)) {
                socket::run(Arc::clone(&self), stop.clone()).await;
            }
        };
        tokio::join!(listening, posts::run(&self, &stop));
    }

    async fn team(&self) -> Result<&str, api::Fault> {
        let team = self.team.get_or_try_init(|| self.api.team()).await?;
        Ok(team)
    }

    fn dice(&self) -> u16 {
        let mut random = [0; 2];
        self.world.random(&mut random);
        u16::from_le_bytes(random)
    }

    /// Whether this has not come before, to whatever process that shares the store.
    async fn is_new(&self, what: &[&str]) -> Result<bool, StoreError> {
        let mut text = String::new();
        for part in what {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        let now = self.world.now().0;
        let mut tx = self.parts.rows.write().await?;
        let new = tx
            .first_time(&Hash::of(text.as_bytes()).0, now, now.saturating_sub(REMEMBERED))
            .await?;
        tx.commit().await?;
        Ok(new)
    }

    /// Works on one interaction that was acknowledged; `what` names it. Whoever pressed is told when it is not taken.
    fn take(self: &Arc<Self>, what: String, payload: Value) {
        let Ok(permit) = Arc::clone(&self.at_once).try_acquire_owned() else {
            tracing::warn!("Slack sends more than can be worked on; an interaction was not taken");
            self.tell_untaken(payload);
            return;
        };
        let slack = Arc::clone(self);
        tokio::spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(STORE, slack.is_new(&[&what])).await {
                Ok(Ok(true)) => acts::interaction(&slack, payload).await,
                Ok(Ok(false)) => tracing::debug!("an interaction came again"),
                Ok(Err(error)) => {
                    tracing::error!("an interaction was not taken: {error}");
                    slack.tell_untaken(payload);
                }
                Err(_) => {
                    tracing::error!("an interaction was not taken: the store does not answer");
                    slack.tell_untaken(payload);
                }
            }
        });
    }

    fn tell_untaken(self: &Arc<Self>, payload: Value) {
        let Ok(permit) = Arc::clone(&self.at_a_loss).try_acquire_owned() else {
            return;
        };
        let slack = Arc::clone(self);
        tokio::spawn(async move {
            let _permit = permit;
            acts::untaken(&slack, payload).await;
        });
    }

    /// One request of Slack's to `/slack/interactivity`. Answered before it is worked on, within Slack's three seconds.
    pub(super) async fn interactivity(
        self: &Arc<Self>,
        front: &Front,
        asked: Asked,
    ) -> Result<Answer, Problem> {
        asked.only(&[Method::POST])?;
        let Delivery::Http(secret) = &self.spec.delivery else {
            return Err(Problem::not_found());
        };
        let headers = asked.headers;
        let body = front.body_of(asked.body, BODY_BYTES).await?;
        let now = self.world.now().seconds();
        let (stamp, signature) = signed(&headers).ok_or_else(Problem::forged)?;
        if !signature::is_valid(secret, stamp, &body, signature, now) {
            tracing::warn!("refused a request with a bad or old signature at /slack/interactivity");
            return Err(Problem::forged());
        }
        let payload = url::form_urlencoded::parse(&body).find(|(name, _)| name == "payload");
        let payload = payload.and_then(|(_, text)| serde_json::from_str(&text).ok());
        let payload = payload.ok_or_else(|| Problem::malformed("There is no payload in it."))?;
        self.take(format!("signed {stamp} {signature}"), payload);
        Ok(Answer::default())
    }
}

/// Whether everything that a request is decided on fits a message: what does not is decided on its page alone.
pub(super) fn fits(posting: &Posting, mask: &dyn Fn(&str) -> String) -> bool {
    card::message(posting, mask, &[]).decides
}

/// The headers of a signature, each there once.
fn signed(headers: &HeaderMap) -> Option<(&str, &str)> {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        let first = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(first)
    };
    Some((one("x-slack-request-timestamp")?, one("x-slack-signature")?))
}

/// One request to anything below `/slack`.
pub(super) async fn answer(front: &Front, rest: &[&str], asked: Asked) -> Result<Answer, Problem> {
    let slack = front.spec.slack.clone().ok_or_else(Problem::not_found)?;
    match rest {
        ["interactivity"] => slack.interactivity(front, asked).await,
        [] if asked.method != Method::POST => {
            asked.only(&[Method::GET, Method::HEAD, Method::POST])?;
            link::show(front, &slack, &asked).await
        }
        [] => link::typed(front, &slack, asked).await,
        ["link"] => {
            asked.only(&[Method::POST])?;
            link::confirmed(front, &slack, asked).await
        }
        ["unlink"] => {
            asked.only(&[Method::POST])?;
            link::removed(front, &slack, asked).await
        }
        _ => Err(Problem::not_found()),
    }
}

/// Where every form of these pages leads back to.
fn back() -> Answer {
    answer::see("/slack")
}
