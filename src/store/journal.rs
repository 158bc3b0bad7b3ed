//! Appending to the journal: one transaction that reads the head, writes everything that waited, and
//! moves the head on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::db::{Conn, Row, query, query_scalar, without_nul};
use super::{Store, StoreError};

/// The state of the log that the next record continues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Records in the log; also the number of the next one.
    pub size: u64,
    /// Hash of the last leaf.
    pub last_leaf: Option<[u8; 32]>,
    /// Roots of the complete subtrees, largest first (the Merkle tree's right edge).
    pub frontier: Vec<[u8; 32]>,
}

/// One record, and the columns it is searched by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table of the same name")]
pub struct RecordRow {
    pub seq: u64,
    pub leaf: [u8; 32],
    pub at: String,
    pub phase: String,
    pub call_id: Option<String>,
    pub user: Option<String>,
    pub session: Option<String>,
    pub tool: Option<String>,
    pub resource: Option<String>,
    pub status: Option<String>,
    pub record: Vec<u8>,
}

impl RecordRow {
    /// With columns as every engine can hold them.
    #[must_use]
    pub fn searchable(mut self) -> Self {
        let texts = [
            &mut self.call_id,
            &mut self.user,
            &mut self.session,
            &mut self.tool,
            &mut self.resource,
            &mut self.status,
        ];
        for text in texts.into_iter().flatten() {
            *text = without_nul(text).into_owned();
        }
        self
    }
}

/// What was offered, as it is kept.
#[derive(Debug, Clone)]
pub struct PayloadRow {
    /// Number of the record that commits to it.
    pub seq: u64,
    /// Its name in that record.
    pub blob: String,
    /// Salt of the commitment.
    pub salt: [u8; 32],
    /// zlib-compressed bytes.
    pub data: Arc<[u8]>,
}

/// A call whose outcome is not on record yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCall {
    /// The call.
    pub call_id: String,
    /// Number of its intent.
    pub seq: u64,
    /// The process that runs it.
    pub boot: String,
    /// On a server: the record of its intent, if that process was not seen for [`GONE_MILLIS`].
    pub gone: Option<Vec<u8>>,
}

/// Who appends, and what it wants to know.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The calls under way, of every process.
    pub open_calls: bool,
    /// The process that appends.
    pub boot: String,
    /// Whether to note that it was seen. For a file, locks tell who lives.
    pub beat: bool,
    /// It is its last.
    pub leaves: bool,
    /// Calls of this process that end with this append.
    pub closing: Vec<String>,
    /// The last record that it knows of.
    pub known: Option<u64>,
    /// Records that commits whose answer was lost would have made.
    pub doubts: Vec<u64>,
}

/// What an append finds beside the head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The calls under way, if they were asked for.
    pub open: Vec<OpenCall>,
    /// Of the calls that end: those that were not under way any more, because another process has recorded them as
    /// interrupted.
    pub over: BTreeSet<String>,
    /// On a server, with a beat: how many processes were seen lately, this one included.
    pub replicas: Option<u32>,
    /// Leaf hash of the record that was known.
    pub known: Option<[u8; 32]>,
    /// Leaf hashes of the records in doubt.
    pub doubts: Vec<Option<[u8; 32]>>,
}

/// After so long without being seen, by the database's clock, a process is taken for dead: much longer than it
/// may wait for the lock to say that it lives.
pub const GONE_MILLIS: i64 = 60_000;
/// After so long a process notes with whatever it writes that it lives; and those that were seen since count as
/// serving.
const LAPSED_MILLIS: i64 = 30_000;
/// A process that is gone is forgotten after so long.
const FORGOTTEN_MILLIS: i64 = 86_400_000;
/// PostgreSQL's clock.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A signed tree head to store.
#[derive(Debug, Clone)]
pub struct CheckpointRow {
    /// Tree size.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// Frontier at that size.
    pub frontier: Vec<[u8; 32]>,
}

/// Everything one transaction writes.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order, numbered from the head's size.
    pub records: Vec<RecordRow>,
    /// Of those records.
    pub payloads: Vec<PayloadRow>,
    /// Calls that are now under way.
    pub opened: Vec<OpenCall>,
    /// Calls of processes that are gone, now recorded as interrupted.
    pub closed: Vec<String>,
    /// Payloads to erase, by record number.
    pub erased: Vec<u64>,
    /// A checkpoint over the new head.
    pub checkpoint: Option<CheckpointRow>,
    /// The head after these records.
    pub head: Head,
}

/// A connection that appends.
#[derive(Debug)]
pub struct JournalWriter {
    conn: Conn,
    max_pages: Arc<AtomicU32>,
    applied: u32,
}

impl Store {
    /// A connection that appends to the journal.
    ///
    /// # Errors
    /// When the file cannot be opened as it must be.
    pub async fn writer(&self) -> Result<JournalWriter, StoreError> {
        Ok(JournalWriter {
            conn: self.connect().await?,
            max_pages: Arc::clone(&self.max_pages),
            applied: 0,
        })
    }
}

impl JournalWriter {
    /// Appends what `build` makes of the head (and, if asked for, of the calls under way), in one
    /// transaction that no other process can get in between of. When this returns, the records have been through
    /// `fsync`.
    ///
    /// # Errors
    /// See [`StoreError`]. When the commit itself failed it is open whether it will be found later (an
    /// `fsync` that reported an error may have written, a server may not be done with it): name it in
    /// [`Ask::doubts`], which are looked at once nobody else can be writing.
    pub async fn append<F>(&mut self, ask: &Ask, build: F) -> Result<(), StoreError>
    where
        F: FnOnce(&Head, &Found) -> Result<Batch, StoreError> + Send,
    {
        self.apply_bound().await?;
        let written = self.transact(ask, build).await;
        if written.is_err() {
            // Whatever failed, the lock is given back before anybody tries again. A failed commit may
            // have ended the transaction by itself, and then there is nothing to roll back.
            let _ = self.conn.run("ROLLBACK").await;
        }
        written
    }

    async fn transact<F>(&mut self, ask: &Ask, build: F) -> Result<(), StoreError>
    where
        F: FnOnce(&Head, &Found) -> Result<Batch, StoreError> + Send,
    {
        let conn = &mut self.conn;
        let (head, known, lapsed) = begin(conn, ask).await?;
        let mut doubts = Vec::with_capacity(ask.doubts.len());
        for seq in &ask.doubts {
            doubts.push(leaf(conn, *seq).await?);
        }
        let over = close_calls(conn, ask).await?;
        let open = match (ask.open_calls, conn.is_sqlite()) {
            (false, _) => Vec::new(),
            (true, true) => read_open_calls(conn).await?,
            (true, false) => read_calls_of_replicas(conn, &ask.boot).await?,
        };
        let mut replicas = None;
        if !conn.is_sqlite() && ask.leaves {
            gone(conn, &ask.boot).await?;
        } else if !conn.is_sqlite() && (lapsed || ask.beat) {
            replicas = Some(seen(conn, &ask.boot).await?);
        }
        let found = Found {
            open,
            over,
            replicas,
            known,
            doubts,
        };
        let batch = build(&head, &found)?;
        write_open_calls(conn, &batch).await?;
        for seq in &batch.erased {
            query("DELETE FROM payload WHERE seq = ?1")
                .bind(to_i64(*seq))
                .execute(&mut *conn)
                .await?;
        }
        if let Some(checkpoint) = &batch.checkpoint {
            query("INSERT INTO checkpoint (size, note, frontier) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
                .bind(to_i64(checkpoint.size))
                .bind(&checkpoint.note)
                .bind(checkpoint.frontier.concat())
                .execute(&mut *conn)
                .await?;
        }
        write_and_commit(conn, &batch).await
    }

    /// Writes and removes some 64 KiB: whether the store can be written again after a failure.
    ///
    /// # Errors
    /// It cannot.
    pub async fn probe(&mut self) -> Result<(), StoreError> {
        self.apply_bound().await?;
        query(
            "INSERT INTO probe (one, filler) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET filler = excluded.filler",
        )
        .bind(vec![0; 65_536])
        .execute(&mut self.conn)
        .await?;
        query("DELETE FROM probe").execute(&mut self.conn).await?;
        Ok(())
    }

    /// Moves the write-ahead log into the file and empties it, so that erased bytes are gone from
    /// both. A reader in the middle of something keeps it from being complete; that is no error. A server's log is
    /// not ours: its operator's retention of it bounds how long erased bytes last there.
    ///
    /// # Errors
    /// The file system's.
    pub async fn empty_log(&mut self) -> Result<(), StoreError> {
        if self.conn.is_sqlite() {
            query("PRAGMA wal_checkpoint(TRUNCATE)")
                .fetch_all(&mut self.conn)
                .await?;
        }
        Ok(())
    }

    /// Sets `key` if it is not set yet, and gives the value that holds.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_meta(&mut self, key: &str, value: &str) -> Result<String, StoreError> {
        query("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(key)
            .bind(value)
            .execute(&mut self.conn)
            .await?;
        Ok(query_scalar("SELECT value FROM meta WHERE key = ?1")
            .bind(key)
            .fetch_one(&mut self.conn)
            .await?)
    }

    /// `max_page_count` belongs to a connection, so it is set on this one whenever it has changed.
    async fn apply_bound(&mut self) -> Result<(), StoreError> {
        let wanted = self.max_pages.load(Ordering::Relaxed);
        if wanted != self.applied && self.conn.is_sqlite() {
            self.conn.run(format!("PRAGMA max_page_count = {wanted}")).await?;
            self.applied = wanted;
        }
        Ok(())
    }
}

/// Begins to append: takes the lock on the head and reads it. Gives also the leaf of the record that the process knows,
/// and whether the process was not seen for long.
async fn begin(conn: &mut Conn, ask: &Ask) -> Result<(Head, Option<[u8; 32]>, bool), StoreError> {
    const READ: &str = "SELECT size, last_leaf, frontier, (SELECT leaf FROM journal WHERE seq = ?)";
    let known = ask.known.map(to_i64);
    let (row, lapsed) = if conn.is_sqlite() {
        let head = query(format!("BEGIN IMMEDIATE; {READ} FROM head"));
        (head.bind(known).fetch_one(conn).await?, false)
    } else {
        // What is read of the head is the row as it is when the lock is had, not as it was when it was asked for.
        conn.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            .await?;
        let head = query(format!(
            "{READ}, (SELECT count(*) FROM replica WHERE boot = ? AND seen_at > {NOW} - ?) FROM head FOR UPDATE OF head"
        ));
        let head = head.bind(known).bind(&ask.boot).bind(LAPSED_MILLIS);
        let row = head.fetch_one(conn).await?;
        let lapsed = row.try_get::<i64>(4)? == 0;
        (row, lapsed)
    };
    Ok((head_of(&row)?, hash_of(row.try_get(3)?), lapsed))
}

/// The leaf hash of record `seq`, if there is one.
async fn leaf(conn: &mut Conn, seq: u64) -> Result<Option<[u8; 32]>, StoreError> {
    let leaf = query_scalar("SELECT leaf FROM journal WHERE seq = ?1")
        .bind(to_i64(seq))
        .fetch_optional(conn)
        .await?;
    Ok(hash_of(leaf))
}

fn hash_of(bytes: Option<Vec<u8>>) -> Option<[u8; 32]> {
    bytes.and_then(|bytes| bytes.try_into().ok())
}

/// Ends calls of this process, and gives those that it could not end because they are not under way any more: whoever
/// takes the row away says how the call ended, and nobody else.
async fn close_calls(conn: &mut Conn, ask: &Ask) -> Result<BTreeSet<String>, StoreError> {
    let mut over = BTreeSet::new();
    for call_id in &ask.closing {
        let closed = query("DELETE FROM open_call WHERE call_id = ?1 AND boot = ?2")
            .bind(call_id)
            .bind(&ask.boot)
            .execute(&mut *conn)
            .await?;
        if closed.rows_affected() == 0 {
            over.insert(call_id.clone());
        }
    }
    Ok(over)
}

/// Notes that this process lives, and forgets those that are long gone. Gives how many live.
async fn seen(conn: &mut Conn, boot: &str) -> Result<u32, StoreError> {
    query(format!(
        "INSERT INTO replica (boot, seen_at) VALUES (?, {NOW}) \
         ON CONFLICT (boot) DO UPDATE SET seen_at = excluded.seen_at"
    ))
    .bind(boot)
    .execute(conn)
    .await?;
    query(format!("DELETE FROM replica WHERE seen_at < {NOW} - ?"))
        .bind(FORGOTTEN_MILLIS)
        .execute(conn)
        .await?;
    let live = query_scalar(format!("SELECT count(*) FROM replica WHERE seen_at > {NOW} - ?"));
    Ok(live.bind(LAPSED_MILLIS).fetch_one(conn).await?)
}

/// Notes that this process ends: what it leaves open is nobody's.
async fn gone(conn: &mut Conn, boot: &str) -> Result<(), StoreError> {
    let left = query("DELETE FROM replica WHERE boot = ?").bind(boot);
    left.execute(conn).await?;
    Ok(())
}

/// The calls under way, and the intents of those whose process is gone; never of the one that asks.
async fn read_calls_of_replicas(conn: &mut Conn, boot: &str) -> Result<Vec<OpenCall>, StoreError> {
    let calls = query(format!(
        "SELECT o.call_id, o.seq, o.boot, CASE WHEN o.boot <> ? AND NOT EXISTS (SELECT 1 FROM replica r \
         WHERE r.boot = o.boot AND r.seen_at > {NOW} - ?) THEN j.record END \
         FROM open_call o JOIN journal j ON j.seq = o.seq ORDER BY o.seq"
    ));
    let rows = calls.bind(boot).bind(GONE_MILLIS).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(OpenCall {
                call_id: row.try_get(0)?,
                seq: to_u64(row.try_get(1)?),
                boot: row.try_get(2)?,
                gone: row.try_get(3)?,
            })
        })
        .collect()
}

const RECORD: (&str, &str) = (
    "INSERT INTO journal (seq, leaf, at, phase, call_id, \"user\", session, tool, resource, status, record) VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?)",
);
const PAYLOAD: (&str, &str) = ("INSERT INTO payload (seq, blob, salt, data) VALUES ", "(?,?,?,?)");
const HEAD: &str = "UPDATE head SET size = ?, last_leaf = ?, frontier = ?";

/// Rows in one INSERT, largest first. The way to SQLite's thread and back costs more than a row does,
/// so rows go in groups, and the last group of each kind goes with the end of the transaction: one
/// call's batch is one such journey. Sizes are few so that every statement stays prepared.
const GROUPS: [usize; 5] = [16, 4, 3, 2, 1];

/// The statements of every (records, payloads) that one journey can carry, the last with the head: for a file several
/// in one text and with COMMIT, for a server one statement.
static STATEMENTS: LazyLock<HashMap<(usize, usize, bool), [String; 2]>> = LazyLock::new(|| {
    let sizes = || GROUPS.into_iter().chain([0]);
    let insert = |(head, row): (&str, &str), size: usize| match size {
        0 => None,
        _ => Some(format!("{head}{}", vec![row; size].join(","))),
    };
    let mut all = HashMap::new();
    for (records, payloads) in sizes().flat_map(|records| sizes().map(move |payloads| (records, payloads))) {
        let rows: Vec<String> = [insert(RECORD, records), insert(PAYLOAD, payloads)]
            .into_iter()
            .flatten()
            .collect();
        let parts: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(number, insert)| format!("part{number} AS ({insert})"))
            .collect();
        let with = match parts.is_empty() {
            true => String::new(),
            false => format!("WITH {} ", parts.join(", ")),
        };
        let rows = rows.join("; ");
        all.insert(
            (records, payloads, true),
            [format!("{rows}; {HEAD}; COMMIT"), format!("{with}{HEAD}")],
        );
        all.insert((records, payloads, false), [rows, format!("{with}SELECT 1")]);
    }
    all
});

/// The next group of rows; it is the last one when nothing is left.
fn group<'a, T>(rows: &mut &'a [T]) -> &'a [T] {
    let size = GROUPS.into_iter().find(|size| *size <= rows.len()).unwrap_or(0);
    let (group, rest) = rows.split_at_checked(size).unwrap_or_default();
    *rows = rest;
    group
}

/// Everything that every batch has: its records, their payloads, the new head, the end.
async fn write_and_commit(conn: &mut Conn, batch: &Batch) -> Result<(), StoreError> {
    let (mut records, mut payloads) = (batch.records.as_slice(), batch.payloads.as_slice());
    loop {
        let (some, others) = (group(&mut records), group(&mut payloads));
        let last = records.is_empty() && payloads.is_empty();
        let sql = STATEMENTS.get(&(some.len(), others.len(), last));
        let [file, server] = sql.ok_or_else(|| StoreError::Damaged("no statement for a batch".to_owned()))?;
        let mut query = query(if conn.is_sqlite() {
            file.as_str()
        } else {
            server.as_str()
        });
        for row in some {
            query = query
                .bind(to_i64(row.seq))
                .bind(&row.leaf[..])
                .bind(&row.at)
                .bind(&row.phase)
                .bind(&row.call_id)
                .bind(&row.user)
                .bind(&row.session)
                .bind(&row.tool)
                .bind(&row.resource)
                .bind(&row.status)
                .bind(&row.record);
        }
        for row in others {
            query = query
                .bind(to_i64(row.seq))
                .bind(&row.blob)
                .bind(&row.salt[..])
                .bind(Arc::clone(&row.data));
        }
        if last {
            query = query
                .bind(to_i64(batch.head.size))
                .bind(batch.head.last_leaf.map(|leaf| leaf.to_vec()))
                .bind(batch.head.frontier.concat());
        }
        query.execute(&mut *conn).await?;
        if last {
            if !conn.is_sqlite() {
                conn.run("COMMIT").await?;
            }
            return Ok(());
        }
    }
}

async fn write_open_calls(conn: &mut Conn, batch: &Batch) -> Result<(), StoreError> {
    for call in &batch.opened {
        query(
            "INSERT INTO open_call (call_id, seq, boot) VALUES (?1, ?2, ?3) \
             ON CONFLICT (call_id) DO UPDATE SET seq = excluded.seq, boot = excluded.boot",
        )
        .bind(&call.call_id)
        .bind(to_i64(call.seq))
        .bind(&call.boot)
        .execute(&mut *conn)
        .await?;
    }
    for call_id in &batch.closed {
        query("DELETE FROM open_call WHERE call_id = ?1")
            .bind(call_id)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// The head as stored.
pub(super) async fn read_head(conn: &mut Conn) -> Result<Head, StoreError> {
    head_of(
        &query("SELECT size, last_leaf, frontier FROM head")
            .fetch_one(conn)
            .await?,
    )
}

fn head_of(row: &Row) -> Result<Head, StoreError> {
    Ok(Head {
        size: to_u64(row.try_get(0)?),
        last_leaf: hash_of(row.try_get(1)?),
        frontier: split_frontier(&row.try_get::<Vec<u8>>(2)?),
    })
}

/// The calls under way, of every process.
pub(super) async fn read_open_calls(conn: &mut Conn) -> Result<Vec<OpenCall>, StoreError> {
    let rows = query("SELECT call_id, seq, boot FROM open_call ORDER BY seq")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(OpenCall {
                call_id: row.try_get(0)?,
                seq: to_u64(row.try_get(1)?),
                boot: row.try_get(2)?,
                gone: None,
            })
        })
        .collect()
}

/// A stored frontier: 32 bytes per subtree.
pub(super) fn split_frontier(bytes: &[u8]) -> Vec<[u8; 32]> {
    bytes
        .chunks_exact(32)
        .filter_map(|chunk| chunk.try_into().ok())
        .collect()
}

/// SQLite integers are signed; sizes and record numbers stay far below 2^63.
pub(super) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back; a negative number in the file is not ours and reads as 0, which no check accepts.
pub(super) fn to_u64(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
