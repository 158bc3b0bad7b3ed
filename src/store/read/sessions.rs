//! Sessions in the journal: whose calls they hold, and one of them call by call.

use super::super::db::query;
use super::super::journal::{to_i64, to_u64};
use super::{JournalReader, Row, StoreError, Stored, stored};

/// One ended call, by its columns alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `journal`")]
pub struct EndedCall {
    pub seq: u64,
    pub at: String,
    pub user: Option<String>,
    pub session: Option<String>,
    pub tool: Option<String>,
    pub resource: Option<String>,
    pub status: Option<String>,
}

const UPWARDS: &str = select!(
    "WHERE session = ?1 AND phase IN ('result', 'refusal', 'interrupted') AND journal.seq >= ?2 \
     ORDER BY journal.seq LIMIT ?3"
);
const DOWNWARDS: &str = select!(
    "WHERE session = ?1 AND phase IN ('result', 'refusal', 'interrupted') AND journal.at < ?2 \
     ORDER BY journal.seq DESC LIMIT ?3"
);

impl JournalReader {
    /// How up to `limit` calls of a session ended: from record `from` on, upwards.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn session_from(
        &mut self,
        session: &str,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Stored>, StoreError> {
        let asked = query(UPWARDS).bind(session).bind(to_i64(from)).bind(limit);
        let rows = asked.fetch_all(&mut self.conn).await?;
        rows.iter().map(stored).collect()
    }

    /// How the latest calls of a session ended that did so before a moment (RFC 3339, as records have it), newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn session_before(
        &mut self,
        session: &str,
        before: &str,
        limit: u32,
    ) -> Result<Vec<Stored>, StoreError> {
        let asked = query(DOWNWARDS).bind(session).bind(before).bind(limit);
        let rows = asked.fetch_all(&mut self.conn).await?;
        rows.iter().map(stored).collect()
    }

    /// Up to `limit` calls that ended before record `before`, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ended_before(
        &mut self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<EndedCall>, StoreError> {
        let rows = query(
            "SELECT seq, at, \"user\", session, tool, resource, status FROM journal \
             WHERE seq < ?1 AND phase IN ('result', 'refusal', 'interrupted') ORDER BY seq DESC LIMIT ?2",
        )
        .bind(before.map_or(i64::MAX, to_i64))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(ended).collect()
    }
}

/// One record about a resource, without what was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `journal`")]
pub struct Told {
    pub seq: u64,
    pub phase: String,
    pub call_id: Option<String>,
    pub record: Vec<u8>,
}

impl JournalReader {
    /// Up to `limit` records about a resource before record `before`, newest first: what was intended, how it ended,
    /// and what people decided.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn told_of(
        &mut self,
        resource: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Told>, StoreError> {
        let rows = query(
            "SELECT seq, phase, call_id, record FROM journal WHERE resource = ?1 AND seq < ?2 \
             AND phase IN ('intent', 'result', 'refusal', 'interrupted', 'decision') ORDER BY seq DESC LIMIT ?3",
        )
        .bind(resource)
        .bind(before.map_or(i64::MAX, to_i64))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        let told = |row: &Row| {
            Ok(Told {
                seq: to_u64(row.try_get(0)?),
                phase: row.try_get(1)?,
                call_id: row.try_get(2)?,
                record: row.try_get(3)?,
            })
        };
        rows.iter().map(told).collect()
    }
}

fn ended(row: &Row) -> Result<EndedCall, StoreError> {
    Ok(EndedCall {
        seq: to_u64(row.try_get(0)?),
        at: row.try_get(1)?,
        user: row.try_get(2)?,
        session: row.try_get(3)?,
        tool: row.try_get(4)?,
        resource: row.try_get(5)?,
        status: row.try_get(6)?,
    })
}
