//! API keys of services: unattended agents that nobody signs in for.
//!
//! `tgk_<id>_<secret>`: twelve characters that name the key to people, and 32 random bytes. Kept is the
//! SHA-256 of the whole, so a copy of the store is no key. What a key is for (groups, tools, resources, an
//! end) is fixed when it is made; a rotation makes another one for the same, beside it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::facade::prefix;
use super::recent::Recent;
use super::spec::SERVICE;
use super::{OwnTokens, Reason};
use crate::call::{Agent, Hash, Principal, Scope, Session, User, UserKind};
use crate::clock::{Timestamp, World};
use crate::store::StoreError;
use crate::store::keys::KeyRow;
use crate::store::rows::Rows;

/// A key that was found is not looked up again for this long: the bound on how long another process's
/// revocation takes to be felt here.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// Half of the keys remembered.
const KNOWN_HALF: usize = 1_024;
/// When a key was last used is noted this often, in milliseconds.
const USED_EVERY: u64 = 60_000;
/// The longest life of a key.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The shortest life of a key.
pub const SHORTEST: Duration = Duration::from_secs(60);
/// The longest time two keys of a rotation work side by side.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most keys of one service that work at once.
const MOST_LIVE: usize = 4;
/// Most keys in a list.
const LISTED: u32 = 1_000;
/// Most names in each list of a key.
const MOST_NAMES: usize = 256;
const ID_CHARS: usize = 12;
const SECRET_BYTES: usize = 32;
/// Base64url of the secret, without padding.
const SECRET_CHARS: usize = 43;
/// Five bits each, no letter that is read as another; 32 of them, so that a byte picks evenly.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A key as it is handed out: once, to whoever had it made. Its `Debug` does not show it.
pub struct KeyText(Zeroizing<String>);

impl KeyText {
    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// What a key is to be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The service: 1 to 63 of `[a-z0-9._-]`, the first of them a letter or digit.
    pub service: String,
    /// The local groups it is in.
    pub groups: BTreeSet<String>,
    /// The tools it may call at most. None: nothing.
    pub tools: BTreeSet<String>,
    /// The resources it may use at most. None: nothing.
    pub resources: BTreeSet<String>,
    /// How long it works.
    pub life: Duration,
}

/// A key, without what it takes to use it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its public name.
    pub id: String,
    /// The service it is for.
    pub service: String,
    /// The local groups the service is in through it.
    pub groups: BTreeSet<String>,
    /// What it is good for at most.
    pub tools: BTreeSet<String>,
    /// What it is good for at most.
    pub resources: BTreeSet<String>,
    /// User id of whoever had it made.
    pub made_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// User id of whoever took it back.
    pub revoked_by: Option<String>,
}

/// Whether a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It does.
    Live,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl KeyState {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Key {
    /// Whether it works at `now`. At the end itself it does not.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        match self.revoked_at {
            Some(_) => KeyState::Revoked,
            None if now >= self.expires_at => KeyState::Expired,
            None => KeyState::Live,
        }
    }

    fn principal(&self) -> Principal {
        let session = Hash::of_json(&json!(["session", SERVICE, self.id]));
        Principal {
            user: User {
                issuer: SERVICE.to_owned(),
                subject: self.service.clone(),
                kind: UserKind::Service,
                groups: self.groups.clone(),
            },
            agent: Agent {
                client_id: format!("{CLIENT}{}", self.id),
                verified: true,
                claimed_name: String::new(),
                claimed_version: String::new(),
            },
            session: Session {
                id: session.hex().chars().take(32).collect(),
                labels: BTreeSet::new(),
            },
            scope: Scope {
                tools: Some(self.tools.clone()),
                resources: Some(self.resources.clone()),
            },
        }
    }
}

/// How a service's `client_id` begins; the key's id follows.
const CLIENT: &str = "key:";

/// A key that is made and not kept yet: time to put it on record.
#[derive(Debug)]
pub struct Draft {
    /// What it is for.
    pub key: Key,
    /// The key that it replaces, and when that one then ends.
    pub replaces: Option<(String, Timestamp)>,
    hash: Hash,
    text: KeyText,
}

/// Why there is no such key. `Display` says what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// Not a name.
    #[error(
        "`{0}` cannot be the name of a service: use 1 to 63 of a-z 0-9 . _ - and start with a letter or digit"
    )]
    Name(String),
    /// Too short or too long a life.
    #[error("a key works for at least a minute and at most 365 days")]
    Life,
    /// Too long a time side by side.
    #[error("the old key of a rotation goes on for at most 30 days")]
    Overlap,
    /// Too many names.
    #[error("a key names at most {MOST_NAMES} groups, tools and resources each")]
    TooLong,
    /// The service has a key that works.
    #[error("the service `{0}` has a key that works: rotate that one, or revoke it first")]
    Taken(String),
    /// There is no such key.
    #[error("there is no key `{0}`; `tollgate keys list` shows them")]
    Unknown(String),
    /// It works no more.
    #[error("the key `{0}` works no more: make a new one")]
    Over(String),
    /// Too many of them.
    #[error("the service `{0}` has {MOST_LIVE} keys that work: revoke one first")]
    TooMany(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys of a store.
pub struct Services {
    rows: Rows,
    world: Arc<dyn World>,
    known: Mutex<Known>,
}

struct Known {
    keys: Recent<Hash, Held>,
    /// Goes up with every change made here: a look-up that began before it is not remembered.
    changes: u64,
}

struct Held {
    key: Arc<Key>,
    /// Monotonic.
    until: Duration,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl Services {
    /// The keys in this store.
    #[must_use]
    pub fn new(rows: Rows, world: Arc<dyn World>) -> Self {
        Self {
            rows,
            world,
            known: Mutex::new(Known {
                keys: Recent::new(KNOWN_HALF),
                changes: 0,
            }),
        }
    }

    /// The newest thousand keys, those that work first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self) -> Result<Vec<Key>, KeyFault> {
        let mut tx = self.rows.read().await?;
        let rows = tx.keys(self.world.now().0, LISTED).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// One key, by its public name.
    ///
    /// # Errors
    /// [`KeyFault::Unknown`]; the store cannot be read.
    pub async fn find(&self, id: &str) -> Result<Key, KeyFault> {
        let row = match is_id(id) {
            true => self.row(id).await?,
            false => None,
        };
        let row = row.ok_or_else(|| KeyFault::Unknown(id.chars().take(64).collect()))?;
        Ok(read(row)?)
    }

    /// A key for a service that has none that works. Whether groups, tools and resources exist is for the
    /// caller to know. Nothing is kept before [`Services::keep`].
    ///
    /// # Errors
    /// See [`KeyFault`].
    pub async fn draft(&self, terms: Terms, made_by: &str) -> Result<Draft, KeyFault> {
        if !is_service_name(&terms.service) {
            return Err(KeyFault::Name(terms.service.chars().take(64).collect()));
        }
        let lists = [&terms.groups, &terms.tools, &terms.resources];
        if lists.iter().any(|names| names.len() > MOST_NAMES) {
            return Err(KeyFault::TooLong);
        }
        let now = self.world.now();
        let mut tx = self.rows.read().await?;
        let live = tx.live_keys(&terms.service, now.0).await?;
        tx.commit().await?;
        if !live.is_empty() {
            return Err(KeyFault::Taken(terms.service));
        }
        self.made(terms, made_by, now, None)
    }

    /// Another key for the service of `id`, with the same groups, tools and resources, and the same life if
    /// none is given. Once it is kept, the old one ends after `overlap`, if it would not before.
    ///
    /// # Errors
    /// See [`KeyFault`].
    pub async fn draft_rotation(
        &self,
        id: &str,
        overlap: Duration,
        life: Option<Duration>,
        made_by: &str,
    ) -> Result<Draft, KeyFault> {
        if overlap > LONGEST_OVERLAP {
            return Err(KeyFault::Overlap);
        }
        let old = self.find(id).await?;
        let now = self.world.now();
        if old.state(now) != KeyState::Live {
            return Err(KeyFault::Over(old.id));
        }
        let whole = Duration::from_millis(old.expires_at.0.saturating_sub(old.created_at.0));
        let terms = Terms {
            service: old.service.clone(),
            groups: old.groups.clone(),
            tools: old.tools.clone(),
            resources: old.resources.clone(),
            life: life.unwrap_or_else(|| whole.clamp(SHORTEST, LONGEST)),
        };
        let ends = old.expires_at.min(later(now, overlap));
        self.made(terms, made_by, now, Some((old.id, ends)))
    }

    fn made(
        &self,
        terms: Terms,
        made_by: &str,
        now: Timestamp,
        replaces: Option<(String, Timestamp)>,
    ) -> Result<Draft, KeyFault> {
        if !(SHORTEST..=LONGEST).contains(&terms.life) {
            return Err(KeyFault::Life);
        }
        let (mut id, mut secret) = ([0; ID_CHARS], Zeroizing::new([0; SECRET_BYTES]));
        self.world.random(&mut id);
        self.world.random(&mut *secret);
        let letter = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).map(|one| char::from(*one));
        let id: String = id.iter().filter_map(letter).collect();
        let mut text = Zeroizing::new(String::with_capacity(64)); // never grows: no copy is left behind
        text.push_str(prefix::KEY);
        text.push_str(&id);
        text.push('_');
        URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut text);
        Ok(Draft {
            hash: Hash::of(text.as_bytes()),
            text: KeyText(text),
            key: Key {
                id,
                service: terms.service,
                groups: terms.groups,
                tools: terms.tools,
                resources: terms.resources,
                made_by: made_by.to_owned(),
                created_at: now,
                expires_at: later(now, terms.life),
                used_at: None,
                revoked_at: None,
                revoked_by: None,
            },
            replaces,
        })
    }

    /// Makes a draft work, and gives the key: it is nowhere else.
    ///
    /// # Errors
    /// See [`KeyFault`]: somebody may have been faster. After [`KeyFault::Store`] it is open whether a key
    /// of that id is kept; nobody has it.
    pub async fn keep(&self, draft: Draft) -> Result<(Key, KeyText), KeyFault> {
        let now = self.world.now();
        let mut tx = self.rows.write().await?;
        let live = tx.live_keys(&draft.key.service, now.0).await?;
        match &draft.replaces {
            None if !live.is_empty() => return Err(KeyFault::Taken(draft.key.service)),
            Some((old, _)) if live.iter().all(|row| row.id != *old) => {
                return Err(KeyFault::Over(old.clone()));
            }
            _ if live.len() >= MOST_LIVE => return Err(KeyFault::TooMany(draft.key.service)),
            _ => {}
        }
        tx.insert_key(&written(&draft.key, draft.hash)?).await?;
        if let Some((old, ends)) = &draft.replaces {
            tx.shorten_key(old, ends.0).await?;
        }
        tx.commit().await?;
        self.forget();
        Ok((draft.key, draft.text))
    }

    /// Takes a key back: at once here, within [`KNOWN_FOR`] on other replicas. Gives the key as it now is.
    ///
    /// # Errors
    /// [`KeyFault::Unknown`], [`KeyFault::Over`] when it was taken back before, the store.
    pub async fn revoke(&self, id: &str, by: &str) -> Result<Key, KeyFault> {
        let key = self.find(id).await?;
        let mut tx = self.rows.write().await?;
        let done = tx.revoke_key(&key.id, self.world.now().0, by).await?;
        tx.commit().await?;
        self.forget();
        if !done {
            return Err(KeyFault::Over(key.id));
        }
        self.find(id).await
    }

    /// Everything remembered: a key is changed seldom, and looked up fast.
    fn forget(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.keys = Recent::new(KNOWN_HALF);
        known.changes += 1;
    }

    async fn row(&self, id: &str) -> Result<Option<KeyRow>, StoreError> {
        let mut tx = self.rows.read().await?;
        let row = tx.key(id).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The key of this hash, if it was looked up at most [`KNOWN_FOR`] ago.
    fn held(&self, hash: &Hash) -> Option<Arc<Key>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.world.monotonic();
        let held = known.keys.get(hash).filter(|held| now < held.until);
        held.map(|held| Arc::clone(&held.key))
    }

    /// The key of this text, as it was at most [`KNOWN_FOR`] ago.
    async fn key_of(&self, text: &str) -> Result<Arc<Key>, Reason> {
        let hash = Hash::of(text.as_bytes());
        let began = self.known.lock().unwrap_or_else(PoisonError::into_inner).changes;
        if let Some(key) = self.held(&hash) {
            return Ok(key);
        }
        let until = self.world.monotonic() + KNOWN_FOR; // counted from before the look
        let found = self.look_up(&hash).await.map_err(|error| {
            tracing::error!("an API key cannot be checked: {error}");
            Reason::Unavailable
        })?;
        let key = Arc::new(found.ok_or(Reason::Ended)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.changes == began {
            let key = Arc::clone(&key);
            known.keys.put(hash, Held { key, until });
        }
        Ok(key)
    }

    async fn look_up(&self, hash: &Hash) -> Result<Option<Key>, StoreError> {
        let mut tx = self.rows.read().await?;
        let row = tx.key_of_hash(&hash.0).await?;
        tx.commit().await?;
        let Some(key) = row.map(read).transpose()? else {
            return Ok(None);
        };
        let now = self.world.now();
        let noted = key
            .used_at
            .is_some_and(|at| now.0.saturating_sub(at.0) < USED_EVERY);
        if key.state(now) == KeyState::Live && !noted {
            let (rows, id) = (self.rows.clone(), key.id.clone());
            tokio::spawn(async move {
                if let Err(error) = note_use(&rows, &id, now).await {
                    tracing::debug!(key = id, "its use cannot be noted: {error}");
                }
            });
        }
        Ok(Some(key))
    }
}

async fn note_use(rows: &Rows, id: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = rows.write().await?;
    tx.key_used(id, now.0).await?;
    tx.commit().await
}

impl OwnTokens for Services {
    fn prefix(&self) -> &'static str {
        prefix::KEY
    }

    fn admit<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, Reason>> {
        Box::pin(async move {
            if !has_form(token) {
                return Err(Reason::Ended); // nothing is looked up for it
            }
            let key = self.key_of(token).await?;
            match key.state(self.world.now()) {
                KeyState::Live => Ok(key.principal()),
                KeyState::Expired => Err(Reason::Expired),
                KeyState::Revoked => Err(Reason::Ended),
            }
        })
    }

    fn knows(&self, token: &str) -> bool {
        let held = has_form(token).then(|| self.held(&Hash::of(token.as_bytes())));
        let now = self.world.now();
        held.flatten().is_some_and(|key| key.state(now) == KeyState::Live)
    }

    fn stands<'a>(&'a self, principal: &'a Principal) -> BoxFuture<'a, Option<bool>> {
        Box::pin(async move {
            if principal.user.issuer != SERVICE {
                return None;
            }
            let id = principal.agent.client_id.strip_prefix(CLIENT).unwrap_or_default();
            let key = self.find(id).await.ok();
            let now = self.world.now();
            let stands = |key: Key| key.service == principal.user.subject && key.state(now) == KeyState::Live;
            Some(key.is_some_and(stands))
        })
    }
}

/// Whether a text has the form of a key: `tgk_`, twelve of the alphabet, `_`, 43 of base64url.
pub(super) fn has_form(text: &str) -> bool {
    let parts = text.strip_prefix(prefix::KEY).and_then(|rest| {
        let (id, rest) = rest.split_at_checked(ID_CHARS)?;
        Some((id, rest.strip_prefix('_')?))
    });
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    parts.is_some_and(|(id, secret)| is_id(id) && secret.len() == SECRET_CHARS && secret.bytes().all(plain))
}

fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

fn is_service_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_add(millis))
}

fn written(key: &Key, hash: Hash) -> Result<KeyRow, StoreError> {
    let list = |names: &BTreeSet<String>| {
        serde_json::to_string(names).map_err(|error| StoreError::Damaged(error.to_string()))
    };
    Ok(KeyRow {
        id: key.id.clone(),
        hash: hash.0,
        name: key.service.clone(),
        groups: list(&key.groups)?,
        tools: list(&key.tools)?,
        resources: list(&key.resources)?,
        made_by: key.made_by.clone(),
        created_at: key.created_at.0,
        expires_at: key.expires_at.0,
        used_at: None,
        revoked_at: None,
        revoked_by: None,
    })
}

fn read(row: KeyRow) -> Result<Key, StoreError> {
    let list = |text: &str| {
        serde_json::from_str(text)
            .map_err(|error| StoreError::Damaged(format!("API key {}: {error}", row.id)))
    };
    Ok(Key {
        groups: list(&row.groups)?,
        tools: list(&row.tools)?,
        resources: list(&row.resources)?,
        id: row.id,
        service: row.name,
        made_by: row.made_by,
        created_at: Timestamp(row.created_at),
        expires_at: Timestamp(row.expires_at),
        used_at: row.used_at.map(Timestamp),
        revoked_at: row.revoked_at.map(Timestamp),
        revoked_by: row.revoked_by,
    })
}
