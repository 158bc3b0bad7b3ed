//! Approvals as rows. Every change is a compare-and-swap inside one `BEGIN IMMEDIATE`, together with the
//! event that tells of it; several processes may share the file (incident note H9). What a transition
//! means is `approval`'s business: here are only rows.

mod callbacks;
mod events;
mod grants;
mod listing;
mod people;
mod sessions;

use std::collections::BTreeMap;

use super::StoreError;
use super::db::{Row, query, query_scalar};
use super::journal::{to_i64, to_u64};
use super::rows::Tx;

pub use events::{Delivery, EventRow, Waiting};
pub use grants::{GrantRow, PersonRow};
pub use listing::{Filter, Shelf, Sight};
pub use people::{BreakGlassRow, DecidedRow, DelegationRow};

/// One request. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `approval`")]
pub struct ApprovalRow {
    pub id: String,
    pub state: String,
    pub request_key: [u8; 32],
    pub asked_sha256: [u8; 32],
    pub action_sha256: [u8; 32],
    pub issuer: String,
    pub subject: String,
    pub client_id: String,
    pub session: String,
    pub tool: String,
    pub resource: Option<String>,
    pub unattended: bool,
    pub terms: String,
    pub sealed: Option<String>,
    pub created_at: u64,
    pub decide_by: u64,
    pub granted_at: Option<u64>,
    pub execute_by: Option<u64>,
    pub left_at: Option<u64>,
    pub settled_at: Option<u64>,
    pub call_id: Option<String>,
    pub answered: Option<bool>,
    pub escalate_at: Option<u64>,
}

/// One person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `approval_decision`")]
pub struct DecisionRow {
    pub issuer: String,
    pub subject: String,
    pub groups: String,
    pub approves: bool,
    pub at: u64,
    pub method: Option<String>,
    pub wish: Option<String>,
    pub acr: Option<String>,
    pub standing_for: Option<String>,
    pub on_behalf: Option<String>,
    pub standing: Option<String>,
}

/// What a compare-and-swap changes beside the state. `None` leaves a column as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The new `granted_at` and `execute_by`.
    pub granted: Option<(u64, u64)>,
    /// The call that takes it.
    pub call_id: Option<String>,
    /// The session of that call: what it is answered is for that session.
    pub session: Option<String>,
    /// The time it became final; also erases what is sealed.
    pub settled_at: Option<u64>,
}

/// How a call ended, as the journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It is under way, as far as the journal knows.
    Open,
    /// Its outcome record.
    Outcome(Vec<u8>),
    /// There is none, and nobody works on it.
    Nothing,
}

macro_rules! approvals {
    ($($rest:expr),+) => {
        concat!(
            "SELECT id, state, request_key, asked_sha256, action_sha256, issuer, subject, client_id, session, \
             tool, resource, unattended, terms, sealed, created_at, decide_by, granted_at, execute_by, left_at, \
             settled_at, call_id, answered, escalate_at FROM approval ",
            $($rest),+
        )
    };
}

/// All columns of every request, in the order that [`approval`] reads.
const ALL: &str = approvals!("");

impl Tx {
    /// The request of that id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn row(&mut self, id: &str) -> Result<Option<ApprovalRow>, StoreError> {
        let row = query(approvals!("WHERE id = ?1"))
            .bind(id)
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(approval).transpose()
    }

    /// The newest request of that key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn newest(&mut self, request_key: &[u8; 32]) -> Result<Option<ApprovalRow>, StoreError> {
        let row = query(approvals!(
            "WHERE request_key = ?1 \
             ORDER BY state IN ('pending','granted') DESC, rowid DESC LIMIT 1"
        ))
        .bind(&request_key[..])
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(approval).transpose()
    }

    /// The newest `limit` requests.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn latest(&mut self, limit: u32) -> Result<Vec<ApprovalRow>, StoreError> {
        let rows = query(approvals!(
            "ORDER BY state IN ('pending','granted') DESC, rowid DESC LIMIT ?1"
        ))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(approval).collect()
    }

    /// Open requests whose time is over at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn overdue(&mut self, now: u64) -> Result<Vec<ApprovalRow>, StoreError> {
        let rows = query(approvals!(
            "WHERE (state = 'pending' AND decide_by <= ?1) OR (state = 'granted' AND execute_by <= ?1) LIMIT 256"
        ))
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(approval).collect()
    }

    /// Spent requests of which it is not known what came of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unsettled(&mut self) -> Result<Vec<ApprovalRow>, StoreError> {
        let rows = query(approvals!(
            "WHERE state = 'spent' AND settled_at IS NULL LIMIT 256"
        ))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(approval).collect()
    }

    /// Requests granted before `granted_before` that may run without their caller.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unattended(&mut self, granted_before: u64) -> Result<Vec<ApprovalRow>, StoreError> {
        let rows = query(approvals!(
            "WHERE state = 'granted' AND unattended = 1 AND granted_at <= ?1 ORDER BY granted_at LIMIT 16"
        ))
        .bind(to_i64(granted_before))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(approval).collect()
    }

    /// Requests in this state.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn where_state(&mut self, state: &str) -> Result<Vec<ApprovalRow>, StoreError> {
        let rows = query(approvals!("WHERE state = ?1 LIMIT 4096"))
            .bind(state)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter().map(approval).collect()
    }

    /// How many requests of a person wait for decisions at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn pending_of(&mut self, issuer: &str, subject: &str, now: u64) -> Result<u64, StoreError> {
        let count: i64 = query_scalar(
            "SELECT count(*) FROM approval WHERE state = 'pending' AND issuer = ?1 AND subject = ?2 AND decide_by > ?3",
        )
        .bind(issuer)
        .bind(subject)
        .bind(to_i64(now))
        .fetch_one(&mut self.conn)
        .await?;
        Ok(to_u64(count))
    }

    /// How many requests a person made after `since`, whatever became of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn asked_since(&mut self, issuer: &str, subject: &str, since: u64) -> Result<u64, StoreError> {
        let count: i64 = query_scalar(
            "SELECT count(*) FROM approval WHERE issuer = ?1 AND subject = ?2 AND created_at > ?3",
        )
        .bind(issuer)
        .bind(subject)
        .bind(to_i64(since))
        .fetch_one(&mut self.conn)
        .await?;
        Ok(to_u64(count))
    }

    /// A new request.
    ///
    /// # Errors
    /// See [`StoreError`]; also when an open one has the same key.
    pub async fn insert(&mut self, row: &ApprovalRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval (id, state, request_key, asked_sha256, action_sha256, issuer, subject, client_id, \
             session, tool, resource, unattended, terms, sealed, created_at, decide_by, escalate_at) \
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )
        .bind(&row.id)
        .bind(&row.state)
        .bind(&row.request_key[..])
        .bind(&row.asked_sha256[..])
        .bind(&row.action_sha256[..])
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.client_id)
        .bind(&row.session)
        .bind(&row.tool)
        .bind(&row.resource)
        .bind(row.unattended)
        .bind(&row.terms)
        .bind(&row.sealed)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.decide_by))
        .bind(row.escalate_at.map(to_i64))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Compare-and-swap: `from` → `to`. Gives whether it was in `from`.
    ///
    /// # Errors
    /// See [`StoreError`]; also for a way that no request may go.
    pub async fn shift(
        &mut self,
        id: &str,
        from: &str,
        to: &str,
        change: &Change,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval SET state = ?3, granted_at = coalesce(?4, granted_at), \
             execute_by = coalesce(?5, execute_by), call_id = coalesce(?6, call_id), \
             settled_at = coalesce(?7, settled_at), sealed = CASE WHEN ?7 IS NULL THEN sealed END, \
             session = coalesce(?8, session) \
             WHERE id = ?1 AND state = ?2",
        )
        .bind(id)
        .bind(from)
        .bind(to)
        .bind(change.granted.map(|(at, _)| to_i64(at)))
        .bind(change.granted.map(|(_, by)| to_i64(by)))
        .bind(&change.call_id)
        .bind(change.settled_at.map(to_i64))
        .bind(&change.session)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes how the call that spent a request was answered. Gives whether nobody had noted it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn answered(&mut self, id: &str, answered: bool, now: u64) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval SET answered = ?2, settled_at = ?3, sealed = NULL \
             WHERE id = ?1 AND state = 'spent' AND settled_at IS NULL",
        )
        .bind(id)
        .bind(answered)
        .bind(to_i64(now))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that a request's caller went away, or is back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn left(&mut self, id: &str, at: Option<u64>) -> Result<(), StoreError> {
        query("UPDATE approval SET left_at = ?2 WHERE id = ?1 AND state IN ('pending','granted')")
            .bind(id)
            .bind(at.map(to_i64))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Takes one person's decision. Gives whether it was their first about this request.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decide(&mut self, id: &str, decision: &DecisionRow) -> Result<bool, StoreError> {
        let done = query(
            "INSERT INTO approval_decision (approval, issuer, subject, groups, approves, at, method, wish, acr, \
             standing_for, standing, on_behalf) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(&decision.issuer)
        .bind(&decision.subject)
        .bind(&decision.groups)
        .bind(decision.approves)
        .bind(to_i64(decision.at))
        .bind(&decision.method)
        .bind(&decision.wish)
        .bind(&decision.acr)
        .bind(&decision.standing_for)
        .bind(&decision.standing)
        .bind(&decision.on_behalf)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The decisions about a request, in their order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decisions(&mut self, id: &str) -> Result<Vec<DecisionRow>, StoreError> {
        let rows = query(
            "SELECT issuer, subject, groups, approves, at, method, wish, acr, standing_for, standing, on_behalf FROM \
             approval_decision WHERE approval = ?1 \
             ORDER BY at, issuer, subject",
        )
        .bind(id)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(decided).collect()
    }

    /// The decisions about several requests, by request, each in their order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decisions_of(
        &mut self,
        ids: &[&str],
    ) -> Result<BTreeMap<String, Vec<DecisionRow>>, StoreError> {
        let mut found: BTreeMap<String, Vec<DecisionRow>> = BTreeMap::new();
        if ids.is_empty() {
            return Ok(found);
        }
        let places = vec!["?"; ids.len()].join(",");
        let mut asked = query(format!(
            "SELECT issuer, subject, groups, approves, at, method, wish, acr, standing_for, standing, on_behalf, approval FROM \
             approval_decision WHERE approval IN ({places}) ORDER BY at, issuer, subject"
        ));
        for id in ids {
            asked = asked.bind(*id);
        }
        for row in asked.fetch_all(&mut self.conn).await? {
            found.entry(row.try_get(11)?).or_default().push(decided(&row)?);
        }
        Ok(found)
    }

    /// Removes requests that became final before `time`, with their decisions and events. An event
    /// that the journal does not have yet keeps its request.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prune(&mut self, time: u64) -> Result<u64, StoreError> {
        let done = query(
            "DELETE FROM approval WHERE id IN (SELECT id FROM approval WHERE settled_at < ?1 AND NOT EXISTS \
             (SELECT 1 FROM approval_event WHERE approval = approval.id AND recorded = 0) LIMIT 256)",
        )
        .bind(to_i64(time))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected())
    }

    /// What the journal says of a call. A call under way is in `open_call` until its process has
    /// recorded its outcome, or a start has recorded that its process is gone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ended(&mut self, call_id: &str) -> Result<Ended, StoreError> {
        let open: i64 = query_scalar("SELECT count(*) FROM open_call WHERE call_id = ?1")
            .bind(call_id)
            .fetch_one(&mut self.conn)
            .await?;
        if open > 0 {
            return Ok(Ended::Open);
        }
        let record: Option<Vec<u8>> = query_scalar(
            "SELECT record FROM journal WHERE call_id = ?1 AND phase IN ('result','refusal','interrupted') \
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(call_id)
        .fetch_optional(&mut self.conn)
        .await?;
        Ok(record.map_or(Ended::Nothing, Ended::Outcome))
    }
}

fn decided(row: &Row) -> Result<DecisionRow, StoreError> {
    Ok(DecisionRow {
        issuer: row.try_get(0)?,
        subject: row.try_get(1)?,
        groups: row.try_get(2)?,
        approves: row.try_get(3)?,
        at: to_u64(row.try_get(4)?),
        method: row.try_get(5)?,
        wish: row.try_get(6)?,
        acr: row.try_get(7)?,
        standing_for: row.try_get(8)?,
        standing: row.try_get(9)?,
        on_behalf: row.try_get(10)?,
    })
}

fn digest(row: &Row, column: usize) -> Result<[u8; 32], StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| StoreError::Damaged("a digest of an approval has another length".to_owned()))
}

fn approval(row: &Row) -> Result<ApprovalRow, StoreError> {
    let time = |column: usize| -> Result<Option<u64>, StoreError> {
        Ok(row.try_get::<Option<i64>>(column)?.map(to_u64))
    };
    Ok(ApprovalRow {
        id: row.try_get(0)?,
        state: row.try_get(1)?,
        request_key: digest(row, 2)?,
        asked_sha256: digest(row, 3)?,
        action_sha256: digest(row, 4)?,
        issuer: row.try_get(5)?,
        subject: row.try_get(6)?,
        client_id: row.try_get(7)?,
        session: row.try_get(8)?,
        tool: row.try_get(9)?,
        resource: row.try_get(10)?,
        unattended: row.try_get(11)?,
        terms: row.try_get(12)?,
        sealed: row.try_get(13)?,
        created_at: to_u64(row.try_get(14)?),
        decide_by: to_u64(row.try_get(15)?),
        granted_at: time(16)?,
        execute_by: time(17)?,
        left_at: time(18)?,
        settled_at: time(19)?,
        call_id: row.try_get(20)?,
        answered: row.try_get(21)?,
        escalate_at: time(22)?,
    })
}
