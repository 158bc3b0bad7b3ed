//! Decisions that an integration signs and sends back (Standard Webhooks 1.0, the other way round).
//!
//! It was told of a request by a notice, which is signed with another key, and repeats what that said: the request,
//! the action, the deadline, and a nonce that counts once. Nothing is parsed before its signature is checked. Whoever
//! has no key gets one and the same answer, whatever they name.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::answer::{self, Answer};
use super::front::{self, Asked, Front};
use super::notices::{self, ChannelError};
use super::problem::Problem;
use crate::approval::callbacks::{Callback, SIGNED_WITHIN};
use crate::approval::review::{Choice, Reviewer, Via};
use crate::attempts::Kind;
use crate::call::{User, UserKind, is_unseen};
use crate::identity::CALLBACK;
use crate::secret::Secret;

/// The largest body, in bytes.
const BODY_BYTES: usize = 16 * 1024;
/// The longest list of signatures, in bytes, and the most of them.
const SIGNATURES: usize = 1024;
const AT_ONCE: usize = 8;
/// The longest `webhook-id`, and the longest subject of a person, in bytes.
const MESSAGE: usize = 128;
const SUBJECT: usize = 255;

/// One integration that may decide.
pub struct Integration {
    name: String,
    keys: Vec<Zeroizing<Vec<u8>>>,
    groups: BTreeSet<String>,
}

impl std::fmt::Debug for Integration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Integration")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Integration {
    /// One of this name, in these groups. Each of `secrets` signs: while a key is changed there are two.
    ///
    /// # Errors
    /// [`ChannelError::Secret`].
    pub fn new(name: String, secrets: &[Secret], groups: BTreeSet<String>) -> Result<Self, ChannelError> {
        let keys: Option<Vec<_>> = secrets.iter().map(notices::key).collect();
        let keys = keys.filter(|keys| !keys.is_empty());
        Ok(Self {
            name,
            keys: keys.ok_or(ChannelError::Secret)?,
            groups,
        })
    }

    /// Whether one of its keys signed this body, and when that was (Unix seconds), if it was a moment ago.
    fn has_signed(&self, headers: &Signed<'_>, body: &[u8], now: u64) -> bool {
        let plain = headers.stamp.len() <= 20 && headers.stamp.bytes().all(|byte| byte.is_ascii_digit());
        let at = headers.stamp.parse::<u64>().ok().filter(|_| plain);
        let is_recent = at.is_some_and(|at| at.abs_diff(now) <= SIGNED_WITHIN.as_secs());
        let mut is_ours = false;
        for signature in headers.signatures.split(' ').take(AT_ONCE) {
            let Some(sent) = signature
                .strip_prefix("v1,")
                .and_then(|text| STANDARD.decode(text).ok())
            else {
                continue;
            };
            for key in &self.keys {
                is_ours |= signs(key, headers, body, &sent);
            }
        }
        is_recent && is_ours
    }
}

/// In constant time: `verify_slice` compares so.
fn signs(key: &[u8], headers: &Signed<'_>, body: &[u8], sent: &[u8]) -> bool {
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    code.update(format!("{}.{}.", headers.message, headers.stamp).as_bytes());
    code.update(body);
    code.verify_slice(sent).is_ok()
}

/// Every integration that may decide.
#[derive(Debug)]
pub struct Callbacks {
    integrations: BTreeMap<String, Integration>,
    issuers: BTreeSet<String>,
}

impl Callbacks {
    /// These, whose people are of these issuers (configured names). Names are distinct.
    #[must_use]
    pub fn new(integrations: Vec<Integration>, issuers: BTreeSet<String>) -> Self {
        let named = integrations.into_iter().map(|one| (one.name.clone(), one));
        Self {
            integrations: named.collect(),
            issuers,
        }
    }

    /// The person of a claim, as people are called here.
    fn is_person(&self, claim: &str) -> bool {
        claim.split_once('#').is_some_and(|(issuer, subject)| {
            self.issuers.contains(issuer)
                && !subject.is_empty()
                && subject.trim() == subject
                && subject.len() <= SUBJECT
                && !subject.chars().any(is_unseen)
        })
    }
}

/// The headers of a signature, each there once.
struct Signed<'a> {
    message: &'a str,
    stamp: &'a str,
    signatures: &'a str,
}

impl<'a> Signed<'a> {
    /// A message's id has no dot: what is signed is parted by dots.
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let one = |name: &str| {
            let mut all = headers.get_all(name).iter();
            let first = all.next()?.to_str().ok()?;
            all.next().is_none().then_some(first)
        };
        let signed = Self {
            message: one("webhook-id")?,
            stamp: one("webhook-timestamp")?,
            signatures: one("webhook-signature")?,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=MESSAGE).contains(&signed.message.len())
            && signed.message.bytes().all(plain)
            && signed.signatures.len() <= SIGNATURES;
        fits.then_some(signed)
    }
}

/// What an integration says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    approval: String,
    action_sha256: String,
    nonce: String,
    decide_by: String,
    decision: Word,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    on_behalf: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Approve,
    Refuse,
}

/// One decision of the integration of this name.
pub(super) async fn answer(front: &Front, name: &str, asked: Asked) -> Result<Answer, Problem> {
    asked.only(&[Method::POST])?;
    let callbacks = front.spec.callbacks.clone().ok_or_else(Problem::not_found)?;
    front.attempt(Kind::Credential, asked.from)?;
    let headers = asked.headers;
    let body = front.body_of(asked.body, BODY_BYTES).await?;
    let now = front.spec.world.now();
    let signed = Signed::of(&headers).ok_or_else(Problem::unsigned)?;
    let integration = callbacks
        .integrations
        .get(name)
        .filter(|one| one.has_signed(&signed, &body, now.seconds()))
        .ok_or_else(Problem::unsigned)?;
    front.spec.attempts.give_back(Kind::Credential, asked.from);
    let said: Said = super::api::parsed(&body)?;
    let id = front::approval(&said.approval).ok_or_else(Problem::not_found)?;
    if said
        .on_behalf
        .as_deref()
        .is_some_and(|claim| !callbacks.is_person(claim))
    {
        return Err(Problem::malformed(
            "on_behalf is no person as they are called here: <name of the issuer>#<subject>.",
        ));
    }
    let choice = match (said.decision, said.reason) {
        (Word::Approve, None) => Choice::Approve,
        (Word::Refuse, reason) => Choice::Refuse(reason.unwrap_or_default()),
        (Word::Approve, Some(_)) => {
            return Err(Problem::malformed("A reason goes with a refusal alone."));
        }
    };
    let reviewer = Reviewer {
        user: User {
            issuer: CALLBACK.to_owned(),
            subject: integration.name.clone(),
            kind: UserKind::Service,
            groups: integration.groups.clone(),
        },
        signed_in_at: now,
        acr: None,
        may_reach: Vec::new(),
        key: None,
        via: Via::Callback(Callback {
            integration: integration.name.clone(),
            message: signed.message.to_owned(),
            nonce: said.nonce,
            decide_by: said.decide_by,
            on_behalf: said.on_behalf,
        }),
    };
    let card = front
        .desk
        .decide(&reviewer, &id, choice, &said.action_sha256)
        .await?;
    Ok(answer::json(&json!({"approval": card.id, "state": card.state})))
}

#[cfg(test)]
mod tests;
