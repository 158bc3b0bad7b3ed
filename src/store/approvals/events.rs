//! Every transition as an event: for the journal, without which nobody acts on it, and for notices.

use crate::store::StoreError;
use crate::store::db::{Row, query};
use crate::store::journal::{to_i64, to_u64};
use crate::store::rows::Tx;

/// One transition, with what may be told of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of `approval_event` and of its request")]
pub struct EventRow {
    pub seq: u64,
    pub approval: String,
    pub at: u64,
    pub word: String,
    pub by: Option<String>,
    pub words: Option<String>,
    pub call_id: Option<String>,
    pub method: Option<String>,
    pub recorded: bool,
    pub issuer: String,
    pub subject: String,
    pub client_id: String,
    pub session: String,
    pub tool: String,
    pub resource: Option<String>,
    pub action_sha256: Vec<u8>,
    pub terms: String,
}

/// How a notice fared at a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Delivered,
    /// It was not; to be tried again at this time (Unix milliseconds).
    Failed {
        /// When.
        next_at: u64,
        /// Why, for the operator.
        error: String,
    },
    /// It is not tried any more.
    Dead {
        /// Why.
        error: String,
    },
}

macro_rules! events {
    ($($rest:expr),+) => {
        concat!(
            "SELECT e.seq, e.approval, e.at, e.word, e.by, e.words, e.call_id, e.recorded, a.issuer, a.subject, \
             a.client_id, a.session, a.tool, a.resource, a.action_sha256, a.terms, e.method \
             FROM approval_event e JOIN approval a ON a.id = e.approval ",
            $($rest),+
        )
    };
}

impl Tx {
    /// Notes a transition.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn event(
        &mut self,
        approval: &str,
        at: u64,
        word: &str,
        by: Option<&str>,
        words: Option<&str>,
        call_id: Option<&str>,
    ) -> Result<(), StoreError> {
        query("INSERT INTO approval_event (approval, at, word, by, words, call_id) VALUES (?,?,?,?,?,?)")
            .bind(approval)
            .bind(to_i64(at))
            .bind(word)
            .bind(by)
            .bind(words)
            .bind(call_id)
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Notes that one person approved, and what proved them beyond their sign-in.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn approved(
        &mut self,
        approval: &str,
        at: u64,
        by: &str,
        method: Option<&str>,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval_event (approval, at, word, by, method) VALUES (?1, ?2, 'approved', ?3, ?4)",
        )
        .bind(approval)
        .bind(to_i64(at))
        .bind(by)
        .bind(method)
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Every transition of a request so far.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn events_of(&mut self, approval: &str) -> Result<Vec<EventRow>, StoreError> {
        let rows = query(events!("WHERE e.approval = ?1 ORDER BY e.seq"))
            .bind(approval)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter().map(event).collect()
    }

    /// Transitions that the journal does not have yet; of one request, or of any.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn owed(&mut self, approval: Option<&str>) -> Result<Vec<EventRow>, StoreError> {
        let rows = query(events!(
            "WHERE e.recorded = 0 AND (?1 IS NULL OR e.approval = ?1) ORDER BY e.seq LIMIT 256"
        ))
        .bind(approval)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(event).collect()
    }

    /// The journal has it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn recorded(&mut self, seq: u64) -> Result<(), StoreError> {
        query("UPDATE approval_event SET recorded = 1 WHERE seq = ?1")
            .bind(to_i64(seq))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Makes a channel known: it hears of what comes after this. A known one stays as it is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_channel(&mut self, channel: &str) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval_channel (name, after) \
             SELECT ?1, coalesce(max(seq), 0) FROM approval_event WHERE true ON CONFLICT DO NOTHING",
        )
        .bind(channel)
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Transitions to tell a channel of at `now`, oldest first, each with the attempts so far.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn undelivered(
        &mut self,
        channel: &str,
        now: u64,
        limit: u32,
    ) -> Result<Vec<(EventRow, u32)>, StoreError> {
        let rows = query(
            "SELECT e.seq, e.approval, e.at, e.word, e.by, e.words, e.call_id, e.recorded, a.issuer, a.subject, \
             a.client_id, a.session, a.tool, a.resource, a.action_sha256, a.terms, coalesce(d.attempts, 0), e.method \
             FROM approval_event e JOIN approval a ON a.id = e.approval JOIN approval_channel c ON c.name = ?1 \
             LEFT JOIN approval_delivery d ON d.channel = c.name AND d.event = e.seq \
             WHERE e.seq > c.after AND e.recorded = 1 AND (d.state IS NULL OR (d.state = 'failed' AND d.next_at <= ?2)) \
             ORDER BY e.seq LIMIT ?3",
        )
        .bind(channel)
        .bind(to_i64(now))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter()
            .map(|row| Ok((event(row)?, row.try_get::<u32>(16)?)))
            .collect()
    }

    /// Notes how a notice fared.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delivered(&mut self, channel: &str, seq: u64, how: &Delivery) -> Result<(), StoreError> {
        let (state, next_at, error) = match how {
            Delivery::Delivered => ("delivered", 0, None),
            Delivery::Failed { next_at, error } => ("failed", *next_at, Some(error)),
            Delivery::Dead { error } => ("dead", 0, Some(error)),
        };
        query(
            "INSERT INTO approval_delivery (channel, event, state, attempts, next_at, error) VALUES (?1,?2,?3,1,?4,?5) \
             ON CONFLICT (channel, event) DO UPDATE SET state = ?3, attempts = approval_delivery.attempts + 1, next_at = ?4, error = ?5 \
             WHERE approval_delivery.state = 'failed'",
        )
        .bind(channel)
        .bind(to_i64(seq))
        .bind(state)
        .bind(to_i64(next_at))
        .bind(error)
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Notices that were given up, with channel and reason, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn dead(&mut self, limit: u32) -> Result<Vec<(EventRow, String, String)>, StoreError> {
        let rows = query(
            "SELECT e.seq, e.approval, e.at, e.word, e.by, e.words, e.call_id, e.recorded, a.issuer, a.subject, \
             a.client_id, a.session, a.tool, a.resource, a.action_sha256, a.terms, d.channel, coalesce(d.error, ''), e.method \
             FROM approval_delivery d JOIN approval_event e ON e.seq = d.event JOIN approval a ON a.id = e.approval \
             WHERE d.state = 'dead' ORDER BY e.seq DESC LIMIT ?1",
        )
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter()
            .map(|row| Ok((event(row)?, row.try_get(16)?, row.try_get(17)?)))
            .collect()
    }
}

fn event(row: &Row) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        seq: to_u64(row.try_get(0)?),
        approval: row.try_get(1)?,
        at: to_u64(row.try_get(2)?),
        word: row.try_get(3)?,
        by: row.try_get(4)?,
        words: row.try_get(5)?,
        call_id: row.try_get(6)?,
        method: row.try_get("method")?,
        recorded: row.try_get(7)?,
        issuer: row.try_get(8)?,
        subject: row.try_get(9)?,
        client_id: row.try_get(10)?,
        session: row.try_get(11)?,
        tool: row.try_get(12)?,
        resource: row.try_get(13)?,
        action_sha256: row.try_get(14)?,
        terms: row.try_get(15)?,
    })
}
