//! How sessions begin, and how their tokens follow one another.
//!
//! # Refresh tokens
//! The refresh tokens of a session form generations. Exchanging a token of the newest generation replaces that
//! generation as a whole and begins the next. A token of the generation before is exchanged too, for another
//! token of the newest generation, as long as all of these hold: less than [`GRACE`] has passed since its
//! own generation was replaced, nobody has used the newest one, and there are fewer than [`RACERS`] of
//! them. So programs that share one token and race, and a program whose answer was lost on the way, go on;
//! and there is never more than one generation that can be used later. Every other token that comes back
//! was stolen, or its successor was: the session ends (OAuth 2.1 section 4.3.1, RFC 9700 section 4.14.2).

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ending::{Ending, Why};
use super::standing::Standing;
use super::upstream::{about, open_upstream, seal_upstream};
use super::{Sessions, is_well_formed, millis};
use crate::call::{Hash, hex};
use crate::clock::World;
use crate::identity::facade::prefix;
use crate::identity::rejection::Reason;
use crate::store::StoreError;
use crate::store::rows::Tx;
use crate::store::sessions::{SessionRow, TokenRow};
use crate::store::sign_ins::CodeRow;

/// How long racing programs may exchange the same refresh token.
const GRACE: Duration = Duration::from_secs(60);
/// The most tokens of one generation.
const RACERS: u64 = 32;
/// Generations whose reuse is recognised, and access tokens at once, of one session.
const KEPT: (u64, u32) = (2_000, 64);

/// What a client shows for a code.
#[derive(Clone, Copy)]
pub struct Redeem<'a> {
    /// SHA-256 of the code.
    pub code: Hash,
    /// Who says to be asking.
    pub client_id: &'a str,
    /// Why it may.
    pub proof: Proof<'a>,
    /// RFC 8707, where it is said.
    pub resource: Option<&'a str>,
}

/// Why a client may redeem a code.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// It began the sign-in (RFC 7636), with this very redirect URI.
    Began {
        /// The code verifier.
        verifier: &'a str,
        /// The redirect URI.
        redirect_uri: &'a str,
    },
    /// It is the device for which somebody signed in (RFC 8628).
    Device,
}

/// What a client shows for the next tokens.
#[derive(Clone, Copy)]
pub struct Refresh<'a> {
    /// The refresh token.
    pub token: &'a str,
    /// Who says to be asking.
    pub client_id: &'a str,
    /// Scopes for the access token: fewer than were granted, never more.
    pub scope: Option<&'a str>,
    /// RFC 8707, where it is said.
    pub resource: Option<&'a str>,
}

/// Tokens. Wiped when dropped; shows nothing.
pub struct Issued {
    /// For calls.
    pub access: Zeroizing<String>,
    /// For the next tokens.
    pub refresh: Zeroizing<String>,
    /// In seconds, of the access token.
    pub expires_in: u64,
    /// What the access token is good for.
    pub scope: String,
    /// The session's id.
    pub session: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Why there are no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The code or token is none, not this client's, expired, used, or its session has ended.
    Grant,
    /// More scopes than were granted.
    Scope,
    /// Another resource.
    Target,
    /// It cannot be known now.
    Unavailable,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "no tokens can be issued");
        Self::Unavailable
    }
}

impl Sessions {
    /// Redeems a code, once, and opens a session. A code that comes back ends the session it was redeemed
    /// for; one that comes with anything wrong is worth nothing from then on.
    ///
    /// # Errors
    /// Why not.
    pub async fn redeem(&self, redeem: &Redeem<'_>) -> Result<Issued, Refused> {
        let mut tx = self.0.rows.write().await?;
        let redeemed = self.redeem_in(&mut tx, redeem).await?;
        tx.commit().await?;
        redeemed.map_err(|(refused, ending)| {
            ending.into_iter().for_each(|ending| self.has_ended(ending));
            refused
        })
    }

    async fn redeem_in(
        &self,
        tx: &mut Tx,
        redeem: &Redeem<'_>,
    ) -> Result<Result<Issued, (Refused, Option<Ending>)>, StoreError> {
        let Some((code, exchanged)) = tx.code(&redeem.code.0).await? else {
            return Ok(Err((Refused::Grant, None)));
        };
        if let Some(session) = &exchanged {
            let ending = self.end_in(tx, session, Why::CodeReplayed).await?;
            return Ok(Err((Refused::Grant, ending)));
        }
        if let Err(refused) = self.is_worth(&code, redeem) {
            tx.burn_code(&code.hash).await?;
            return Ok(Err((refused, None)));
        }
        let session = self.session_of(&code);
        tx.insert_session(&session).await?;
        if !tx.exchange_code(&code.hash, &session.id).await? {
            // Not while this transaction writes; and if it were so, nothing is issued.
            return Err(StoreError::Damaged("a code was exchanged twice".to_owned()));
        }
        let issued = self.issue(tx, &session, 0, &code.resource, (&session.scope, &session.scope));
        Ok(Ok(issued.await?))
    }

    fn is_worth(&self, code: &CodeRow, redeem: &Redeem<'_>) -> Result<(), Refused> {
        if self.now() >= code.expires_at
            || code.client_id != redeem.client_id
            || !self.0.providers.contains_key(&code.issuer)
            || code.resource != self.0.resource
        {
            return Err(Refused::Grant);
        }
        let proven = match (redeem.proof, &code.challenge, &code.redirect_uri) {
            (Proof::Device, None, None) => true,
            (
                Proof::Began {
                    verifier,
                    redirect_uri,
                },
                Some(challenge),
                Some(registered),
            ) => fits(verifier, challenge) && redirect_uri == registered,
            _ => false,
        };
        if !proven {
            return Err(Refused::Grant);
        }
        is_for(redeem.resource, &code.resource)
    }

    fn session_of(&self, code: &CodeRow) -> SessionRow {
        let now = self.now();
        let id = crate::identity::session::fresh_id(self.0.world.as_ref());
        let upstream = code
            .sealed
            .as_deref()
            .and_then(|sealed| open_upstream(&self.0.seal, &hex(&code.hash), sealed))
            .filter(|upstream| !upstream.is_empty());
        let sealed = upstream
            .and_then(|upstream| seal_upstream(&self.0.seal, &about(&id), &upstream, self.0.world.as_ref()));
        let times = &self.0.times;
        // What cannot be asked about again counts from the moment the provider spoke.
        let longest = match &sealed {
            Some(_) => now.saturating_add(millis(times.session)),
            None => now
                .saturating_add(millis(times.session))
                .min(code.created_at.saturating_add(millis(times.unchecked))),
        };
        SessionRow {
            id,
            issuer: code.issuer.clone(),
            subject: code.subject.clone(),
            client_id: code.client_id.clone(),
            client_name: code.client_name.clone(),
            verified: code.verified,
            scope: code.scope.clone(),
            claimed: code.claimed.clone(),
            auth_time: code.auth_time,
            provider_sid: code.provider_sid.clone(),
            sealed,
            created_at: now,
            used_at: now,
            checked_at: code.created_at,
            asking_until: None,
            ends_at: longest,
            ended_at: None,
            ended_why: None,
        }
    }

    /// Exchanges a refresh token for the next one and an access token.
    ///
    /// # Errors
    /// Why not.
    pub async fn refresh(&self, refresh: &Refresh<'_>) -> Result<Issued, Refused> {
        if !is_well_formed(refresh.token, prefix::REFRESH) {
            return Err(Refused::Grant);
        }
        let hash = Hash::of(refresh.token.as_bytes());
        let (token, session) = self.token(&hash).await?.ok_or(Refused::Grant)?;
        let theirs = token.refresh && session.client_id == refresh.client_id;
        if !theirs {
            return Err(Refused::Grant);
        }
        // Nothing is issued to somebody who may be gone. The provider is not asked on the word of a token
        // that is not the newest.
        let due = token.replaced_at.is_none().then(|| self.standing(&session));
        match due {
            Some(Standing::Stale) => match self.asked(session).await {
                Ok(_) => {}
                Err(Reason::Ended) => return Err(Refused::Grant),
                Err(_) => return Err(Refused::Unavailable),
            },
            Some(Standing::Due) => drop(tokio::spawn(self.clone().ask(session)).await),
            _ => {}
        }
        let mut tx = self.0.rows.write().await?;
        let refreshed = self.refresh_in(&mut tx, &hash, refresh).await?;
        tx.commit().await?;
        refreshed.map_err(|(refused, ending)| {
            ending.into_iter().for_each(|ending| self.has_ended(ending));
            refused
        })
    }

    async fn refresh_in(
        &self,
        tx: &mut Tx,
        hash: &Hash,
        refresh: &Refresh<'_>,
    ) -> Result<Result<Issued, (Refused, Option<Ending>)>, StoreError> {
        let refused = |refused| Ok(Err((refused, None)));
        let Some(token) = tx.token(&hash.0).await? else {
            return refused(Refused::Grant);
        };
        let Some(session) = tx.session(&token.session).await? else {
            return refused(Refused::Grant);
        };
        let now = self.now();
        if self.standing(&session) == Standing::Over || token.expires_at <= now {
            return refused(Refused::Grant);
        }
        let (newest, tokens) = tx.newest_generation(&session.id).await?;
        let Some(generation) = follows(&token, newest, tokens, now) else {
            let ending = self.end_in(tx, &session.id, Why::TokenReused).await?;
            return Ok(Err((Refused::Grant, ending)));
        };
        if let Err(why) = is_for(refresh.resource, &token.resource) {
            return refused(why);
        }
        let Some(scope) = narrowed(refresh.scope, &token.scope) else {
            return refused(Refused::Scope);
        };
        if generation > newest {
            tx.replace_generation(&session.id, newest, now, KEPT).await?;
        }
        tx.use_session(&session.id, now).await?;
        let issued = self.issue(tx, &session, generation, &token.resource, (&scope, &token.scope));
        Ok(Ok(issued.await?))
    }

    async fn issue(
        &self,
        tx: &mut Tx,
        session: &SessionRow,
        generation: u64,
        resource: &str,
        (access_scope, refresh_scope): (&str, &str),
    ) -> Result<Issued, StoreError> {
        let now = self.now();
        let world = self.0.world.as_ref();
        let (access, refresh) = (fresh(prefix::ACCESS, world), fresh(prefix::REFRESH, world));
        let until = now
            .saturating_add(millis(self.0.times.access))
            .min(session.ends_at);
        let row = |text: &str, is_refresh, scope: &str, expires_at| TokenRow {
            hash: Hash::of(text.as_bytes()).0,
            session: session.id.clone(),
            refresh: is_refresh,
            resource: resource.to_owned(),
            scope: scope.to_owned(),
            generation,
            created_at: now,
            expires_at,
            replaced_at: None,
        };
        tx.insert_token(&row(&access, false, access_scope, until)).await?;
        tx.insert_token(&row(&refresh, true, refresh_scope, session.ends_at))
            .await?;
        Ok(Issued {
            access,
            refresh,
            expires_in: until.saturating_sub(now) / 1000,
            scope: access_scope.to_owned(),
            session: session.id.clone(),
        })
    }

    /// Takes a token back (RFC 7009): of a refresh token the whole session ends, an access token alone is
    /// gone. A token that is none of ours, or another client's, changes nothing.
    ///
    /// # Errors
    /// The store cannot be written: then it is not taken back.
    pub async fn revoke(&self, text: &str, client_id: Option<&str>) -> Result<(), Refused> {
        let refresh = is_well_formed(text, prefix::REFRESH);
        if !refresh && !is_well_formed(text, prefix::ACCESS) {
            return Ok(());
        }
        let hash = Hash::of(text.as_bytes());
        let found = self.token(&hash).await?;
        let theirs = |session: &SessionRow| client_id.is_none_or(|id| id == session.client_id);
        let Some((token, session)) = found.filter(|(_, session)| theirs(session)) else {
            return Ok(());
        };
        if token.refresh {
            self.end(&session.id, Why::SignedOut).await?;
            return Ok(());
        }
        let mut tx = self.0.rows.write().await?;
        tx.delete_token(&hash.0).await?;
        tx.commit().await?;
        self.forget_remembered();
        Ok(())
    }
}

/// The generation a token's successor belongs to; `None` when the token should not have come.
fn follows(token: &TokenRow, newest: u64, tokens: u64, now: u64) -> Option<u64> {
    match token.replaced_at {
        None => (token.generation == newest).then(|| newest.saturating_add(1)),
        Some(replaced) => {
            let in_grace = now.saturating_sub(replaced) < millis(GRACE);
            let before = token.generation.saturating_add(1) == newest;
            (before && in_grace && tokens < RACERS).then_some(newest)
        }
    }
}

/// A new secret of ours.
pub(crate) fn fresh(prefix: &str, world: &dyn World) -> Zeroizing<String> {
    let mut random = Zeroizing::new([0_u8; 32]);
    world.random(random.as_mut_slice());
    let random = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
    Zeroizing::new(format!("{prefix}{}", random.as_str()))
}

/// RFC 7636 section 4.6, S256.
fn fits(verifier: &str, challenge: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        return false;
    }
    let made = URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).0);
    made.as_bytes().ct_eq(challenge.as_bytes()).into()
}

fn is_for(asked: Option<&str>, resource: &str) -> Result<(), Refused> {
    match asked {
        Some(asked) if asked != resource => Err(Refused::Target),
        _ => Ok(()),
    }
}

/// The scopes that are asked for, sorted; `None` when one of them was not granted.
fn narrowed(asked: Option<&str>, granted: &str) -> Option<String> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Some(granted.to_owned());
    };
    let granted: BTreeSet<&str> = granted.split(' ').collect();
    let asked: BTreeSet<&str> = asked.split(' ').filter(|one| !one.is_empty()).collect();
    let within = asked.is_subset(&granted);
    within.then(|| asked.into_iter().collect::<Vec<_>>().join(" "))
}
