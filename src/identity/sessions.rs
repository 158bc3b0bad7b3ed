//! Sessions of the facade: one per sign-in of a person through a client, kept in the store so that every
//! replica sees the same, and never longer than the person is there at their provider.
//!
//! ```text
//! opening   a code (or a device's) ──▶ session + first tokens; a refresh token ──▶ the next generation
//! standing  is it over? must the provider be asked again? by whom, so that nobody else does at the same time
//! ending    by people, the provider, theft or time; what other processes ended
//! ```
//!
//! # Bounds
//! An end is known in this process at once. Another process forgets what it remembers of a token after
//! [`REMEMBERED`], and sooner when it calls [`Sessions::watch`] every second: then the end is also told to
//! everything that hangs on the session within about two seconds. [`OwnTokens::stands`] remembers
//! nothing: an effect after an end happens nowhere. A person who is gone at their provider works for at
//! most `times.recheck` more. When the store or the provider does not answer, nothing is accepted.

mod ending;
mod opening;
mod standing;
#[cfg(test)]
pub(in crate::identity) mod tests;
mod upstream;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::broadcast;

use super::ends::Ends;
use super::facade::{Times, prefix};
use super::groups::GroupMap;
use super::provider::Provider;
use super::recent::Recent;
use super::rejection::Reason;
use super::seal::Seal;
use super::{OwnTokens, Scopes, TOKEN_BYTES};
use crate::call::{Agent, Hash, Principal, Scope, Session, User, UserKind};
use crate::clock::World;
use crate::store::StoreError;
use crate::store::rows::Rows;
use crate::store::sessions::{SessionRow, TokenRow};

pub use ending::{SessionCard, Why};
pub(crate) use opening::fresh;
pub use opening::{Issued, Proof, Redeem, Refresh, Refused};
pub use upstream::{open_upstream, seal_upstream};

/// What is known of a token is not read again for this long.
pub const REMEMBERED: Duration = Duration::from_secs(5);
/// Half of the tokens remembered.
const REMEMBERED_HALF: usize = 4_096;
/// Half of the sessions of which other things are remembered: that asking failed, that the end was told.
const SESSIONS_HALF: usize = 4_096;
/// That a session is used is written at most this often, in milliseconds.
const USED_EVERY: u64 = 60_000;

/// What sessions are made from.
pub struct Parts {
    /// Where they are kept.
    pub rows: Rows,
    /// What seals what providers give.
    pub seal: Arc<Seal>,
    /// Where people are asked about again. A session of another issuer does not stand.
    pub providers: Vec<Arc<dyn Provider>>,
    /// From the groups of providers to ours.
    pub groups: GroupMap,
    /// What the scopes of a token are worth.
    pub scopes: Scopes,
    /// The one resource tokens are for.
    pub resource: String,
    /// How long things live.
    pub times: Times,
    /// Where the ids of ended sessions are told.
    pub ended: Ends,
    /// Time and randomness.
    pub world: Arc<dyn World>,
}

/// The sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    rows: Rows,
    seal: Arc<Seal>,
    providers: HashMap<String, Arc<dyn Provider>>,
    groups: GroupMap,
    scopes: Scopes,
    resource: String,
    times: Times,
    ended: Ends,
    world: Arc<dyn World>,
    /// By SHA-256 of the token.
    remembered: Mutex<Recent<Hash, Remembered>>,
    /// Counts what makes remembered answers wrong: they count only in the epoch they were read in.
    epoch: AtomicU64,
    /// Sessions this process is asking a provider about.
    asking: Mutex<HashSet<String>>,
    /// Sessions a provider gave no answer about: until when it is not asked again (monotonic).
    unanswered: Mutex<Recent<String, Duration>>,
    /// Sessions whose end was told here.
    told: Mutex<Recent<String, ()>>,
    /// The last end that was seen, by its number.
    seen: AtomicU64,
    /// When sessions whose time is over were last looked for (monotonic, in seconds).
    swept: AtomicU64,
}

struct Remembered {
    principal: Principal,
    epoch: u64,
    /// Monotonic.
    until: Duration,
    /// Unix milliseconds: the first of all ends.
    good_until: u64,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sessions over a store. Ends before this moment are not told.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let mut tx = parts.rows.read().await?;
        let seen = tx.last_end().await?;
        tx.commit().await?;
        let named = |provider: Arc<dyn Provider>| (provider.name().to_owned(), provider);
        Ok(Self(Arc::new(Inner {
            rows: parts.rows,
            seal: parts.seal,
            providers: parts.providers.into_iter().map(named).collect(),
            groups: parts.groups,
            scopes: parts.scopes,
            resource: parts.resource,
            times: parts.times,
            ended: parts.ended,
            world: parts.world,
            remembered: Mutex::new(Recent::new(REMEMBERED_HALF)),
            epoch: AtomicU64::new(0),
            asking: Mutex::default(),
            unanswered: Mutex::new(Recent::new(SESSIONS_HALF)),
            told: Mutex::new(Recent::new(SESSIONS_HALF)),
            seen: AtomicU64::new(seen),
            swept: AtomicU64::new(0),
        })))
    }

    /// Told whenever a session has ended, by whichever process. Whoever lags behind must take every session
    /// for ended that they know of, or look each up.
    #[must_use]
    pub fn ended(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.ended.listen()
    }

    fn now(&self) -> u64 {
        self.0.world.now().0
    }

    /// From here on nothing that was remembered counts.
    fn forget_remembered(&self) {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
    }

    fn remembered(&self, hash: &Hash) -> Option<Principal> {
        let mut remembered = lock(&self.0.remembered);
        let known = remembered.get(hash)?;
        let counts = known.epoch == self.0.epoch.load(Ordering::SeqCst)
            && self.0.world.monotonic() < known.until
            && self.now() < known.good_until;
        if counts {
            return Some(known.principal.clone());
        }
        remembered.remove(hash);
        None
    }

    async fn principal_of(&self, text: &str) -> Result<Principal, Reason> {
        if !is_well_formed(text, prefix::ACCESS) {
            return Err(Reason::Ended);
        }
        let hash = Hash::of(text.as_bytes());
        if let Some(principal) = self.remembered(&hash) {
            return Ok(principal);
        }
        // Before the store is read: what changes meanwhile makes this answer count no longer.
        let epoch = self.0.epoch.load(Ordering::SeqCst);
        let until = self.0.world.monotonic() + REMEMBERED;
        let (token, session) = self
            .token(&hash)
            .await
            .map_err(unavailable)?
            .ok_or(Reason::Ended)?;
        if token.refresh {
            return Err(Reason::Ended);
        }
        let now = self.now();
        if token.expires_at <= now {
            return Err(Reason::Expired);
        }
        if token.resource != self.0.resource {
            return Err(Reason::Audience);
        }
        let session = self.live(session).await?;
        self.used(&session).await;
        let principal = self.principal(&session, &token.scope)?;
        let remembered = Remembered {
            principal: principal.clone(),
            epoch,
            until,
            good_until: self.good_until(&session).min(token.expires_at),
        };
        lock(&self.0.remembered).put(hash, remembered);
        Ok(principal)
    }

    async fn token(&self, hash: &Hash) -> Result<Option<(TokenRow, SessionRow)>, StoreError> {
        let mut tx = self.0.rows.read().await?;
        let token = tx.token(&hash.0).await?;
        let session = match &token {
            Some(token) => tx.session(&token.session).await?,
            None => None,
        };
        tx.commit().await?;
        Ok(token.zip(session))
    }

    async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError> {
        let mut tx = self.0.rows.read().await?;
        let session = tx.session(id).await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Notes now and then that a session is used. Failing costs at most an early end for idleness.
    async fn used(&self, session: &SessionRow) {
        let now = self.now();
        if now.saturating_sub(session.used_at) < USED_EVERY {
            return;
        }
        let noted = async {
            let mut tx = self.0.rows.write().await?;
            tx.use_session(&session.id, now).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "that a session is used could not be written");
        }
    }

    fn principal(&self, session: &SessionRow, scope: &str) -> Result<Principal, Reason> {
        Ok(Principal {
            user: User {
                issuer: session.issuer.clone(),
                subject: session.subject.clone(),
                kind: UserKind::Person,
                groups: self.groups(session)?,
            },
            agent: Agent {
                client_id: session.client_id.clone(),
                verified: session.verified,
                claimed_name: String::new(),
                claimed_version: String::new(),
            },
            session: Session {
                id: session.id.clone(),
                labels: BTreeSet::new(),
            },
            scope: Scope {
                tools: self.0.scopes.tools(scope.split(' ')),
                resources: None,
            },
        })
    }

    /// The local groups, by what the provider said last. Groups that cannot be read are not none.
    fn groups(&self, session: &SessionRow) -> Result<BTreeSet<String>, Reason> {
        let claimed: Vec<String> = serde_json::from_str(&session.claimed).map_err(|_| Reason::Unavailable)?;
        let claimed = claimed.iter().map(String::as_str);
        Ok(self.0.groups.local(&session.issuer, claimed))
    }

    async fn still_stands(&self, principal: &Principal) -> Result<bool, Reason> {
        let found = self.session(&principal.session.id).await.map_err(unavailable)?;
        let Some(session) = found else {
            return Ok(false);
        };
        let theirs = session.issuer == principal.user.issuer
            && session.subject == principal.user.subject
            && session.client_id == principal.agent.client_id;
        if !theirs {
            return Ok(false);
        }
        let session = self.live(session).await?;
        // What was decided with other groups is not decided.
        Ok(self.groups(&session)? == principal.user.groups)
    }
}

impl OwnTokens for Sessions {
    fn prefix(&self) -> &'static str {
        prefix::ACCESS
    }

    fn admit<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, Reason>> {
        Box::pin(self.principal_of(token))
    }

    fn knows(&self, token: &str) -> bool {
        is_well_formed(token, prefix::ACCESS) && self.remembered(&Hash::of(token.as_bytes())).is_some()
    }

    fn stands<'a>(&'a self, principal: &'a Principal) -> BoxFuture<'a, Option<bool>> {
        Box::pin(async move {
            let ours = principal.user.kind == UserKind::Person
                && self.0.providers.contains_key(&principal.user.issuer);
            if !ours {
                return None;
            }
            Some(self.still_stands(principal).await.unwrap_or(false))
        })
    }
}

/// Whether a text has the form of a token of ours: anything else is not looked up.
pub(super) fn is_well_formed(text: &str, prefix: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == TOKEN_BYTES && rest.bytes().all(word))
}

fn unavailable(error: StoreError) -> Reason {
    tracing::error!(%error, "sessions cannot be read");
    Reason::Unavailable
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
