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
    pub created_at: u64,
}

/// How it stands with requests and notices. Times are Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Requests that wait for people, and when the oldest was made.
    pub pending: u64,
    /// Zero when none waits.
    pub oldest: u64,
    /// Granted requests that nobody has carried out.
    pub granted: u64,
    /// Notices by channel that were not taken yet, and that were given up.
    pub notices: Vec<(String, u64, u64)>,
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
    /// There was nothing to tell: done, and nobody was told.
    Passed,
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
             a.client_id, a.session, a.tool, a.resource, a.action_sha256, a.terms, e.method, a.created_at \
             FROM approval_event e JOIN approval a ON a.id = e.approval ",
            $($rest),+
        )
    };
}

macro_rules! undelivered {
    ($order:expr) => {
        concat!(
            "SELECT e.seq, e.approval, e.at, e.word, e.by, e.words, e.call_id, e.recorded, a.issuer, a.subject, \
             a.client_id, a.session, a.tool, a.resource, a.action_sha256, a.terms, e.method, a.created_at, coalesce(d.attempts, 0) \
             FROM approval_event e JOIN approval a ON a.id = e.approval JOIN approval_channel c ON c.name = ?1 \
             LEFT JOIN approval_delivery d ON d.channel = c.name AND d.event = e.seq \
             WHERE e.seq > c.after AND e.recorded = 1 AND (d.state IS NULL OR (d.state = 'failed' AND d.next_at <= ?2)) \
             ORDER BY ",
            $order,
            " LIMIT ?3"
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

    /// Notes that one person approved or refused (`word`), with their words, and how beyond a sign-in on our own pages.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decided(
        &mut self,
        (approval, at): (&str, u64),
        word: &str,
        (by, words): (&str, Option<&str>),
        method: Option<&str>,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval_event (approval, at, word, by, words, method) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(approval)
        .bind(to_i64(at))
        .bind(word)
        .bind(by)
        .bind(words)
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

    /// Makes a channel known: it hears of what comes after this, and of everything since the oldest request that still waits,
    /// since that may have been made while the channel was about to be known. A known one stays as it is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_channel(&mut self, channel: &str) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval_channel (name, after) SELECT ?1, coalesce( \
             (SELECT min(e.seq) - 1 FROM approval_event e JOIN approval a ON a.id = e.approval WHERE a.state = 'pending'), \
             (SELECT max(seq) FROM approval_event), 0) WHERE true ON CONFLICT DO NOTHING",
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
        let rows = query(undelivered!("e.seq"))
            .bind(channel)
            .bind(to_i64(now))
            .bind(limit)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter().map(tried).collect()
    }

    /// The same in another order: broken glass, then what became of requests, then new ones.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn urgent_first(
        &mut self,
        channel: &str,
        now: u64,
        limit: u32,
    ) -> Result<Vec<(EventRow, u32)>, StoreError> {
        let order =
            undelivered!("CASE e.word WHEN 'break_glass' THEN 0 WHEN 'requested' THEN 2 ELSE 1 END, e.seq");
        let rows = query(order)
            .bind(channel)
            .bind(to_i64(now))
            .bind(limit)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter().map(tried).collect()
    }

    /// Takes a notice that is owed at `now` until `until`, to give it: no other process gives it meanwhile, nor one that
    /// comes after it of the same request, so that a channel hears in order. What failed before keeps nothing back, and
    /// nothing keeps back what everybody has to hear. Gives whether it was to be had.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_notice(
        &mut self,
        channel: &str,
        seq: u64,
        (now, until): (u64, u64),
    ) -> Result<bool, StoreError> {
        let done = query(
            "INSERT INTO approval_delivery (channel, event, state, attempts, next_at) \
             SELECT c.name, e.seq, 'failed', 0, ?4 FROM approval_event e JOIN approval_channel c ON c.name = ?1 \
             WHERE e.seq = ?2 AND (e.word = 'break_glass' OR NOT EXISTS ( \
             SELECT 1 FROM approval_event f LEFT JOIN approval_delivery d ON d.channel = c.name AND d.event = f.seq \
             WHERE f.approval = e.approval AND f.seq < e.seq AND f.seq > c.after AND f.recorded = 1 \
             AND (d.event IS NULL OR (d.state = 'failed' AND d.attempts = 0)) \
             AND (f.word <> 'requested' OR d.next_at > ?3))) \
             ON CONFLICT (channel, event) DO UPDATE SET next_at = ?4 \
             WHERE approval_delivery.state = 'failed' AND approval_delivery.next_at <= ?3",
        )
        .bind(channel)
        .bind(to_i64(seq))
        .bind(to_i64(now))
        .bind(to_i64(until))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a notice back that was taken and not given: no attempt is counted.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn return_notice(&mut self, channel: &str, seq: u64) -> Result<(), StoreError> {
        query(
            "UPDATE approval_delivery SET next_at = 0 WHERE channel = ?1 AND event = ?2 AND state = 'failed'",
        )
        .bind(channel)
        .bind(to_i64(seq))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Notes how a notice fared.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delivered(&mut self, channel: &str, seq: u64, how: &Delivery) -> Result<(), StoreError> {
        let (state, next_at, error) = match how {
            Delivery::Delivered => ("delivered", 0, None),
            Delivery::Passed => return self.passed(channel, seq).await,
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

    /// A notice that needed no telling: it is done, and has no attempts, by which it is told from one that was taken.
    async fn passed(&mut self, channel: &str, seq: u64) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval_delivery (channel, event, state, attempts, next_at) VALUES (?1,?2,'delivered',0,0) \
             ON CONFLICT (channel, event) DO UPDATE SET state = 'delivered', attempts = 0, next_at = 0, error = NULL \
             WHERE approval_delivery.state = 'failed'",
        )
        .bind(channel)
        .bind(to_i64(seq))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// What a channel was told of one request before this transition: each as (word, whether the channel took it,
    /// whether that is still open), oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn told_before(
        &mut self,
        channel: &str,
        (approval, seq): (&str, u64),
    ) -> Result<Vec<(String, bool, bool)>, StoreError> {
        let rows = query(
            "SELECT e.word, coalesce(d.state, 'failed'), coalesce(d.attempts, 0) \
             FROM approval_event e JOIN approval_channel c ON c.name = ?1 \
             LEFT JOIN approval_delivery d ON d.channel = c.name AND d.event = e.seq \
             WHERE e.approval = ?2 AND e.seq < ?3 AND e.seq > c.after ORDER BY e.seq",
        )
        .bind(channel)
        .bind(approval)
        .bind(to_i64(seq))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter()
            .map(|row| {
                let (state, attempts): (String, u32) = (row.try_get(1)?, row.try_get(2)?);
                Ok((
                    row.try_get(0)?,
                    state == "delivered" && attempts > 0,
                    state == "failed",
                ))
            })
            .collect()
    }

    /// How it stands with requests and notices.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn waiting(&mut self) -> Result<Waiting, StoreError> {
        let rows = query(
            "SELECT state, count(*), min(created_at) FROM approval WHERE state IN ('pending','granted') GROUP BY state",
        )
        .fetch_all(&mut self.conn)
        .await?;
        let mut waiting = Waiting::default();
        for row in &rows {
            let (state, count): (String, u64) = (row.try_get(0)?, to_u64(row.try_get(1)?));
            match state.as_str() {
                "pending" => (waiting.pending, waiting.oldest) = (count, to_u64(row.try_get(2)?)),
                _ => waiting.granted = count,
            }
        }
        // A message of Slack's is owed by its row and not by a notice, for as long as its request waits.
        let rows = query(
            "SELECT c.name, count(CASE WHEN d.state = 'failed' AND d.attempts > 0 THEN 1 END) + (SELECT count(*) \
             FROM slack_card s JOIN approval a ON a.id = s.approval \
             WHERE s.ts IS NULL AND s.attempts > 0 AND a.state = 'pending' AND 'slack ' || s.channel = c.name), \
             count(CASE WHEN d.state = 'dead' THEN 1 END) \
             FROM approval_channel c LEFT JOIN approval_delivery d ON d.channel = c.name GROUP BY c.name ORDER BY c.name",
        )
        .fetch_all(&mut self.conn)
        .await?;
        for row in &rows {
            let (failed, dead) = (to_u64(row.try_get(1)?), to_u64(row.try_get(2)?));
            waiting.notices.push((row.try_get(0)?, failed, dead));
        }
        Ok(waiting)
    }

    /// Messages that Slack did not take the last time, of requests that still wait: they stay owed. Each as the transition that
    /// asked for it, with channel and reason, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unshown(&mut self, limit: u32) -> Result<Vec<(EventRow, String, String)>, StoreError> {
        let rows = query(
            "SELECT e.seq, e.approval, e.at, e.word, e.by, e.words, e.call_id, e.recorded, a.issuer, a.subject, \
             a.client_id, a.session, a.tool, a.resource, a.action_sha256, a.terms, e.method, a.created_at, 'slack ' || c.channel, \
             coalesce(c.error, '') || ', ' || c.attempts || ' times; it is tried again' \
             FROM slack_card c JOIN approval a ON a.id = c.approval \
             JOIN approval_event e ON e.approval = a.id AND e.word = 'requested' \
             WHERE c.ts IS NULL AND c.attempts > 0 AND a.state = 'pending' ORDER BY e.seq DESC LIMIT ?1",
        )
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter()
            .map(|row| Ok((event(row)?, row.try_get(18)?, row.try_get(19)?)))
            .collect()
    }

    /// Notices that were given up, with channel and reason, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn dead(&mut self, limit: u32) -> Result<Vec<(EventRow, String, String)>, StoreError> {
        let rows = query(
            "SELECT e.seq, e.approval, e.at, e.word, e.by, e.words, e.call_id, e.recorded, a.issuer, a.subject, \
             a.client_id, a.session, a.tool, a.resource, a.action_sha256, a.terms, e.method, a.created_at, d.channel, coalesce(d.error, '') \
             FROM approval_delivery d JOIN approval_event e ON e.seq = d.event JOIN approval a ON a.id = e.approval \
             WHERE d.state = 'dead' ORDER BY e.seq DESC LIMIT ?1",
        )
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter()
            .map(|row| Ok((event(row)?, row.try_get(18)?, row.try_get(19)?)))
            .collect()
    }
}

/// With the attempts so far.
fn tried(row: &Row) -> Result<(EventRow, u32), StoreError> {
    Ok((event(row)?, row.try_get::<u32>(18)?))
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
        created_at: to_u64(row.try_get(17)?),
    })
}
