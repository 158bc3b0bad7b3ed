//! Whether a session stands, and asking the provider again.
//!
//! A provider is asked when half of `times.recheck` is over and somebody uses the session; by one process
//! at a time, because a refresh token that rotates may be used once. Whoever asks holds a claim in the
//! session's row meanwhile. The answer is stored before anything else; when a process dies in between, the
//! next one asks with what is stored, and a provider that calls that reuse ends the session.

use std::sync::Arc;
use std::time::Duration;

use super::ending::Why;
use super::upstream::{about, open_upstream, seal_upstream};
use super::{Sessions, lock, millis, unavailable};
use crate::identity::provider::{Again, Provider, Upstream};
use crate::identity::rejection::Reason;
use crate::store::StoreError;
use crate::store::sessions::{Checked, SessionRow};

/// How long a claim lasts: longer than [`ANSWER`], so that it ends only for a process that is gone.
const CLAIM_MILLIS: u64 = 60_000;
/// The longest a provider may take.
const ANSWER: Duration = Duration::from_secs(45);
/// After no answer, the provider is not asked about this session again for so long.
const RETRY: Duration = Duration::from_secs(10);
/// Looks at what another process that asks has found, and the time between two.
const LOOKS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Attempts to store an answer.
const ATTEMPTS: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It stands.
    Good,
    /// It stands, and the provider should be asked again.
    Due,
    /// It does not stand before the provider has been asked.
    Stale,
    /// It has ended, or its time is over.
    Over,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The row says more now.
    Answered,
    /// Somebody else is at it, or was.
    Elsewhere,
    /// No answer.
    Failed,
}

impl Sessions {
    pub(super) fn standing(&self, session: &SessionRow) -> Standing {
        let now = self.now();
        let over = session.ended_at.is_some()
            || now >= session.ends_at
            || now >= session.used_at.saturating_add(millis(self.0.times.idle))
            || !self.0.providers.contains_key(&session.issuer);
        if over {
            return Standing::Over;
        }
        if session.sealed.is_none() {
            return Standing::Good; // there is nothing to ask with: `ends_at` is the bound
        }
        // Either way: a check in the future is one of a clock that was wrong.
        let age = now.abs_diff(session.checked_at);
        let bound = millis(self.0.times.recheck);
        match age {
            age if age >= bound => Standing::Stale,
            age if age >= bound / 2 => Standing::Due,
            _ => Standing::Good,
        }
    }

    /// Until when a session stands as it is, in Unix milliseconds.
    pub(super) fn good_until(&self, session: &SessionRow) -> u64 {
        let idle = session
            .used_at
            .max(self.now())
            .saturating_add(millis(self.0.times.idle));
        let checked = match session.sealed {
            Some(_) => session.checked_at.saturating_add(millis(self.0.times.recheck)),
            None => u64::MAX,
        };
        session.ends_at.min(idle).min(checked)
    }

    /// The session, if it stands; as it is after the provider was asked, if it had to be.
    pub(super) async fn live(&self, session: SessionRow) -> Result<SessionRow, Reason> {
        match self.standing(&session) {
            Standing::Good => Ok(session),
            Standing::Due => {
                if !self.is_unanswered(&session.id) && !lock(&self.0.asking).contains(&session.id) {
                    drop(tokio::spawn(self.clone().ask(session.clone())));
                }
                Ok(session)
            }
            Standing::Stale => self.asked(session).await,
            Standing::Over => Err(Reason::Ended),
        }
    }

    /// Waits until the provider has been asked, by us or by another process.
    pub(super) async fn asked(&self, mut session: SessionRow) -> Result<SessionRow, Reason> {
        for _ in 0..LOOKS {
            if self.is_unanswered(&session.id) {
                return Err(Reason::Unavailable);
            }
            // A task of its own: the answer is stored also when nobody waits for it any more.
            let asking = tokio::spawn(self.clone().ask(session.clone()));
            match asking.await.unwrap_or(Asked::Failed) {
                Asked::Answered => {}
                Asked::Elsewhere => tokio::time::sleep(LOOK_EVERY).await,
                Asked::Failed => return Err(Reason::Unavailable),
            }
            let found = self.session(&session.id).await.map_err(unavailable)?;
            session = found.ok_or(Reason::Ended)?;
            match self.standing(&session) {
                Standing::Good | Standing::Due => return Ok(session),
                Standing::Over => return Err(Reason::Ended),
                Standing::Stale => {}
            }
        }
        Err(Reason::Unavailable)
    }

    fn is_unanswered(&self, id: &str) -> bool {
        let now = self.0.world.monotonic();
        let mut unanswered = lock(&self.0.unanswered);
        unanswered.get(&id.to_owned()).is_some_and(|until| now < *until)
    }

    /// Asks the provider, if nobody else does.
    pub(super) async fn ask(self, session: SessionRow) -> Asked {
        if !lock(&self.0.asking).insert(session.id.clone()) {
            return Asked::Elsewhere;
        }
        let _asking = Asking(&self, &session.id);
        let asked = self.ask_once(&session).await;
        asked.unwrap_or_else(|error| {
            tracing::error!(%error, "a session could not be checked again");
            self.unanswered(&session.id);
            Asked::Failed
        })
    }

    fn unanswered(&self, id: &str) {
        let until = self.0.world.monotonic() + RETRY;
        lock(&self.0.unanswered).put(id.to_owned(), until);
    }

    async fn ask_once(&self, session: &SessionRow) -> Result<Asked, StoreError> {
        let Some(provider) = self.0.providers.get(&session.issuer).map(Arc::clone) else {
            return Ok(Asked::Elsewhere);
        };
        let at = self.now();
        let claim = at.saturating_add(CLAIM_MILLIS);
        let mut tx = self.0.rows.write().await?;
        let claimed = tx
            .claim_session(&session.id, session.checked_at, at, claim)
            .await?;
        // As it is now: what was read before the claim may be a token that has been used since.
        let current = tx.session(&session.id).await?;
        tx.commit().await?;
        let Some(sealed) = current.and_then(|row| row.sealed).filter(|_| claimed) else {
            return Ok(Asked::Elsewhere);
        };
        let Some(upstream) = open_upstream(&self.0.seal, &about(&session.id), &sealed) else {
            // Sealed with a key we do not have: nobody can ask about this person any more.
            self.end(&session.id, Why::Unsealed).await?;
            return Ok(Asked::Answered);
        };
        self.answer(session, provider, upstream, (at, claim)).await
    }

    async fn answer(
        &self,
        session: &SessionRow,
        provider: Arc<dyn Provider>,
        upstream: Upstream,
        (at, claim): (u64, u64),
    ) -> Result<Asked, StoreError> {
        let again = tokio::time::timeout(ANSWER, provider.again(&session.subject, &upstream)).await;
        match again {
            Ok(Ok(Again::Stands { claimed, upstream })) => {
                let claimed = claimed.and_then(|claimed| serde_json::to_string(&claimed).ok());
                let about = about(&session.id);
                let Some(sealed) = seal_upstream(&self.0.seal, &about, &upstream, self.0.world.as_ref())
                else {
                    self.end(&session.id, Why::Unsealed).await?;
                    return Ok(Asked::Answered);
                };
                let checked = Checked {
                    claim,
                    at,
                    claimed: claimed.as_deref(),
                    sealed: &sealed,
                };
                self.store_answer(&session.id, checked).await
            }
            Ok(Ok(Again::Gone)) => {
                self.end(&session.id, Why::Provider).await?;
                Ok(Asked::Answered)
            }
            Ok(Ok(Again::CannotAsk)) => {
                let ends_at = session.created_at.saturating_add(millis(self.0.times.unchecked));
                let mut tx = self.0.rows.write().await?;
                tx.session_unchecked(&session.id, claim, ends_at).await?;
                tx.commit().await?;
                self.forget_remembered();
                Ok(Asked::Answered)
            }
            Ok(Err(error)) => self.no_answer(&session.id, claim, &error.to_string()).await,
            Err(_) => self.no_answer(&session.id, claim, "it takes too long").await,
        }
    }

    /// A refresh token that was rotated is lost if this is not stored, and the session with it.
    async fn store_answer(&self, id: &str, checked: Checked<'_>) -> Result<Asked, StoreError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let stored = async {
                let mut tx = self.0.rows.write().await?;
                let stored = tx.session_checked(id, checked).await?;
                tx.commit().await?;
                Ok(stored)
            };
            match stored.await {
                Ok(stored) => {
                    if checked.claimed.is_some() {
                        self.forget_remembered(); // other groups count at once
                    }
                    return Ok(if stored { Asked::Answered } else { Asked::Elsewhere });
                }
                Err(error) if tried == ATTEMPTS => return Err(error),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn no_answer(&self, id: &str, claim: u64, error: &str) -> Result<Asked, StoreError> {
        tracing::warn!(
            session = id,
            error,
            "the identity provider does not say whether somebody is still there"
        );
        self.unanswered(id);
        let mut tx = self.0.rows.write().await?;
        tx.unclaim_session(id, claim).await?;
        tx.commit().await?;
        Ok(Asked::Failed)
    }
}

/// That this process asks about a session, while it does.
struct Asking<'a>(&'a Sessions, &'a str);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.asking).remove(self.1);
    }
}
