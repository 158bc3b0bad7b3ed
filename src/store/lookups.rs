//! How often a person looks values up, as rows: replicas count together.

use super::StoreError;
use super::db::query;
use super::journal::{to_i64, to_u64};
use super::rows::Tx;

impl Tx {
    /// Counts one look-up of a person at `now`, if fewer than `most` were counted in their hour (`hour`
    /// milliseconds; it begins with the first). `Err` inside: when the hour ends. Times are Unix milliseconds.
    /// Hours of others that are over go.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn spend_lookup(
        &mut self,
        (issuer, subject): (&str, &str),
        (now, hour, most): (u64, u64, u64),
    ) -> Result<Result<(), u64>, StoreError> {
        query("DELETE FROM lookup_spent WHERE since <= ?1")
            .bind(to_i64(now.saturating_sub(hour)))
            .execute(&mut self.conn)
            .await?;
        let row = query("SELECT since, spent FROM lookup_spent WHERE issuer = ?1 AND subject = ?2")
            .bind(issuer)
            .bind(subject)
            .fetch_optional(&mut self.conn)
            .await?;
        let (since, spent) = match &row {
            Some(row) => (to_u64(row.try_get(0)?), to_u64(row.try_get(1)?)),
            None => (now, 0),
        };
        if spent >= most {
            return Ok(Err(since.saturating_add(hour)));
        }
        query(
            "INSERT INTO lookup_spent (issuer, subject, since, spent) VALUES (?1, ?2, ?3, 1) \
             ON CONFLICT (issuer, subject) DO UPDATE SET spent = lookup_spent.spent + 1",
        )
        .bind(issuer)
        .bind(subject)
        .bind(to_i64(since))
        .execute(&mut self.conn)
        .await?;
        Ok(Ok(()))
    }
}
