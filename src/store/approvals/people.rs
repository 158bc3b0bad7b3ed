//! Who stands in for whom, who is asked later, and who went on alone, as rows.

use crate::store::StoreError;
use crate::store::db::{Row, query};
use crate::store::journal::{to_i64, to_u64};
use crate::store::rows::Tx;

/// One delegation. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `approval_delegation`")]
pub struct DelegationRow {
    pub id: String,
    pub issuer: String,
    pub subject: String,
    pub to_issuer: String,
    pub to_subject: String,
    pub group: String,
    pub starts_at: u64,
    pub ends_at: u64,
    pub created_at: u64,
    pub ended_at: Option<u64>,
    pub ended_by: Option<String>,
}

/// A request that went on without the people who were asked. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `approval_break_glass`")]
pub struct BreakGlassRow {
    pub approval: String,
    pub issuer: String,
    pub subject: String,
    pub groups: String,
    pub reason: String,
    pub at: u64,
    pub tool: String,
    pub resource: Option<String>,
    pub action_sha256: Vec<u8>,
    pub terms: String,
    pub reviewed_at: Option<u64>,
    pub reviewed_by: Option<String>,
    pub reviewed_words: Option<String>,
}

/// One person's decision, for counting. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns of the table `approval_decision`")]
pub struct DecidedRow {
    pub approval: String,
    pub issuer: String,
    pub subject: String,
    pub approves: bool,
    pub at: u64,
}

macro_rules! delegations {
    ($rest:expr) => {
        concat!(
            "SELECT id, issuer, subject, to_issuer, to_subject, group_name, starts_at, ends_at, created_at, ended_at, \
             ended_by FROM approval_delegation ",
            $rest
        )
    };
}

macro_rules! broken {
    ($rest:expr) => {
        concat!(
            "SELECT approval, issuer, subject, groups, reason, at, tool, resource, action_sha256, terms, reviewed_at, \
             reviewed_by, reviewed_words FROM approval_break_glass ",
            $rest
        )
    };
}

impl Tx {
    /// Every decision that is kept.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn all_decided(&mut self) -> Result<Vec<DecidedRow>, StoreError> {
        let rows = query("SELECT approval, issuer, subject, approves, at FROM approval_decision")
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(DecidedRow {
                    approval: row.try_get(0)?,
                    issuer: row.try_get(1)?,
                    subject: row.try_get(2)?,
                    approves: row.try_get(3)?,
                    at: to_u64(row.try_get(4)?),
                })
            })
            .collect()
    }

    /// Notes a delegation.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delegate(&mut self, row: &DelegationRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval_delegation (id, issuer, subject, to_issuer, to_subject, group_name, starts_at, \
             ends_at, created_at) VALUES (?,?,?,?,?,?,?,?,?)",
        )
        .bind(&row.id)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.to_issuer)
        .bind(&row.to_subject)
        .bind(&row.group)
        .bind(to_i64(row.starts_at))
        .bind(to_i64(row.ends_at))
        .bind(to_i64(row.created_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// The delegations to this person that count at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delegations_to(
        &mut self,
        issuer: &str,
        subject: &str,
        now: u64,
    ) -> Result<Vec<DelegationRow>, StoreError> {
        let rows = query(delegations!(
            "WHERE to_issuer = ?1 AND to_subject = ?2 AND ended_at IS NULL AND starts_at <= ?3 AND ends_at > ?3 \
             ORDER BY created_at, id LIMIT 256"
        ))
        .bind(issuer)
        .bind(subject)
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(delegation).collect()
    }

    /// One delegation.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delegation(&mut self, id: &str) -> Result<Option<DelegationRow>, StoreError> {
        let row = query(delegations!("WHERE id = ?1"))
            .bind(id)
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(delegation).transpose()
    }

    /// The delegations that this person made, and that are not over at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delegations_by(
        &mut self,
        issuer: &str,
        subject: &str,
        now: u64,
    ) -> Result<Vec<DelegationRow>, StoreError> {
        let rows = query(delegations!(
            "WHERE issuer = ?1 AND subject = ?2 AND ended_at IS NULL AND ends_at > ?3 ORDER BY created_at, id LIMIT 256"
        ))
        .bind(issuer)
        .bind(subject)
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(delegation).collect()
    }

    /// The newest `limit` delegations, those that are not over at `now` first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn latest_delegations(
        &mut self,
        now: u64,
        limit: u32,
    ) -> Result<Vec<DelegationRow>, StoreError> {
        let rows = query(delegations!(
            "ORDER BY ended_at IS NOT NULL OR ends_at <= ?1, created_at DESC, id LIMIT ?2"
        ))
        .bind(to_i64(now))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(delegation).collect()
    }

    /// Ends a delegation. Gives whether it had not ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_delegation(&mut self, id: &str, now: u64, by: &str) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval_delegation SET ended_at = ?2, ended_by = ?3 WHERE id = ?1 AND ended_at IS NULL",
        )
        .bind(id)
        .bind(to_i64(now))
        .bind(by)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Open requests of which it is to be told at `now` that further groups may decide them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn escalating(&mut self, now: u64) -> Result<Vec<String>, StoreError> {
        let rows = query(
            "SELECT id FROM approval WHERE state = 'pending' AND escalate_at IS NOT NULL AND escalate_at <= ?1 LIMIT 256",
        )
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Sets when the next groups may decide, if it was `from`. Gives whether it was.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn escalated(&mut self, id: &str, from: u64, next: Option<u64>) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval SET escalate_at = ?3 WHERE id = ?1 AND state = 'pending' AND escalate_at = ?2",
        )
        .bind(id)
        .bind(to_i64(from))
        .bind(next.map(to_i64))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that a request goes on without the people who were asked. Gives whether it had not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn break_glass(&mut self, row: &BreakGlassRow) -> Result<bool, StoreError> {
        let done = query(
            "INSERT INTO approval_break_glass (approval, issuer, subject, groups, reason, at, tool, resource, \
             action_sha256, terms) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        )
        .bind(&row.approval)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.groups)
        .bind(&row.reason)
        .bind(to_i64(row.at))
        .bind(&row.tool)
        .bind(&row.resource)
        .bind(&row.action_sha256)
        .bind(&row.terms)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// How this request went on without the people who were asked, if it did.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn broken_glass(&mut self, approval: &str) -> Result<Option<BreakGlassRow>, StoreError> {
        let row = query(broken!("WHERE approval = ?1"))
            .bind(approval)
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(broken).transpose()
    }

    /// The newest `limit` of them, those that nobody has reviewed first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn all_broken_glass(&mut self, limit: u32) -> Result<Vec<BreakGlassRow>, StoreError> {
        let rows = query(broken!(
            "ORDER BY reviewed_at IS NOT NULL, at DESC, approval LIMIT ?1"
        ))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(broken).collect()
    }

    /// Notes that somebody reviewed it. Gives whether nobody had.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reviewed(
        &mut self,
        approval: &str,
        now: u64,
        by: &str,
        words: &str,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval_break_glass SET reviewed_at = ?2, reviewed_by = ?3, reviewed_words = ?4 \
             WHERE approval = ?1 AND reviewed_at IS NULL",
        )
        .bind(approval)
        .bind(to_i64(now))
        .bind(by)
        .bind(words)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn delegation(row: &Row) -> Result<DelegationRow, StoreError> {
    Ok(DelegationRow {
        id: row.try_get(0)?,
        issuer: row.try_get(1)?,
        subject: row.try_get(2)?,
        to_issuer: row.try_get(3)?,
        to_subject: row.try_get(4)?,
        group: row.try_get(5)?,
        starts_at: to_u64(row.try_get(6)?),
        ends_at: to_u64(row.try_get(7)?),
        created_at: to_u64(row.try_get(8)?),
        ended_at: row.try_get::<Option<i64>>(9)?.map(to_u64),
        ended_by: row.try_get(10)?,
    })
}

fn broken(row: &Row) -> Result<BreakGlassRow, StoreError> {
    Ok(BreakGlassRow {
        approval: row.try_get(0)?,
        issuer: row.try_get(1)?,
        subject: row.try_get(2)?,
        groups: row.try_get(3)?,
        reason: row.try_get(4)?,
        at: to_u64(row.try_get(5)?),
        tool: row.try_get(6)?,
        resource: row.try_get(7)?,
        action_sha256: row.try_get(8)?,
        terms: row.try_get(9)?,
        reviewed_at: row.try_get::<Option<i64>>(10)?.map(to_u64),
        reviewed_by: row.try_get(11)?,
        reviewed_words: row.try_get(12)?,
    })
}
