//! Outgoing notices (Standard Webhooks 1.0): every transition to whoever the operator named.
//!
//! They tell and never decide: nothing that comes back is read but the status. What is owed, tried and
//! given up is in the store, so a restart forgets nothing; a notice may come twice, with the same
//! `webhook-id`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use url::Url;
use zeroize::Zeroizing;

use crate::approval::{Approvals, Event};
use crate::call::Hash;
use crate::clock::World;
use crate::identity::reach::Reach;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::approvals::Delivery;

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
/// A secret of Standard Webhooks: 24 to 64 bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What hides secrets in words of people before they leave.
pub type WordMask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Why a channel cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Not `whsec_` and base64 of 24 to 64 bytes.
    #[error("the secret is not a Standard Webhooks secret; make one: echo whsec_$(openssl rand -base64 32)")]
    Secret,
    /// A private address, and nobody said that is meant.
    #[error("the url names an address of a private network; if that is meant, set allow_private = true")]
    Private,
    /// The client cannot be set up.
    #[error("{0}")]
    Client(String),
}

/// One webhook.
pub struct Channel {
    name: String,
    url: Url,
    key: Zeroizing<Vec<u8>>,
    client: Client,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// A webhook at `url` (https, or http to loopback).
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn new(url: Url, secret: &Secret, allow_private: bool) -> Result<Self, ChannelError> {
        let key = key(secret).ok_or(ChannelError::Secret)?;
        let reach = Reach::of(&url, allow_private).ok_or(ChannelError::Private)?;
        crate::identity::install_tls_provider();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(reach)
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ChannelError::Client(error.to_string()))?;
        Ok(Self {
            name: name(&url),
            url,
            key,
            client,
        })
    }

    /// What it is called in the store: the same for the same address, whatever order they are written in.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends one notice. `Ok` when it was taken (2xx).
    async fn send(&self, id: &str, at: u64, body: String) -> Result<(), Failure> {
        let signature = self
            .signature(id, at, &body)
            .ok_or(Failure::Unsent("not signed"))?;
        let sent = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Failure::Status(answer.status().as_u16())),
            Err(error) if error.is_timeout() => Err(Failure::Unsent("no answer in time")),
            Err(_) => Err(Failure::Unsent("cannot be reached")),
        }
    }

    /// `v1,` and the HMAC-SHA256 of `id.timestamp.body`.
    fn signature(&self, id: &str, at: u64, body: &str) -> Option<String> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        code.update(format!("{id}.{at}.").as_bytes());
        code.update(body.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(code.finalize().into_bytes())))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Status(u16),
    Unsent(&'static str),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it answered HTTP {status}"),
            Self::Unsent(why) => f.write_str(why),
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
            let now = self.world.now();
            let id = format!("msg_{}_{}", event.approval, event.seq);
            let sent = self.channel.send(&id, now.seconds(), self.body(&event)).await;
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
            if matches!(sent, Err(Failure::Unsent(_))) {
                break;
            }
        }
        Ok(())
    }

    /// What becomes of a notice that failed for the `attempts`-th time. 410 says: never again.
    fn after(&self, failure: Failure, attempts: u32) -> Delivery {
        let error = failure.to_string();
        if attempts >= ATTEMPTS || failure == Failure::Status(410) {
            return Delivery::Dead { error };
        }
        let mut random = [0; 2];
        self.world.random(&mut random);
        let wait = u64::try_from(wait(attempts, u16::from_le_bytes(random)).as_millis()).unwrap_or(u64::MAX);
        Delivery::Failed {
            next_at: self.world.now().0.saturating_add(wait),
            error,
        }
    }

    fn body(&self, event: &Event) -> String {
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
        }
        json!({
            "type": format!("approval.{}", event.event),
            "timestamp": event.at,
            "data": data,
        })
        .to_string()
    }
}

/// Twice as long each time, between half of it and all of it, so that many do not come back at once.
fn wait(attempts: u32, random: u16) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    let whole = doubled.min(LONGEST_WAIT);
    whole.mul_f64(0.5 + f64::from(random) / f64::from(u16::MAX) / 2.0)
}

fn key(secret: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let encoded = secret.expose().strip_prefix("whsec_")?;
    let key = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    SECRET_BYTES.contains(&key.len()).then_some(key)
}

/// An address can hold a secret of its own, so what is stored and shown is its host and a digest.
fn name(url: &Url) -> String {
    let digest: String = Hash::of(url.as_str().as_bytes()).hex().chars().take(12).collect();
    format!("webhook {} {digest}", url.host_str().unwrap_or_default())
}
