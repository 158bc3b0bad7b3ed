//! Reading the journal: one connection, one snapshot, in order.

use super::db::{Conn, Row, query, query_scalar};
use super::journal::{
    CheckpointRow, Head, OpenCall, RecordRow, read_head, read_open_calls, split_frontier, to_i64, to_u64,
};
use super::{Store, StoreError};

/// Which records to give; every part that is set must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// `<issuer>#<subject>`.
    pub user: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// Call id.
    pub call_id: Option<String>,
    /// Tool name.
    pub tool: Option<String>,
    /// Resource name.
    pub resource: Option<String>,
    /// Phase word.
    pub phase: Option<String>,
    /// Outcome status.
    pub status: Option<String>,
    /// Not before this RFC 3339 UTC time.
    pub since: Option<String>,
    /// Before this RFC 3339 UTC time.
    pub until: Option<String>,
    /// Only how calls ended: one record per call.
    pub outcomes: bool,
}

/// What the salt and the bytes of a stored payload are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPayload {
    /// Salt of the commitment.
    pub salt: Vec<u8>,
    /// zlib-compressed bytes.
    pub data: Vec<u8>,
}

/// A connection that only reads, all in one snapshot: what is appended meanwhile is not seen.
#[derive(Debug)]
pub struct JournalReader {
    conn: Conn,
}

macro_rules! select {
    ($($rest:expr),+) => {
        concat!(
            "SELECT journal.seq, leaf, at, phase, call_id, \"user\", session, tool, resource, status, record, \
             salt, data FROM journal LEFT JOIN payload ON payload.seq = journal.seq ",
            $($rest),+
        )
    };
}

mod sessions;

pub use sessions::{EndedCall, Told};

macro_rules! filtered {
    ($edge:literal, $order:literal) => {
        select!(
            "WHERE ",
            $edge,
            " AND (?2 IS NULL OR \"user\" = ?2) AND (?3 IS NULL OR session = ?3) \
             AND (?4 IS NULL OR call_id = ?4) AND (?5 IS NULL OR tool = ?5) \
             AND (?6 IS NULL OR resource = ?6) AND (?7 IS NULL OR phase = ?7) \
             AND (?8 IS NULL OR status = ?8) AND (?9 IS NULL OR at >= ?9) \
             AND (?10 IS NULL OR at < ?10) AND (?11 = 0 OR phase IN ('result', 'refusal', 'interrupted')) \
             ORDER BY journal.seq ",
            $order,
            " LIMIT ?12"
        )
    };
}

impl Store {
    /// A snapshot of the journal.
    ///
    /// # Errors
    /// When the file cannot be opened as it must be.
    pub async fn reader(&self) -> Result<JournalReader, StoreError> {
        let mut conn = self.connect().await?;
        let begin = if conn.is_sqlite() {
            "PRAGMA query_only = ON; BEGIN"
        } else {
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        };
        conn.run(begin).await?;
        Ok(JournalReader { conn })
    }
}

impl JournalReader {
    /// The stored head.
    ///
    /// # Errors
    /// See [`StoreError`]; so for every method here.
    pub async fn head(&mut self) -> Result<Head, StoreError> {
        read_head(&mut self.conn).await
    }

    /// A value of the store's own notes (`origin`, `key`).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn meta(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(query_scalar("SELECT value FROM meta WHERE key = ?1")
            .bind(key)
            .fetch_optional(&mut self.conn)
            .await?)
    }

    /// Calls under way.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_calls(&mut self) -> Result<Vec<OpenCall>, StoreError> {
        read_open_calls(&mut self.conn).await
    }

    /// Up to `limit` records from number `from` on, with their payloads where these are still held.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn range(&mut self, from: u64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let rows = query(select!("WHERE journal.seq >= ?1 ORDER BY journal.seq LIMIT ?2"))
            .bind(to_i64(from))
            .bind(limit)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter().map(stored).collect()
    }

    /// Every record of one call.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn call(&mut self, call_id: &str) -> Result<Vec<Stored>, StoreError> {
        let rows = query(select!("WHERE call_id = ?1 ORDER BY journal.seq"))
            .bind(call_id)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter().map(stored).collect()
    }

    /// Up to `limit` matching records: with `newest_first`, those before number `edge`, downwards;
    /// else those from `edge` on, upwards.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn matching(
        &mut self,
        filter: &RecordFilter,
        edge: Option<u64>,
        newest_first: bool,
        limit: u32,
    ) -> Result<Vec<Stored>, StoreError> {
        let (sql, edge) = if newest_first {
            (NEWEST_FIRST, edge.map_or(i64::MAX, to_i64))
        } else {
            (OLDEST_FIRST, edge.map_or(0, to_i64))
        };
        let rows = query(sql)
            .bind(edge)
            .bind(&filter.user)
            .bind(&filter.session)
            .bind(&filter.call_id)
            .bind(&filter.tool)
            .bind(&filter.resource)
            .bind(&filter.phase)
            .bind(&filter.status)
            .bind(&filter.since)
            .bind(&filter.until)
            .bind(filter.outcomes)
            .bind(limit)
            .fetch_all(&mut self.conn)
            .await?;
        rows.iter().map(stored).collect()
    }

    /// Numbers of up to `limit` records from before this time whose payloads are still held.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn payloads_before(&mut self, time: &str, limit: u32) -> Result<Vec<u64>, StoreError> {
        let rows: Vec<i64> = query_scalar(
            "SELECT payload.seq FROM payload JOIN journal ON journal.seq = payload.seq \
             WHERE at < ?1 ORDER BY payload.seq LIMIT ?2",
        )
        .bind(time)
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        Ok(rows.into_iter().map(to_u64).collect())
    }

    /// The checkpoints over sizes above `after`, smallest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn checkpoints(&mut self, after: u64, limit: u32) -> Result<Vec<CheckpointRow>, StoreError> {
        let rows =
            query("SELECT size, note, frontier FROM checkpoint WHERE size > ?1 ORDER BY size LIMIT ?2")
                .bind(to_i64(after))
                .bind(limit)
                .fetch_all(&mut self.conn)
                .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn last_checkpoint(&mut self) -> Result<Option<CheckpointRow>, StoreError> {
        let row = query("SELECT size, note, frontier FROM checkpoint ORDER BY size DESC LIMIT 1")
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(checkpoint).transpose()
    }

    /// How many checkpoints there are.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn checkpoint_count(&mut self) -> Result<u64, StoreError> {
        let count: i64 = query_scalar("SELECT count(*) FROM checkpoint")
            .fetch_one(&mut self.conn)
            .await?;
        Ok(to_u64(count))
    }

    /// Leaf hashes of the first `size` records, in order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn leaves(&mut self, size: u64) -> Result<Vec<[u8; 32]>, StoreError> {
        let rows: Vec<Vec<u8>> = query_scalar("SELECT leaf FROM journal WHERE seq < ?1 ORDER BY seq")
            .bind(to_i64(size))
            .fetch_all(&mut self.conn)
            .await?;
        Ok(rows.into_iter().filter_map(|leaf| leaf.try_into().ok()).collect())
    }

    /// What SQLite itself says of a file; `ok` when it is sound.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn integrity(&mut self) -> Result<String, StoreError> {
        if !self.conn.is_sqlite() {
            return Ok("ok".to_owned()); // a server checks its own pages
        }
        Ok(query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut self.conn)
            .await?)
    }

    /// Ends the snapshot and closes the connection.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.conn.close().await?)
    }
}

const OLDEST_FIRST: &str = filtered!("journal.seq >= ?1", "ASC");
const NEWEST_FIRST: &str = filtered!("journal.seq < ?1", "DESC");

/// A record, and what it offered where that is still held.
pub type Stored = (RecordRow, Option<StoredPayload>);

fn stored(row: &Row) -> Result<Stored, StoreError> {
    let record = RecordRow {
        seq: to_u64(row.try_get(0)?),
        leaf: row.try_get::<Vec<u8>>(1)?.try_into().unwrap_or_default(),
        at: row.try_get(2)?,
        phase: row.try_get(3)?,
        call_id: row.try_get(4)?,
        user: row.try_get(5)?,
        session: row.try_get(6)?,
        tool: row.try_get(7)?,
        resource: row.try_get(8)?,
        status: row.try_get(9)?,
        record: row.try_get(10)?,
    };
    let salt: Option<Vec<u8>> = row.try_get(11)?;
    let data: Option<Vec<u8>> = row.try_get(12)?;
    let payload = salt.zip(data).map(|(salt, data)| StoredPayload { salt, data });
    Ok((record, payload))
}

fn checkpoint(row: &Row) -> Result<CheckpointRow, StoreError> {
    Ok(CheckpointRow {
        size: to_u64(row.try_get(0)?),
        note: row.try_get(1)?,
        frontier: split_frontier(&row.try_get::<Vec<u8>>(2)?),
    })
}
