//! How sessions end, and who hears of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::upstream::{about, open_upstream};
use super::{Sessions, lock, millis};
use crate::identity::provider::Upstream;
use crate::store::StoreError;
use crate::store::rows::Tx;
use crate::store::sessions::SessionRow;

/// Sessions whose time is over are looked for this often, in seconds.
const SWEEP_EVERY: u64 = 10;
/// Ended sessions are remembered this long, in milliseconds: a replayed code or a reused refresh token
/// finds out which session it was, and people see what has ended.
const KEPT_ENDED: u64 = 24 * 3600 * 1000;
/// Codes and tokens that have expired are kept this long, in milliseconds: whoever replays one is heard.
const KEPT_EXPIRED: u64 = 600 * 1000;
/// The most sessions of one list.
const LIST: u32 = 1000;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The person, or the client for them, signed out.
    SignedOut,
    /// An administrator ended it.
    Administrator,
    /// The provider says that the person is not there any more, or signed out there.
    Provider,
    /// A refresh token came back after its successor was used.
    TokenReused,
    /// A code came back after it was exchanged.
    CodeReplayed,
    /// It was not used for too long.
    Idle,
    /// It lasted as long as it may.
    Over,
    /// What the provider gave cannot be unsealed: the key has been replaced.
    Unsealed,
}

impl Why {
    /// One word for the store and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Administrator => "administrator",
            Self::Provider => "provider",
            Self::TokenReused => "token_reused",
            Self::CodeReplayed => "code_replayed",
            Self::Idle => "idle",
            Self::Over => "over",
            Self::Unsealed => "unsealed",
        }
    }
}

/// What people may see of a session. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCard {
    /// Its id, which opens nothing.
    pub id: String,
    /// The provider's configured name.
    pub issuer: String,
    /// Who, there.
    pub subject: String,
    /// The client.
    pub client_id: String,
    /// What the client calls itself.
    pub client_name: String,
    /// Whether somebody other than the client vouches for `client_id`.
    pub verified: bool,
    /// Granted scopes, separated by spaces.
    pub scope: String,
    /// When it began.
    pub created_at: u64,
    /// When it was last used, to the minute.
    pub used_at: u64,
    /// When the provider last said that the person is there.
    pub checked_at: u64,
    /// When it ends at the latest.
    pub ends_at: u64,
}

/// A session that has just ended.
pub(super) struct Ending {
    id: String,
    issuer: String,
    upstream: Option<Upstream>,
}

impl Sessions {
    /// Open sessions, newest first, at most 1000: those of a person (issuer, subject), or everybody's.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self, person: Option<(&str, &str)>) -> Result<Vec<SessionCard>, StoreError> {
        let mut tx = self.0.rows.read().await?;
        let rows = tx.open_sessions(person, LIST).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(card).collect())
    }

    /// One session, ended or not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn card(&self, id: &str) -> Result<Option<SessionCard>, StoreError> {
        Ok(self.session(id).await?.map(card))
    }

    /// Ends a session. `false` when it had ended before, or there is none.
    ///
    /// # Errors
    /// The store cannot be written: then it has not ended.
    pub async fn end(&self, id: &str, why: Why) -> Result<bool, StoreError> {
        Ok(self.end_all(vec![id.to_owned()], why).await? == 1)
    }

    /// Ends all sessions of a person; gives how many.
    ///
    /// # Errors
    /// As [`Sessions::end`].
    pub async fn end_person(&self, issuer: &str, subject: &str, why: Why) -> Result<usize, StoreError> {
        let mut ended = 0;
        loop {
            let open = self.list(Some((issuer, subject))).await?;
            if open.is_empty() {
                return Ok(ended);
            }
            let ids = open.into_iter().map(|card| card.id).collect();
            ended += self.end_all(ids, why).await?;
        }
    }

    /// Ends the sessions that belong to a session of the provider; gives how many.
    ///
    /// # Errors
    /// As [`Sessions::end`].
    pub async fn end_provider_sid(&self, issuer: &str, sid: &str) -> Result<usize, StoreError> {
        let mut tx = self.0.rows.read().await?;
        let ids = tx.sessions_of_provider(issuer, sid).await?;
        tx.commit().await?;
        self.end_all(ids, Why::Provider).await
    }

    async fn end_all(&self, ids: Vec<String>, why: Why) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut tx = self.0.rows.write().await?;
        let mut endings = Vec::new();
        for id in ids {
            endings.extend(self.end_in(&mut tx, &id, why).await?);
        }
        tx.commit().await.inspect_err(|_| self.forget_remembered())?;
        let ended = endings.len();
        endings.into_iter().for_each(|ending| self.has_ended(ending));
        Ok(ended)
    }

    /// Ends a session within a transaction; [`Sessions::has_ended`] when that is durable.
    pub(super) async fn end_in(&self, tx: &mut Tx, id: &str, why: Why) -> Result<Option<Ending>, StoreError> {
        let Some(session) = tx.session(id).await? else {
            return Ok(None);
        };
        if !tx.end_session(id, self.now(), why.word()).await? {
            return Ok(None);
        }
        tracing::info!(session = id, why = why.word(), "a session has ended");
        let sealed = session.sealed.as_deref();
        Ok(Some(Ending {
            upstream: sealed.and_then(|sealed| open_upstream(&self.0.seal, &about(id), sealed)),
            id: session.id,
            issuer: session.issuer,
        }))
    }

    /// Tells everybody in this process, and takes back at the provider what we asked with.
    pub(super) fn has_ended(&self, ending: Ending) {
        self.tell(&ending.id);
        let provider = self.0.providers.get(&ending.issuer).map(Arc::clone);
        if let (Some(provider), Some(upstream)) = (provider, ending.upstream) {
            tokio::spawn(async move { provider.forget(&upstream).await });
        }
    }

    fn tell(&self, id: &str) {
        self.forget_remembered();
        let mut told = lock(&self.0.told);
        if told.get(&id.to_owned()).is_some() {
            return;
        }
        told.put(id.to_owned(), ());
        self.0.ended.tell(id);
    }

    /// Hears of sessions that other processes ended, and ends those whose time is over. To be called every
    /// second.
    ///
    /// # Errors
    /// The store cannot be read or written: until it can, nothing that was remembered counts.
    pub async fn watch(&self) -> Result<(), StoreError> {
        let looked = async {
            self.hear().await?;
            let now = self.0.world.monotonic().as_secs();
            if now.saturating_sub(self.0.swept.load(Ordering::SeqCst)) >= SWEEP_EVERY {
                self.sweep().await?;
                self.0.swept.store(now, Ordering::SeqCst);
            }
            Ok(())
        };
        looked.await.inspect_err(|_| self.forget_remembered())
    }

    async fn hear(&self) -> Result<(), StoreError> {
        loop {
            let seen = self.0.seen.load(Ordering::SeqCst);
            let mut tx = self.0.rows.read().await?;
            let ends = tx.ends_after(seen).await?;
            tx.commit().await?;
            let Some((last, _)) = ends.last() else {
                return Ok(());
            };
            let last = *last;
            ends.iter().for_each(|(_, id)| self.tell(id));
            self.0.seen.fetch_max(last, Ordering::SeqCst);
        }
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.now();
        let unused = now.saturating_sub(millis(self.0.times.idle));
        let mut tx = self.0.rows.read().await?;
        let over = tx.sessions_over(now, unused).await?;
        tx.commit().await?;
        for id in over {
            // As it is in the transaction that ends it: it may have been used meanwhile.
            let mut tx = self.0.rows.write().await?;
            let why = match tx.session(&id).await? {
                Some(session) if now >= session.ends_at => Some(Why::Over),
                Some(session) if session.used_at <= unused => Some(Why::Idle),
                _ => None,
            };
            let ending = match why {
                Some(why) => self.end_in(&mut tx, &id, why).await?,
                None => None,
            };
            tx.commit().await?;
            ending.into_iter().for_each(|ending| self.has_ended(ending));
        }
        Ok(())
    }

    /// Erases what is of no use any more. To be called now and then.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn prune(&self) -> Result<(), StoreError> {
        let now = self.now();
        let mut tx = self.0.rows.write().await?;
        tx.prune_sessions(now.saturating_sub(KEPT_EXPIRED), now.saturating_sub(KEPT_ENDED))
            .await?;
        tx.commit().await
    }
}

fn card(row: SessionRow) -> SessionCard {
    SessionCard {
        id: row.id,
        issuer: row.issuer,
        subject: row.subject,
        client_id: row.client_id,
        client_name: row.client_name,
        verified: row.verified,
        scope: row.scope,
        created_at: row.created_at,
        used_at: row.used_at,
        checked_at: row.checked_at,
        ends_at: row.ends_at,
    }
}
