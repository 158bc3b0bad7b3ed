//! Opening the journal: is the end of it what was signed, and what did earlier processes leave?

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::{Value, json};

use super::lease::{self, Lease};
use super::merkle::{Frontier, leaf_hash};
use super::note::LogPublicKey;
use super::record::{Draft, columns_of};
use super::writer::{Setup, Tip, config_draft};
use super::{AuditError, AuditSpec, Shared};
use crate::store::journal::{Ask, Batch, CheckpointRow, JournalWriter};
use crate::store::read::JournalReader;
use crate::store::{Store, StoreError};

/// Records read at a time.
const CHUNK: u32 = 512;

/// What a start found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct StartReport {
    /// Records before this start.
    pub records: u64,
    /// Size of the last signed checkpoint; the tail after it has been checked against it.
    pub last_checkpoint: u64,
    /// The key that verifies this journal, in note form.
    pub public_key: String,
    /// Calls that an earlier process began and never finished; now on record as interrupted.
    pub interrupted: Vec<InterruptedCall>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// A call whose process went away before its outcome was recorded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InterruptedCall {
    /// The call.
    pub call_id: String,
    /// Number of its intent.
    pub seq: u64,
    /// When it began.
    pub at: String,
    /// Whose it was.
    pub user: String,
    /// The tool.
    pub tool: String,
    /// The resource, where it had one.
    pub resource: Option<String>,
}

impl InterruptedCall {
    pub(crate) fn of(seq: u64, intent: &Value) -> Self {
        let columns = columns_of(intent);
        Self {
            call_id: columns.call_id.unwrap_or_default(),
            seq,
            at: columns.at,
            user: columns.user.unwrap_or_default(),
            tool: columns.tool.unwrap_or_default(),
            resource: columns.resource,
        }
    }
}

/// Checks, recovers, records the start.
pub(super) async fn open(
    store: &Store,
    spec: AuditSpec,
    shared: &Shared,
) -> Result<((JournalWriter, Setup), StartReport), AuditError> {
    let mut conn = store.writer().await?;
    claim(&mut conn, &spec).await?;
    let mut reader = store.reader().await?;
    let public = spec.key.public();
    let signed = check_tail(&mut reader, &public).await?;
    let last_checkpoint = signed.as_ref().map_or(0, |row| row.size);
    let intents = read_intents(&mut reader).await?;
    reader.close().await?;

    let lease = Lease::take(store.file(), &*shared.world)?;
    let mut report = StartReport {
        last_checkpoint,
        public_key: public.to_string(),
        ..StartReport::default()
    };
    let start = start_draft(spec.start, &lease, &report.public_key, shared);
    let (size, last_leaf) =
        recover(&mut conn, (store, shared), &lease, &intents, &start, &mut report).await?;
    if let Some(file) = store.file() {
        lease::sweep(file);
    }
    if let (Some(path), Some(row)) = (&spec.publish, &signed) {
        publish_again(path, &row.note)?;
    }
    let setup = Setup {
        store: store.clone(),
        lease,
        key: spec.key,
        checkpoint_every: spec.checkpoint_every.max(1),
        last_checkpoint,
        size,
        last_leaf,
        publish: spec.publish,
    };
    Ok(((conn, setup), report))
}

/// What this process says of itself.
fn start_draft(what: Value, lease: &Lease, public_key: &str, shared: &Shared) -> Draft {
    let mut what = what;
    if let Some(members) = what.as_object_mut() {
        members.insert("event".to_owned(), json!("start"));
        members.insert("boot".to_owned(), json!(lease.boot()));
        members.insert("key".to_owned(), json!(public_key));
    }
    config_draft(shared, &what)
}

/// Records the calls whose process is gone, then the start; gives the size of the log after it, and its last leaf.
async fn recover(
    conn: &mut JournalWriter,
    (store, shared): (&Store, &Shared),
    lease: &Lease,
    intents: &BTreeMap<u64, Value>,
    start: &Draft,
    report: &mut StartReport,
) -> Result<(u64, Option<[u8; 32]>), StoreError> {
    let mut end = (0, None);
    let ask = Ask {
        open_calls: true,
        boot: lease.boot().to_owned(),
        beat: true,
        leaves: false,
        closing: Vec::new(),
        known: None,
        doubts: Vec::new(),
    };
    conn.append(&ask, |head, found| {
        let mut log = Tip::at(head)?;
        let mut batch = Batch::default();
        report.records = head.size;
        shared.set_replicas(found.replicas);
        for call in &found.open {
            let dead = lease.is_dead(store.file(), call);
            if let Some(intent) = intents.get(&call.seq).filter(|_| dead) {
                log.place(&Draft::interrupted(intent, start.at()), &mut batch);
                batch.closed.push(call.call_id.clone());
                report.interrupted.push(InterruptedCall::of(call.seq, intent));
            }
        }
        log.place(start, &mut batch);
        batch.head = log.head();
        end = (batch.head.size, batch.head.last_leaf);
        Ok(batch)
    })
    .await?;
    Ok(end)
}

/// A store continues one log under one key.
async fn claim(conn: &mut JournalWriter, spec: &AuditSpec) -> Result<(), AuditError> {
    let configured = spec.key.name().to_owned();
    let stored = conn.settle_meta("origin", &configured).await?;
    if stored != configured {
        return Err(AuditError::Foreign {
            what: "the log",
            stored,
            configured,
            instead: "use the origin of the store, or another store",
        });
    }
    let configured = spec.key.public().to_string();
    let stored = conn.settle_meta("key", &configured).await?;
    if stored != configured {
        return Err(AuditError::Foreign {
            what: "the key",
            stored,
            configured,
            instead: "bring back the key file this store was started with, or start a new store",
        });
    }
    Ok(())
}

/// Recomputes the log from the last signed checkpoint to its end. Everything before is what the
/// checkpoint's signature covers; `verify` reads that too.
async fn check_tail(
    reader: &mut JournalReader,
    key: &LogPublicKey,
) -> Result<Option<CheckpointRow>, AuditError> {
    let damaged = |what: String| AuditError::Store(StoreError::Damaged(what));
    let head = reader.head().await?;
    let mut frontier = Frontier::default();
    let checkpoint = reader.last_checkpoint().await?;
    if let Some(row) = &checkpoint {
        let signed = key.open(&row.note).map_err(AuditError::Checkpoint)?;
        frontier = Frontier::restore(row.size, row.frontier.clone())
            .filter(|frontier| signed.size == row.size && signed.root == frontier.root())
            .ok_or_else(|| {
                damaged(format!(
                    "the checkpoint at {} does not fit its signature",
                    row.size
                ))
            })?;
    }
    let mut last = None;
    if let Some(before) = frontier.size().checked_sub(1) {
        last = reader.range(before, 1).await?.first().map(|(row, _)| row.leaf);
    }
    loop {
        let rows = reader.range(frontier.size(), CHUNK).await?;
        for (row, _) in &rows {
            let leaf = leaf_hash(&row.record);
            let value: Value = serde_json::from_slice(&row.record).unwrap_or_default();
            let prev = value.get("prev").and_then(Value::as_str).map(str::to_owned);
            if row.seq != frontier.size()
                || leaf != row.leaf
                || prev != last.map(|last| crate::call::hex(&last))
            {
                return Err(damaged(format!(
                    "record {} is not what was written",
                    frontier.size()
                )));
            }
            frontier.push(leaf);
            last = Some(leaf);
        }
        if rows.is_empty() {
            break;
        }
    }
    if (head.size, head.last_leaf, head.frontier.as_slice()) != (frontier.size(), last, frontier.peaks()) {
        return Err(damaged(format!(
            "its head says {} records, {} are there",
            head.size,
            frontier.size()
        )));
    }
    Ok(checkpoint)
}

/// A process may have died between signing a checkpoint and publishing it.
fn publish_again(path: &Path, note: &str) -> std::io::Result<()> {
    let mut end = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let published = file.seek(SeekFrom::End(0))?;
        let from = published.saturating_sub(note.len() as u64 + 1);
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut end)?;
    }
    if end.strip_suffix(b"\n") == Some(note.as_bytes()) {
        return Ok(());
    }
    super::publish(path, note)
}

/// The intents of the calls under way, by record number.
async fn read_intents(reader: &mut JournalReader) -> Result<BTreeMap<u64, Value>, AuditError> {
    let mut intents = BTreeMap::new();
    for call in reader.open_calls().await? {
        for (row, _) in reader.range(call.seq, 1).await? {
            if let Ok(value) = serde_json::from_slice::<Value>(&row.record) {
                intents.insert(row.seq, value);
            }
        }
    }
    Ok(intents)
}
