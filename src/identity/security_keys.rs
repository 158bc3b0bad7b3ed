//! Security keys and passkeys of people who decide: registered by them, and used for one decision at a time.
//!
//! Web Authentication Level 3, sections 7.1 and 7.2. A challenge is made here, is about one person and one
//! thing, is kept in the store for five minutes, and is gone with the first answer to it, right or wrong.
//! Who may do what with a proof is not decided here.
//!
//! A key counts only under a sign-in later than the one it was registered under ([`SignedIn`]). So whoever has
//! got hold of a session, and not of what its owner signs in with, registers nothing that they can use.

mod ceremony;
mod challenges;
pub mod operator;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use webauthn_rp::request::{AsciiDomain, RpId};

use crate::call::{Hash, User};
use crate::clock::{Timestamp, World};
use crate::store::StoreError;
use crate::store::rows::Rows;
use crate::store::security_keys::SecurityKeyRow;

/// How long a challenge can be answered.
const LIFE: Duration = Duration::from_mins(5);
/// Most challenges of one person at once: each page that could use one makes one.
const MOST_EACH: u32 = 64;
/// Most challenges at once.
const MOST: u32 = 4_096;
/// Most keys of one person.
const MOST_KEYS: usize = 16;
/// The longest answer of a browser, in bytes: an attestation with certificates is a few thousand.
const LONGEST: usize = 32 * 1024;
/// The longest name of a key, in characters.
const NAME: usize = 64;

/// What a use of a key is for; a proof is good for exactly that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Approving one action.
    Approve {
        /// The request.
        approval: String,
        /// What was shown: [`crate::call::Facts::action_sha256`].
        action_sha256: String,
    },
    /// Registering another key.
    Register,
    /// Removing the key of this id.
    Remove(String),
}

/// A person, under one sign-in.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn<'a> {
    /// Who.
    pub user: &'a User,
    /// When they last proved it interactively, as their issuer says (`auth_time`, OpenID Connect Core 2).
    pub at: Timestamp,
}

/// What came of asking for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asking {
    /// The person has none.
    NoKey,
    /// All they have were registered under this very sign-in: they are to sign in again first.
    Later,
    /// What `navigator.credentials.get` takes, as JSON (`PublicKeyCredentialRequestOptionsJSON`).
    Options(String),
}

/// A key was used by a person for something. Only [`SecurityKeys`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    key: String,
    person: (String, String),
    about: About,
}

impl Proof {
    /// Whether it is this person's, and for this.
    #[must_use]
    pub fn is_for(&self, user: &User, about: &About) -> bool {
        self.person == person(user) && self.about == *about
    }

    /// As if it had been used: for tests of those who ask for one.
    #[cfg(test)]
    pub(crate) fn of(key: &str, user: &User, about: About) -> Self {
        Self {
            key: key.to_owned(),
            person: person(user),
            about,
        }
    }

    /// The id of the key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// A key as its owner sees it.
#[expect(missing_docs, reason = "each field is what it is called")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub id: String,
    /// User id: issuer and subject.
    pub owner: String,
    pub name: String,
    pub created_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// Why a key was not registered, used or removed. `Display` says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not what a browser sends.
    #[error("the browser's answer cannot be read; load the page again")]
    Malformed,
    /// The challenge is unknown: too old, or used.
    #[error("this page is too old or its key was used already; load the page again")]
    Stale,
    /// The challenge was made for somebody or something else.
    #[error("the key was used for something else than this; load the page again")]
    Other,
    /// The key is not registered, or not by this person.
    #[error("this key is not one of yours")]
    NotYours,
    /// The key was registered under the sign-in it is used under.
    #[error(
        "this key was registered under this very sign-in, and counts from the next one on; sign in again"
    )]
    TooNew,
    /// What the key signed does not hold.
    #[error("what the key signed is not valid here; load the page again")]
    Refused,
    /// The count of its signatures went back: two devices hold one private key.
    #[error(
        "the count of this key's signatures went back, so there may be a copy of it: nothing was decided; \
         use another key, remove this one, and tell whoever looks after security"
    )]
    WentBack,
    /// Somebody has registered it before.
    #[error("this key is registered already")]
    Known,
    /// Too many.
    #[error("you have as many keys as there can be; remove one first")]
    TooMany,
    /// Another key is there: it must be used.
    #[error("use one of your keys for this: you have registered some")]
    KeyNeeded,
    /// The name is empty or too long.
    #[error("give the key a name of at most 64 characters")]
    Name,
    /// The operator names a key that is not there.
    #[error("there is no such key; `tollgate security-keys list` shows those there are")]
    Unknown,
    /// It was done, and the journal cannot be written.
    #[error("it was removed, but that is not on record: the journal cannot be written")]
    RemovedUnrecorded,
    /// No journal, no change.
    #[error("the journal cannot be written, so nothing was changed")]
    Unrecorded,
    /// The store cannot be used.
    #[error("the store cannot be used at the moment")]
    Failed,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        tracing::error!("security keys: {error}");
        Self::Failed
    }
}

/// Where registrations and removals go on record.
pub trait KeyLedger: Send + Sync {
    /// Gives whether it is durable.
    fn record(&self, what: Value) -> BoxFuture<'_, bool>;
}

/// The keys of everybody, of one store and one address.
pub struct SecurityKeys {
    rows: Rows,
    world: Arc<dyn World>,
    ledger: Arc<dyn KeyLedger>,
    rp: RpId,
    origin: String,
}

impl fmt::Debug for SecurityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityKeys")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl SecurityKeys {
    /// For pages at `url`: its host name is the relying party's id, its origin the only one that counts.
    ///
    /// # Errors
    /// When its host is not a name: keys are bound to one.
    pub fn new(
        rows: Rows,
        ledger: Arc<dyn KeyLedger>,
        world: Arc<dyn World>,
        url: &url::Url,
    ) -> Result<Self, String> {
        let name = url.domain().unwrap_or_default().to_owned();
        let domain = AsciiDomain::try_from(name)
            .map_err(|_| "control_url has no host name that security keys could be bound to".to_owned())?;
        Ok(Self {
            rows,
            world,
            ledger,
            rp: RpId::Domain(domain),
            origin: url.origin().ascii_serialization(),
        })
    }

    /// The keys of a person, oldest first.
    ///
    /// # Errors
    /// [`Fault::Failed`].
    pub async fn list(&self, user: &User) -> Result<Vec<Held>, Fault> {
        Ok(self.rows_of(user).await?.into_iter().map(held).collect())
    }

    /// Asks a person for a key that counts under this sign-in.
    ///
    /// # Errors
    /// [`Fault::Failed`].
    pub async fn ask(&self, who: SignedIn<'_>, about: &About) -> Result<Asking, Fault> {
        let mut rows = self.rows_of(who.user).await?;
        if rows.is_empty() {
            return Ok(Asking::NoKey);
        }
        rows.retain(|row| counts(row, who));
        if rows.is_empty() {
            return Ok(Asking::Later);
        }
        let (challenge, ceremony, options) = ceremony::ask(&self.rp, rows)?;
        self.keep(challenge, who.user, about, &ceremony).await?;
        Ok(Asking::Options(options))
    }

    /// Asks a person's browser to make a key: what `navigator.credentials.create` takes, as JSON
    /// (`PublicKeyCredentialCreationOptionsJSON`).
    ///
    /// # Errors
    /// [`Fault::TooMany`], [`Fault::Failed`].
    pub async fn ask_new(&self, user: &User) -> Result<String, Fault> {
        let rows = self.rows_of(user).await?;
        if rows.len() >= MOST_KEYS {
            return Err(Fault::TooMany);
        }
        let (challenge, ceremony, options) = ceremony::ask_new(&self.rp, user, rows, &*self.world)?;
        self.keep(challenge, user, &About::Register, &ceremony).await?;
        Ok(options)
    }

    /// Checks what a browser answered (`AuthenticationResponseJSON`) for this person and purpose.
    ///
    /// # Errors
    /// Every [`Fault`] of a use. The challenge is gone in any case.
    pub async fn prove(&self, who: SignedIn<'_>, about: &About, answer: &str) -> Result<Proof, Fault> {
        let answer = ceremony::used(bounded(answer)?)?;
        let asked = self
            .take(ceremony::challenge_of_use(&answer)?, who.user, about)
            .await?;
        let mut tx = self.rows.write().await?;
        let (issuer, subject) = person(who.user);
        let rows = tx.security_keys(&issuer, &subject).await?;
        let row = rows.into_iter().find(|row| ceremony::is_of(row, &answer));
        let row = row.ok_or(Fault::NotYours)?;
        if !counts(&row, who) {
            return Err(Fault::TooNew);
        }
        let state = match ceremony::verify(asked, &self.rp, &self.origin, &answer, &row) {
            Ok(state) => state,
            Err(why) => {
                drop(tx); // the journal may be in the same store
                self.refused(&row, who.user, why).await;
                return Err(why);
            }
        };
        tx.security_key_used(&row.id, &state, self.world.now().0).await?;
        tx.commit().await?;
        Ok(Proof {
            key: row.id,
            person: (issuer, subject),
            about: about.clone(),
        })
    }

    /// A copied key is worth a record; that it is refused does not depend on it.
    async fn refused(&self, row: &SecurityKeyRow, user: &User, why: Fault) {
        tracing::warn!(key = row.id, user = user.id(), %why, "a security key was refused");
        if why == Fault::WentBack {
            let record = json!({"event": "security_key_went_back", "key": row.id, "by": user.id()});
            if !self.ledger.record(record).await {
                tracing::error!(key = row.id, "that a security key may be copied is not on record");
            }
        }
    }

    /// Takes a new key from what a browser answered (`RegistrationResponseJSON`). It is on record before it
    /// counts. Whoever has a key must have used one for this (`proof`).
    ///
    /// # Errors
    /// Every [`Fault`] of a registration.
    pub async fn register(
        &self,
        who: SignedIn<'_>,
        name: &str,
        answer: &str,
        proof: Option<&Proof>,
    ) -> Result<Held, Fault> {
        let user = who.user;
        let name = named(name)?;
        let answer = ceremony::made(bounded(answer)?)?;
        let challenge = ceremony::challenge_of_new(&answer)?;
        let asked = self.take(challenge, user, &About::Register).await?;
        let (issuer, subject) = person(user);
        let made = ceremony::verify_new(asked, &self.rp, &self.origin, &answer)?;
        let row = SecurityKeyRow {
            id: Hash::of(&made.credential).hex().chars().take(16).collect(),
            credential: made.credential,
            issuer: issuer.clone(),
            subject: subject.clone(),
            handle: made.handle,
            public: made.public,
            state: made.state,
            transports: made.transports,
            name,
            signed_in_at: who.at.0,
            created_at: self.world.now().0,
            used_at: None,
        };
        fits(&self.rows_of(user).await?, user, proof)?;
        let mut record = json!({
            "event": "security_key_register", "key": row.id, "name": row.name, "by": user.id(),
            "with": proof.map(Proof::key),
        });
        if !self.ledger.record(record.clone()).await {
            return Err(Fault::Unrecorded);
        }
        let kept = self.insert(&row, user, proof).await;
        if let (Err(_), Some(members)) = (&kept, record.as_object_mut()) {
            members.insert("failed".to_owned(), json!(true));
            let _ = self.ledger.record(record).await; // that it was begun is there already
        }
        kept.map(|()| held(row))
    }

    async fn insert(&self, row: &SecurityKeyRow, user: &User, proof: Option<&Proof>) -> Result<(), Fault> {
        let mut tx = self.rows.write().await?;
        let there = tx.security_keys(&row.issuer, &row.subject).await?;
        fits(&there, user, proof)?; // another may have come, or gone, meanwhile
        if !tx.insert_security_key(row).await? {
            return Err(Fault::Known);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Removes a key, for whoever has used one of theirs for it. Removed first and recorded then: a full
    /// journal must not keep a stolen key.
    ///
    /// # Errors
    /// [`Fault::KeyNeeded`], [`Fault::NotYours`], [`Fault::Failed`].
    pub async fn remove(&self, user: &User, id: &str, proof: &Proof) -> Result<(), Fault> {
        if !proof.is_for(user, &About::Remove(id.to_owned())) {
            return Err(Fault::KeyNeeded);
        }
        let (issuer, subject) = person(user);
        let mut tx = self.rows.write().await?;
        if !tx.remove_security_key(&issuer, &subject, id).await? {
            return Err(Fault::NotYours);
        }
        tx.commit().await?;
        let record = json!({
            "event": "security_key_remove", "key": id, "by": user.id(), "with": proof.key(),
        });
        if !self.ledger.record(record).await {
            tracing::error!(key = id, "the removal of a security key is not on record");
        }
        Ok(())
    }

    async fn rows_of(&self, user: &User) -> Result<Vec<SecurityKeyRow>, Fault> {
        let (issuer, subject) = person(user);
        let mut tx = self.rows.read().await?;
        let rows = tx.security_keys(&issuer, &subject).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

/// Whether a key counts under this sign-in. Both times are the issuer's.
fn counts(row: &SecurityKeyRow, who: SignedIn<'_>) -> bool {
    row.signed_in_at < who.at.0
}

/// Whether somebody who has these may add another.
fn fits(there: &[SecurityKeyRow], user: &User, proof: Option<&Proof>) -> Result<(), Fault> {
    let proven = proof.is_some_and(|proof| {
        proof.is_for(user, &About::Register) && there.iter().any(|row| row.id == proof.key)
    });
    if !there.is_empty() && !proven {
        return Err(Fault::KeyNeeded);
    }
    if there.len() >= MOST_KEYS {
        return Err(Fault::TooMany);
    }
    Ok(())
}

fn person(user: &User) -> (String, String) {
    (user.issuer.clone(), user.subject.clone())
}

fn held(row: SecurityKeyRow) -> Held {
    Held {
        id: row.id,
        owner: format!("{}#{}", row.issuer, row.subject),
        name: row.name,
        created_at: Timestamp(row.created_at),
        used_at: row.used_at.map(Timestamp),
    }
}

fn bounded(answer: &str) -> Result<&[u8], Fault> {
    let fits = answer.len() <= LONGEST;
    fits.then_some(answer.as_bytes()).ok_or(Fault::Malformed)
}

/// A name as it is kept: one line that shows.
fn named(name: &str) -> Result<String, Fault> {
    let shown = name.chars().filter(|one| !crate::call::is_unseen(*one));
    let name: String = shown.collect();
    let name = name.trim();
    let fits = !name.is_empty() && name.chars().count() <= NAME;
    fits.then(|| name.to_owned()).ok_or(Fault::Name)
}
