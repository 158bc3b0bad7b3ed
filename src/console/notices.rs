//! Outgoing notices: every transition to the webhooks that the operator named (Standard Webhooks 1.0), and to people
//! in Teams and by e-mail what waits for them, with a link.
//!
//! They tell and never decide: nothing that comes back is read but the status. What is owed, tried and
//! given up is in the store, so a restart forgets nothing; a notice may come twice, with the same
//! `webhook-id`. To an integration that may decide ([`super::callbacks`]) they carry what it has to repeat.

pub mod mail;
mod teams;
#[cfg(test)]
mod tests;
mod told;
mod webhook;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::approval::review::{Posting, State};
use crate::approval::{Approvals, Event, Events};
use crate::call::Hash;
use crate::clock::World;
use crate::identity::reach::Reach;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::approvals::Delivery;
use mail::{Due, Mail};
use teams::Teams;
use told::Told;
use webhook::Webhook;
pub(super) use webhook::key;

/// Attempts after which a notice is a dead letter: some three hours.
pub const ATTEMPTS: u32 = 12;
/// The first wait after a failure, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How often there is a look for something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Notices of one look.
const AT_ONCE: u32 = 20;
/// Bounds of one attempt.
const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(10);
/// How long one process has a notice to itself: longer than an attempt may take.
const CLAIM: Duration = Duration::from_secs(30);

/// What hides secrets in words of people before they leave.
pub type WordMask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Why a channel cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Not `whsec_` and base64 of 24 to 64 bytes.
    #[error("the secret is not a Standard Webhooks secret; make one: echo whsec_$(openssl rand -base64 32)")]
    Secret,
    /// Not an address of a Workflows webhook.
    #[error("the secret is not the https address of a Workflows webhook, as Teams gives it")]
    Address,
    /// A private address, and nobody said that is meant.
    #[error("the url names an address of a private network; if that is meant, set allow_private = true")]
    Private,
    /// The same of a mail server.
    #[error(
        "the mail server has an address of a private network; if that is meant, set allow_private = true"
    )]
    PrivateServer,
    /// A file that holds no certificates, or cannot be read.
    #[error("ca is not a readable PEM file with certificates")]
    Authorities,
    /// Nobody is there to vouch for anybody.
    #[error(
        "this machine knows no certificate authorities; install ca-certificates, or name a PEM file in ca"
    )]
    NoAuthorities,
    /// The client cannot be set up.
    #[error("{0}")]
    Client(String),
}

/// One receiver, and how it is told.
pub struct Channel {
    name: String,
    carrier: Carrier,
}

enum Carrier {
    Webhook(Webhook),
    Teams(Teams),
    Mail(Mail),
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A receiver that may decide.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The integration's name.
    pub name: String,
    /// The groups in which it is.
    pub groups: BTreeSet<String>,
}

impl Channel {
    /// A webhook at `url` (https, or http to loopback).
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn new(url: Url, secret: &Secret, allow_private: bool) -> Result<Self, ChannelError> {
        let host = url.host_str().unwrap_or_default();
        Ok(Self {
            // An address can hold a secret of its own, so what is stored and shown is its host and a digest.
            name: format!("webhook {host} {}", digest(url.as_str())),
            carrier: Carrier::Webhook(Webhook::new(url, secret, allow_private)?),
        })
    }

    /// A channel of Teams, by the address of its Workflows webhook: whoever knows that can write there.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn teams(address: &Secret, allow_private: bool) -> Result<Self, ChannelError> {
        Ok(Self {
            name: format!("teams {}", digest(address.expose())),
            carrier: Carrier::Teams(Teams::new(address, allow_private)?),
        })
    }

    /// A channel for each recipient of mail.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn mail(spec: mail::Spec<'_>) -> Result<Vec<Self>, ChannelError> {
        mail::channels(spec)
    }

    /// The same, for a receiver that may decide. Only a webhook has one.
    #[must_use]
    pub fn answered_by(mut self, answers: Answers) -> Self {
        if let Carrier::Webhook(webhook) = &mut self.carrier {
            webhook.answers = Some(answers);
        }
        self
    }

    /// What it is called in the store: the same for the same address, whatever order they are written in.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A client that goes where it is told and nowhere else.
fn client(url: &Url, allow_private: bool) -> Result<Client, ChannelError> {
    let reach = Reach::of(url, allow_private).ok_or(ChannelError::Private)?;
    crate::identity::install_tls_provider();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .dns_resolver(reach)
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ChannelError::Client(error.without_url().to_string()))
}

/// What came of one attempt over HTTP.
fn outcome(sent: Result<reqwest::Response, reqwest::Error>) -> Result<(), Failure> {
    match sent {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let after = answer.headers().get(reqwest::header::RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Err(Failure::Status(answer.status().as_u16(), after))
        }
        Err(error) if error.is_timeout() => Err(Failure::Unsent("no answer in time")),
        Err(_) => Err(Failure::Unsent("cannot be reached")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Its status, and for how many seconds it wants to be left alone.
    Status(u16, Option<u64>),
    Unsent(&'static str),
    /// A mail server that does not take it now, by its code.
    Busy(u16),
    /// A mail server that never takes it.
    Refused(u16),
    /// The store has its request and cannot read it.
    Unread,
}

impl Failure {
    /// What came before a message was spoken of says nothing of the message: it is tried again.
    fn of_session(self) -> Self {
        match self {
            Self::Refused(code) => Self::Busy(code),
            other => other,
        }
    }
}

impl Failure {
    /// That we have not said who we are, or not well enough (RFC 4954, section 6), says nothing of the message either.
    fn of_standing(self) -> Self {
        match self {
            Self::Refused(code @ (530 | 534 | 535 | 538)) => Self::Busy(code),
            other => other,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status, _) => write!(f, "it answered HTTP {status}"),
            Self::Unsent(why) => f.write_str(why),
            Self::Unread => f.write_str("its request cannot be read from the store"),
            Self::Busy(code) | Self::Refused(code) => write!(f, "it answered SMTP {code}"),
        }
    }
}

/// Who tells a channel what happens.
pub struct Teller {
    approvals: Approvals,
    channel: Channel,
    /// Where a request's page is.
    control: Option<Url>,
    mask: WordMask,
    world: Arc<dyn World>,
}

impl Teller {
    /// Ready to run.
    #[must_use]
    pub fn new(
        approvals: Approvals,
        channel: Channel,
        control: Option<Url>,
        mask: WordMask,
        world: Arc<dyn World>,
    ) -> Self {
        Self {
            approvals,
            channel,
            control,
            mask,
            world,
        }
    }

    /// Tells everything there is and will be, until `stop` fires.
    pub async fn run(self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut known = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            if !known {
                known = match self.open().await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::error!(channel = self.channel.name, "notices: {error}");
                        continue;
                    }
                };
            }
            tokio::select! {
                () = stop.cancelled() => return,
                told = self.tell() => if let Err(error) = told {
                    tracing::error!(channel = self.channel.name, "notices: {error}");
                },
            }
        }
    }

    async fn open(&self) -> Result<(), StoreError> {
        match self.approvals.events() {
            Some(events) => events.open(&self.channel.name).await,
            None => Ok(()),
        }
    }

    /// One look: what is owed now. Ends early when nobody is there, so that one dead receiver costs one
    /// wait a look and not twenty.
    async fn tell(&self) -> Result<(), StoreError> {
        let Some(events) = self.approvals.events() else {
            return Ok(());
        };
        for (event, before) in events.undelivered(&self.channel.name, AT_ONCE).await? {
            if !events.claim(&self.channel.name, event.seq, CLAIM).await? {
                continue; // another process gives it
            }
            let given = match self.give(events, &event).await {
                Err(error) if error.is_of_a_row() => {
                    if before == 0 {
                        tracing::error!(channel = self.channel.name, "a notice is set aside: {error}");
                    }
                    Ok(Given::Sent(Err(Failure::Unread)))
                }
                given => given,
            };
            let sent = match given? {
                Given::NotYet => break,
                Given::Later => continue, // its lease is the wait
                Given::Nothing => {
                    events
                        .mark(&self.channel.name, event.seq, &Delivery::Passed)
                        .await?;
                    continue;
                }
                Given::Sent(sent) => sent,
            };
            let how = match sent {
                Ok(()) => Delivery::Delivered,
                Err(failure) => self.after(failure, before + 1),
            };
            if let Delivery::Dead { error } = &how {
                tracing::warn!(
                    channel = self.channel.name,
                    seq = event.seq,
                    error,
                    "a notice is given up"
                );
            }
            events.mark(&self.channel.name, event.seq, &how).await?;
            if matches!(
                sent,
                Err(Failure::Unsent(_) | Failure::Status(429, _) | Failure::Busy(_))
            ) {
                break;
            }
        }
        Ok(())
    }

    /// Gives one notice, if it is for this channel.
    async fn give(&self, events: Events<'_>, event: &Event) -> Result<Given, StoreError> {
        Ok(match &self.channel.carrier {
            Carrier::Webhook(webhook) => {
                let callback = match self.callback(webhook, events, event).await? {
                    Asks::NotYet => return Ok(Given::NotYet),
                    Asks::Nothing => None,
                    Asks::Decision(callback) => Some(callback),
                };
                let id = format!("msg_{}_{}", event.approval, event.seq);
                let (now, body) = (self.world.now().seconds(), self.body(event, callback));
                Given::Sent(webhook.send(&id, now, body).await)
            }
            Carrier::Teams(teams) => match self.told(events, event).await? {
                News::NotYet => Given::NotYet,
                News::Nothing => Given::Nothing,
                News::Told(told) => Given::Sent(teams.send(&told).await),
            },
            Carrier::Mail(mail) => self.write(mail, events, event).await?,
        })
    }

    /// Writes to one recipient, where there is something that they do not know.
    async fn write(&self, mail: &Mail, events: Events<'_>, event: &Event) -> Result<Given, StoreError> {
        let before = events.told_before(&self.channel.name, event).await?;
        let which = match Mail::due(&event.event, &before) {
            Due::Nothing => return Ok(Given::Nothing),
            Due::Later => return Ok(Given::Later),
            Due::One(which) => which,
        };
        let Some(posting) = events.posting(&event.approval).await? else {
            return Ok(Given::NotYet);
        };
        // Who was told that something waits is told how it ended, whoever is asked by now.
        let concerns = which == mail::Which::End || mail.is_for(&posting);
        if !concerns || which == mail::Which::First && posting.state != State::Pending {
            return Ok(Given::Nothing);
        }
        let mask = |words: &str| (self.mask)(words);
        let told = match which {
            mail::Which::First => Told::of(event, &posting, &mask),
            mail::Which::End | mail::Which::Glass => Told::ended(event, &posting, &mask),
        };
        Ok(Given::Sent(mail.send(&told, which, event).await))
    }

    /// What becomes of a notice that failed for the `attempts`-th time. 410 says: never again, and so does a mail server's 5xx.
    fn after(&self, failure: Failure, attempts: u32) -> Delivery {
        let error = failure.to_string();
        let (gone, asked) = match failure {
            Failure::Status(status, after) => (status == 410, after.unwrap_or(0)),
            Failure::Refused(_) => (true, 0),
            Failure::Unsent(_) | Failure::Busy(_) | Failure::Unread => (false, 0),
        };
        if attempts >= ATTEMPTS || gone {
            return Delivery::Dead { error };
        }
        let mut random = [0; 2];
        self.world.random(&mut random);
        let asked = Duration::from_secs(asked).min(LONGEST_WAIT);
        let wait = wait(attempts, u16::from_le_bytes(random)).max(asked);
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Delivery::Failed {
            next_at: self.world.now().0.saturating_add(wait),
            error,
        }
    }

    /// What its receiver needs to decide, if it may and there is something to decide.
    async fn callback(
        &self,
        webhook: &Webhook,
        events: Events<'_>,
        event: &Event,
    ) -> Result<Asks, StoreError> {
        let (Some(answers), Some(control)) = (&webhook.answers, &self.control) else {
            return Ok(Asks::Nothing);
        };
        if !matches!(event.event.as_str(), "requested" | "approved" | "escalated") {
            return Ok(Asks::Nothing);
        }
        let Some(posting) = events.posting(&event.approval).await? else {
            return Ok(Asks::NotYet);
        };
        if !self.may_answer(answers, &posting) {
            return Ok(Asks::Nothing);
        }
        let nonce = events.nonce(&event.approval, &answers.name).await?;
        let commands = posting.facts.pointer("/shell/commands");
        let statement = posting.runs.as_ref().and_then(|runs| runs.get("statement"));
        let claimed = posting.claimed_reason.map(|words| (self.mask)(&words));
        let callback = json!({
            "url": format!("{control}api/callbacks/{}", answers.name),
            "nonce": nonce,
            "decide_by": posting.decide_by.rfc3339(),
            "statement": statement,
            "commands": commands,
            "bound": posting.bound,
            "unattended": posting.unattended,
            "claimed_reason": claimed,
        });
        Ok(Asks::Decision(callback))
    }

    /// What people who are only told are told: what waits for them, while it does, and that the glass was broken.
    async fn told(&self, events: Events<'_>, event: &Event) -> Result<News, StoreError> {
        let loud = event.event == "break_glass";
        if !loud && !matches!(event.event.as_str(), "requested" | "escalated") {
            return Ok(News::Nothing);
        }
        let Some(posting) = events.posting(&event.approval).await? else {
            return Ok(News::NotYet);
        };
        if !loud && posting.state != State::Pending {
            return Ok(News::Nothing); // decided before anybody could be told: no noise
        }
        let told = Told::of(event, &posting, &|words| (self.mask)(words));
        Ok(News::Told(Box::new(told)))
    }

    /// Only what everybody who reads a channel may decide there, and only those who are asked.
    fn may_answer(&self, answers: &Answers, posting: &Posting) -> bool {
        let seats = posting.asks.iter().flat_map(|ask| &ask.seats);
        let mut asked = seats.map(|(_, group)| group).chain(&posting.escalated_to);
        posting.state == State::Pending
            && posting.page_only.is_none()
            && asked.any(|group| answers.groups.contains(group))
            && super::slack::fits(posting, &|words| (self.mask)(words))
    }

    fn body(&self, event: &Event, callback: Option<Value>) -> String {
        let mut data = serde_json::to_value(event).unwrap_or_default();
        if let Some(members) = data.as_object_mut() {
            for name in ["words", "agent", "requester", "by"] {
                if let Some(Value::String(words)) = members.get_mut(name) {
                    *words = (self.mask)(words);
                }
            }
            if let Some(control) = &self.control {
                members.insert(
                    "url".to_owned(),
                    json!(format!("{control}approvals/{}", event.approval)),
                );
            }
            if let Some(callback) = callback {
                members.insert("callback".to_owned(), callback);
            }
        }
        json!({
            "type": format!("approval.{}", event.event),
            "timestamp": event.at,
            "data": data,
        })
        .to_string()
    }
}

/// What became of giving a notice.
enum Given {
    /// As [`Asks::NotYet`].
    NotYet,
    /// Another notice of the same request comes first.
    Later,
    Nothing,
    Sent(Result<(), Failure>),
}

/// What a notice asks of its receiver.
enum Asks {
    /// Something of the request is not on record yet: it is told later.
    NotYet,
    Nothing,
    Decision(Value),
}

/// What a notice says to people.
enum News {
    /// As [`Asks::NotYet`].
    NotYet,
    Nothing,
    Told(Box<Told>),
}

/// Twice as long each time, between half of it and all of it, so that many do not come back at once.
fn wait(attempts: u32, random: u16) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    let whole = doubled.min(LONGEST_WAIT);
    whole.mul_f64(0.5 + f64::from(random) / f64::from(u16::MAX) / 2.0)
}

fn digest(address: &str) -> String {
    Hash::of(address.as_bytes()).hex().chars().take(12).collect()
}
