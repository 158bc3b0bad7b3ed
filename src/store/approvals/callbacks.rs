//! What an integration's notice carried, so that its answer counts once.

use crate::store::StoreError;
use crate::store::db::query;
use crate::store::journal::to_i64;
use crate::store::rows::Tx;

impl Tx {
    /// The nonce of a request for an integration: `fresh`, unless there is one already.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn nonce(
        &mut self,
        approval: &str,
        integration: &str,
        fresh: &[u8; 32],
        now: u64,
    ) -> Result<Vec<u8>, StoreError> {
        query(
            "INSERT INTO approval_callback (approval, integration, nonce, made_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(approval)
        .bind(integration)
        .bind(&fresh[..])
        .bind(to_i64(now))
        .execute(&mut self.conn)
        .await?;
        let kept = self.nonce_of(approval, integration).await?;
        kept.map(|(nonce, _)| nonce)
            .ok_or_else(|| StoreError::Damaged(format!("approval {approval}: its nonce")))
    }

    /// The nonce that an integration was told for a request, and whether it is spent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn nonce_of(
        &mut self,
        approval: &str,
        integration: &str,
    ) -> Result<Option<(Vec<u8>, bool)>, StoreError> {
        let row =
            query("SELECT nonce, spent_at FROM approval_callback WHERE approval = ?1 AND integration = ?2")
                .bind(approval)
                .bind(integration)
                .fetch_optional(&mut self.conn)
                .await?;
        let read = |row: crate::store::db::Row| {
            let spent: Option<i64> = row.try_get(1)?;
            Ok((row.try_get(0)?, spent.is_some()))
        };
        row.map(read).transpose()
    }

    /// Spends it. Gives whether nobody had.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn spend_nonce(
        &mut self,
        approval: &str,
        integration: &str,
        now: u64,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval_callback SET spent_at = ?3 \
             WHERE approval = ?1 AND integration = ?2 AND spent_at IS NULL",
        )
        .bind(approval)
        .bind(integration)
        .bind(to_i64(now))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
