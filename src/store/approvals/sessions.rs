//! Open requests by the session they were made in.

use super::super::StoreError;
use super::super::journal::to_i64;
use super::super::rows::Tx;
use crate::store::db::query_scalar;

/// Most in one transaction; the next one takes the rest.
const AT_ONCE: u32 = 256;

impl Tx {
    /// The ids of open requests that were made in this session.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_in_session(&mut self, session: &str) -> Result<Vec<String>, StoreError> {
        let ids = query_scalar(
            "SELECT id FROM approval WHERE state IN ('pending','granted') AND session = ?1 LIMIT ?2",
        )
        .bind(session)
        .bind(AT_ONCE)
        .fetch_all(&mut self.conn)
        .await?;
        Ok(ids)
    }

    /// The ids of open requests whose session is known and over at `now`, whichever process ended it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_in_ended_sessions(&mut self, now: u64) -> Result<Vec<String>, StoreError> {
        let ids = query_scalar(
            "SELECT id FROM approval WHERE state IN ('pending','granted') AND EXISTS (SELECT 1 FROM session \
             WHERE session.id = approval.session AND (ended_at IS NOT NULL OR ends_at <= ?1)) LIMIT ?2",
        )
        .bind(to_i64(now))
        .bind(AT_ONCE)
        .fetch_all(&mut self.conn)
        .await?;
        Ok(ids)
    }
}
