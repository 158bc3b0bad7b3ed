//! Messages of requests: which there are, which are owed, and whose turn it is to write one.

use crate::store::StoreError;
use crate::store::db::{Row, query};
use crate::store::journal::{to_i64, to_u64};
use crate::store::rows::Tx;

/// One message that shows a request. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of `slack_card`")]
pub struct CardRow {
    pub approval: String,
    pub channel: String,
    pub ts: Option<String>,
    pub decides: bool,
    pub shown: u64,
    pub leased_until: u64,
    pub attempts: u32,
}

impl Tx {
    /// Takes the message of a request in a channel until `until`, to write it: nobody else does meanwhile. `None` when
    /// somebody is at it, or Slack is to be left alone with it for a while.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lease_card(
        &mut self,
        (approval, channel): (&str, &str),
        (now, until): (u64, u64),
    ) -> Result<Option<CardRow>, StoreError> {
        let row = query(
            "INSERT INTO slack_card (approval, channel, leased_until) VALUES (?1, ?2, ?4) \
             ON CONFLICT (approval, channel) DO UPDATE SET leased_until = ?4 WHERE slack_card.leased_until <= ?3 \
             RETURNING approval, channel, ts, decides, shown, leased_until, attempts",
        )
        .bind(approval)
        .bind(channel)
        .bind(to_i64(now))
        .bind(to_i64(until))
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(card).transpose()
    }

    /// What a message is now, and that nobody is at it any more. Gives whether it was still leased to whoever says so: if
    /// not, nothing is changed, for another process writes it by now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_card(&mut self, row: &CardRow) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE slack_card SET ts = ?3, decides = ?4, shown = ?5, leased_until = 0, attempts = 0, error = NULL \
             WHERE approval = ?1 AND channel = ?2 AND leased_until = ?6",
        )
        .bind(&row.approval)
        .bind(&row.channel)
        .bind(&row.ts)
        .bind(row.decides)
        .bind(to_i64(row.shown))
        .bind(to_i64(row.leased_until))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// That Slack did not take a message, and when to try it again; it stays owed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn owe_card(&mut self, row: &CardRow, next_at: u64, why: &str) -> Result<(), StoreError> {
        query(
            "UPDATE slack_card SET leased_until = ?4, attempts = attempts + 1, error = ?5 \
             WHERE approval = ?1 AND channel = ?2 AND leased_until = ?3",
        )
        .bind(&row.approval)
        .bind(&row.channel)
        .bind(to_i64(row.leased_until))
        .bind(to_i64(next_at))
        .bind(why)
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// The request that this message shows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn card_at(&mut self, channel: &str, ts: &str) -> Result<Option<CardRow>, StoreError> {
        let row = query(
            "SELECT approval, channel, ts, decides, shown, leased_until, attempts FROM slack_card \
             WHERE channel = ?1 AND ts = ?2",
        )
        .bind(channel)
        .bind(ts)
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(card).transpose()
    }

    /// The message of a request in a channel, where there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn card_of(&mut self, approval: &str, channel: &str) -> Result<Option<CardRow>, StoreError> {
        let row = query(
            "SELECT approval, channel, ts, decides, shown, leased_until, attempts FROM slack_card \
             WHERE approval = ?1 AND channel = ?2 AND ts IS NOT NULL",
        )
        .bind(approval)
        .bind(channel)
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(card).transpose()
    }

    /// Requests that wait for people at `now`, have no message in a channel, and that nobody is at there; oldest first.
    /// Whether they belong there is not known here.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn without_card(
        &mut self,
        channel: &str,
        now: u64,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let rows = query(
            "SELECT a.id FROM approval a WHERE a.state = 'pending' AND a.decide_by > ?2 AND NOT EXISTS \
             (SELECT 1 FROM slack_card c WHERE c.approval = a.id AND c.channel = ?1 \
             AND (c.ts IS NOT NULL OR c.leased_until > ?2)) ORDER BY a.created_at, a.id LIMIT ?3",
        )
        .bind(channel)
        .bind(to_i64(now))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn card(row: &Row) -> Result<CardRow, StoreError> {
    Ok(CardRow {
        approval: row.try_get(0)?,
        channel: row.try_get(1)?,
        ts: row.try_get(2)?,
        decides: row.try_get(3)?,
        shown: to_u64(row.try_get(4)?),
        leased_until: to_u64(row.try_get(5)?),
        attempts: row.try_get(6)?,
    })
}
