//! API keys of services: who may make, rotate and take them back, by API and by page.
//!
//! Every change needs what a decision needs: an interactive sign-in of a moment ago, and on pages a form of
//! ours, made for this session. What a person may administer is policy's business ([`KeyDesk`]).

mod page;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::problem::Problem;
use super::{api, pages};
use crate::approval::review::Reviewer;
use crate::clock::Timestamp;
use crate::identity::services::{Key, KeyText, Terms};

/// What the control side needs to look after keys.
pub trait KeyDesk: Send + Sync + std::fmt::Debug {
    /// The keys this person may administer, those that work first.
    fn list<'a>(&'a self, who: &'a Reviewer) -> BoxFuture<'a, Result<Vec<Key>, KeyProblem>>;
    /// A key for a service that has none that works.
    fn create<'a>(
        &'a self,
        who: &'a Reviewer,
        terms: Terms,
    ) -> BoxFuture<'a, Result<(Key, KeyText), KeyProblem>>;
    /// Another key for the same; the old one ends after `overlap`.
    fn rotate<'a>(
        &'a self,
        who: &'a Reviewer,
        id: &'a str,
        overlap: Duration,
        life: Option<Duration>,
    ) -> BoxFuture<'a, Result<(Key, KeyText), KeyProblem>>;
    /// Takes a key back.
    fn revoke<'a>(&'a self, who: &'a Reviewer, id: &'a str) -> BoxFuture<'a, Result<Key, KeyProblem>>;
    /// Names that a form can offer.
    fn names(&self) -> KeyNames;
    /// Whether there is anything here for this person.
    fn opens_to(&self, who: &Reviewer) -> bool;
}

/// What a key can be for under this configuration.
#[expect(missing_docs, reason = "each field is what it is called")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyNames {
    pub groups: BTreeSet<String>,
    pub tools: BTreeSet<String>,
    pub resources: BTreeSet<String>,
}

/// Why a key was not made, rotated or taken back. `Display` says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// No policy permits it.
    #[error("no policy permits you to administer {0}")]
    NotPermitted(String),
    /// There is none, or none that this person may administer.
    #[error("there is no such key, or none that you may administer")]
    Unknown,
    /// Something asked for does not exist or does not fit.
    #[error("{0}")]
    Wrong(String),
    /// Keys that are there are in the way.
    #[error("{0}")]
    Conflict(String),
    /// The journal cannot be written: without a record there is no key.
    #[error("the journal cannot be written, so nothing was changed")]
    Unrecorded,
    /// It was done, and the journal cannot be written.
    #[error("it was done, but it is not on record: the journal cannot be written")]
    DoneUnrecorded,
    /// The store cannot be used.
    #[error("the store cannot be used at the moment")]
    Failed,
}

/// A key as programs read it: everything but the key.
#[must_use]
pub fn described(key: &Key, now: Timestamp) -> Value {
    let maybe = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
    json!({
        "id": key.id,
        "service": key.service,
        "state": key.state(now),
        "groups": key.groups,
        "tools": key.tools,
        "resources": key.resources,
        "made_by": key.made_by,
        "created_at": key.created_at.rfc3339(),
        "expires_at": key.expires_at.rfc3339(),
        "used_at": maybe(key.used_at),
        "revoked_at": maybe(key.revoked_at),
        "revoked_by": key.revoked_by,
    })
}

/// What is done with a key that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyVerb {
    Rotate,
    Revoke,
}

impl KeyVerb {
    fn word(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Revoke => "revoke",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Rotate, Self::Revoke]
            .into_iter()
            .find(|verb| verb.word() == word)
    }
}

/// Addresses below `keys`, of the API and of the pages alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// All of them; and a new one.
    All,
    /// One of them.
    Act(String, KeyVerb),
}

impl Place {
    /// What comes after `keys`.
    pub(super) fn of(rest: &[&str]) -> Option<Self> {
        match rest {
            [] => Some(Self::All),
            [id, verb] => {
                let fits = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
                let verb = KeyVerb::of(verb).filter(|_| fits)?;
                Some(Self::Act((*id).to_owned(), verb))
            }
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    service: String,
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default)]
    tools: BTreeSet<String>,
    #[serde(default)]
    resources: BTreeSet<String>,
    life_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    overlap_seconds: u64,
    #[serde(default)]
    life_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// One request to `/api/keys`.
pub(super) async fn answer(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    asked.only(match place {
        Place::All => &[Method::GET, Method::HEAD, Method::POST],
        Place::Act(..) => &[Method::POST],
    })?;
    let desk = desk(front)?;
    let reads = asked.method != Method::POST;
    match place {
        Place::All if reads => {
            let who = api::reviewer(front, &asked).await?;
            let now = front.spec.world.now();
            let keys = desk.list(&who).await?;
            let keys: Vec<Value> = keys.iter().map(|key| described(key, now)).collect();
            Ok(answer::json(&json!({ "keys": keys })))
        }
        Place::All => {
            let who = api::reviewer(front, &asked).await?;
            let new: Create = api::acting(front, &who, asked).await?;
            let made = desk.create(&who, terms(new)).await?;
            Ok(shown(&made))
        }
        Place::Act(id, verb) => {
            let who = api::reviewer(front, &asked).await?;
            match verb {
                KeyVerb::Rotate => {
                    let how: Rotate = api::acting(front, &who, asked).await?;
                    let overlap = Duration::from_secs(how.overlap_seconds);
                    let life = how.life_seconds.map(Duration::from_secs);
                    Ok(shown(&desk.rotate(&who, &id, overlap, life).await?))
                }
                KeyVerb::Revoke => {
                    let Nothing {} = api::acting(front, &who, asked).await?;
                    let key = desk.revoke(&who, &id).await?;
                    Ok(answer::json(&described(&key, front.spec.world.now())))
                }
            }
        }
    }
}

fn terms(new: Create) -> Terms {
    Terms {
        service: new.service,
        groups: new.groups,
        tools: new.tools,
        resources: new.resources,
        life: Duration::from_secs(new.life_seconds),
    }
}

/// The only answer that a key is ever in.
fn shown((key, text): &(Key, KeyText)) -> Answer {
    let mut made = described(key, key.created_at);
    if let Some(members) = made.as_object_mut() {
        members.insert("key".to_owned(), json!(text.expose()));
    }
    let mut answer = answer::json(&made);
    *answer.status_mut() = StatusCode::CREATED;
    answer
}

/// One request to the pages at `/keys`.
pub(super) async fn page(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    let desk = desk(front)?;
    let seated = pages::seated(front, &asked.headers);
    if place == Place::All && asked.method != Method::POST {
        asked.only(&[Method::GET, Method::HEAD, Method::POST])?;
        let Some(seated) = seated else {
            return Ok(answer::see("/sign-in?back=%2Fkeys"));
        };
        let who = pages::reviewer(front, &seated);
        let keys = desk.list(&who).await?;
        let body = page::list(front, &seated, &keys, &desk.names());
        return Ok(pages::page(front, &seated, "API keys", &body));
    }
    asked.only(&[Method::POST])?;
    pages::from_our_page(front, &asked.headers)?;
    let Some(seated) = seated else {
        return Ok(answer::see("/keys"));
    };
    let fields = pages::form(front, asked).await?;
    let token = pages::field(&fields, "token")?;
    let is_token = |about: &[&str]| front.sessions.is_token(&seated, about, token);
    let ours = match &place {
        Place::All => is_token(&page::CREATE),
        Place::Act(id, verb) => is_token(&page::act(*verb, id)),
    };
    if !ours {
        return Err(Problem::forged());
    }
    let who = pages::reviewer(front, &seated);
    if front.fresh(&who).is_err() {
        return Ok(answer::see("/keys")); // which says so, and how to go on
    }
    let made = match &place {
        Place::All => desk.create(&who, page::asked_for(&fields)?).await?,
        Place::Act(id, KeyVerb::Rotate) => {
            let hours = page::number(&fields, "hours")?;
            let overlap = Duration::from_secs(hours.saturating_mul(3_600));
            desk.rotate(&who, id, overlap, None).await?
        }
        Place::Act(id, KeyVerb::Revoke) => {
            desk.revoke(&who, id).await?;
            return Ok(answer::see("/keys"));
        }
    };
    Ok(pages::page(front, &seated, "API key", &page::made(&made)))
}

fn desk(front: &Front) -> Result<&dyn KeyDesk, Problem> {
    front.spec.keys.as_deref().ok_or_else(Problem::not_found)
}

impl From<KeyProblem> for Problem {
    fn from(why: KeyProblem) -> Self {
        let detail = Self::sentence(&why.to_string());
        let (status, kind, title) = match why {
            KeyProblem::Unknown => return Self::not_found(),
            KeyProblem::NotPermitted(_) => (StatusCode::FORBIDDEN, "not-permitted", "Not permitted"),
            KeyProblem::Wrong(_) => (StatusCode::UNPROCESSABLE_ENTITY, "key", "No such key can be made"),
            KeyProblem::Conflict(_) => (StatusCode::CONFLICT, "key-conflict", "Not as things are"),
            KeyProblem::Unrecorded | KeyProblem::DoneUnrecorded => {
                (StatusCode::SERVICE_UNAVAILABLE, "unrecorded", "Not recorded")
            }
            KeyProblem::Failed => (StatusCode::SERVICE_UNAVAILABLE, "store", "Not possible now"),
        };
        Self::new(status, kind, title, detail)
    }
}
