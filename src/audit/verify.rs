//! Is the journal what was written? From the store, or offline from an export and a public key.
//!
//! What it finds: any edit, deletion, insertion or reordering, and any truncation back to a
//! checkpoint that is signed and still at hand. A truncation to before the last checkpoint that
//! somebody else holds is found with that checkpoint (`Trust::held_elsewhere`).

mod offline;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub use offline::verify_export;

use super::merkle::{Frontier, Node, leaf_hash};
use super::note::LogPublicKey;
use super::payload::{commitment, inflate};
use super::record::{Phase, VERSION, columns_of};
use super::{AuditError, InterruptedCall};
use crate::call::{canonical, hex};
use crate::store::Store;
use crate::store::journal::RecordRow;
use crate::store::read::StoredPayload;

/// Records and checkpoints read at a time.
const CHUNK: u32 = 512;
/// Problems listed; more of them are counted.
const PROBLEMS_MAX: usize = 200;

/// What the verifier believes to begin with.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The log's public key, kept apart from the store. Without it the store's own note of the key is
    /// used, which proves less: whoever rewrote the store could have replaced that too.
    pub public_key: Option<LogPublicKey>,
    /// A signed checkpoint that was carried elsewhere when it was made.
    pub held_elsewhere: Option<String>,
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A record is not what was written, or stands where it was not written.
    Record,
    /// A record is not where its number says: something is missing, added or moved.
    Order,
    /// A checkpoint is not signed by the key, or is over another history.
    Checkpoint,
    /// The journal ends before a signed checkpoint does.
    Truncated,
    /// What was offered is gone without a record of its erasure.
    PayloadMissing,
    /// What was offered is not what was committed to.
    PayloadChanged,
    /// A search column or the stored head contradicts the records.
    Index,
    /// An outcome without an intent.
    Outcome,
    /// Not the export of a journal, or a damaged one.
    Form,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// What kind.
    pub fault: Fault,
    /// Record number, where it is about one.
    pub seq: Option<u64>,
    /// In words.
    pub what: String,
}

/// What was found. `intact` is the verdict; everything else is for reading.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Nothing is wrong.
    pub intact: bool,
    /// The log.
    pub origin: String,
    /// The key it was checked with.
    pub public_key: String,
    /// Whether that key came from outside of what was checked.
    pub key_from_outside: bool,
    /// Records read.
    pub records: u64,
    /// Root over them, base64.
    pub root: String,
    /// Checkpoints whose signature and root fit.
    pub checkpoints: u64,
    /// Size of the largest of them.
    pub last_checkpoint: u64,
    /// Records after it: chained, but not signed yet.
    pub unsigned: u64,
    /// Size of the checkpoint held elsewhere, when one was given and fits.
    pub held_elsewhere: Option<u64>,
    /// Payloads that fit their commitment.
    pub payloads: u64,
    /// Payloads erased, with a record of it.
    pub erased: u64,
    /// Payloads that were not at hand (an export without them).
    pub payloads_absent: u64,
    /// Calls recorded as interrupted.
    pub interrupted: Vec<InterruptedCall>,
    /// Calls with an intent and no outcome: under way, or interrupted and not yet reported.
    pub unfinished: Vec<InterruptedCall>,
    /// What is wrong (the first 200).
    pub problems: Vec<Problem>,
    /// How many problems there are in all.
    pub problem_count: u64,
}

impl Report {
    /// 0 when intact, 1 when not: the exit status of a command.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.intact)
    }
}

/// A payload as far as it is at hand.
enum Held<'a> {
    Bytes(&'a [u8], &'a [u8]),
    Gone,
}

struct Verifier {
    key: LogPublicKey,
    elsewhere: Option<(u64, Node)>,
    elsewhere_seen: bool,
    frontier: Frontier,
    last_leaf: Option<Node>,
    open: BTreeMap<String, InterruptedCall>,
    gone: BTreeMap<u64, String>,
    payloads_expected: bool,
    report: Report,
}

impl Verifier {
    fn new(key: LogPublicKey, from_outside: bool, trust: &Trust) -> Self {
        let mut verifier = Self {
            report: Report {
                intact: true,
                origin: key.name().to_owned(),
                public_key: key.to_string(),
                key_from_outside: from_outside,
                records: 0,
                root: String::new(),
                checkpoints: 0,
                last_checkpoint: 0,
                unsigned: 0,
                held_elsewhere: None,
                payloads: 0,
                erased: 0,
                payloads_absent: 0,
                interrupted: Vec::new(),
                unfinished: Vec::new(),
                problems: Vec::new(),
                problem_count: 0,
            },
            key,
            elsewhere: None,
            elsewhere_seen: false,
            frontier: Frontier::default(),
            last_leaf: None,
            open: BTreeMap::new(),
            gone: BTreeMap::new(),
            payloads_expected: true,
        };
        if let Some(note) = &trust.held_elsewhere {
            match verifier.key.open(note) {
                Ok(checkpoint) => verifier.elsewhere = Some((checkpoint.size, checkpoint.root)),
                Err(error) => verifier.problem(Fault::Checkpoint, None, format!("held elsewhere: {error}")),
            }
        }
        verifier.compare_elsewhere();
        verifier
    }

    fn problem(&mut self, fault: Fault, seq: Option<u64>, what: impl Into<String>) {
        self.report.intact = false;
        self.report.problem_count += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(Problem {
                fault,
                seq,
                what: what.into(),
            });
        }
    }

    /// One record, in order. `leaf` is the hash that was kept with it.
    fn record(&mut self, bytes: &[u8], leaf: &Node, payload: &Held<'_>) -> Option<Value> {
        let seq = self.frontier.size();
        let hash = leaf_hash(bytes);
        if hash != *leaf {
            self.problem(
                Fault::Record,
                Some(seq),
                "the record was changed after it was written",
            );
        }
        let value = serde_json::from_slice::<Value>(bytes)
            .ok()
            .filter(|value| canonical(value) == bytes);
        match &value {
            None => self.problem(Fault::Record, Some(seq), "not a canonical record"),
            Some(value) => self.content(seq, value, payload),
        }
        self.frontier.push(hash);
        self.last_leaf = Some(hash);
        self.compare_elsewhere();
        value
    }

    fn content(&mut self, seq: u64, record: &Value, payload: &Held<'_>) {
        if record.get("v").and_then(Value::as_u64) != Some(VERSION) {
            self.problem(Fault::Record, Some(seq), "not a record of version 1");
        }
        if record.get("seq").and_then(Value::as_u64) != Some(seq) {
            let says = record.get("seq").cloned().unwrap_or_default();
            self.problem(
                Fault::Order,
                Some(seq),
                format!("the record here says it is number {says}"),
            );
        }
        let prev = record.get("prev").and_then(Value::as_str).map(str::to_owned);
        if prev != self.last_leaf.map(|leaf| hex(&leaf)) {
            self.problem(Fault::Order, Some(seq), "it does not follow the record before it");
        }
        let columns = columns_of(record);
        match (Phase::parse(&columns.phase), columns.call_id) {
            (None, _) => self.problem(Fault::Record, Some(seq), "unknown phase"),
            (Some(phase), Some(call_id)) => self.step(phase, seq, &call_id, record),
            (Some(_), None) => {}
        }
        if let Some(commit) = record.get("payload") {
            self.payload(seq, commit, payload);
        }
        if record.pointer("/config/event").and_then(Value::as_str) == Some("erased") {
            let erased = record.pointer("/config/records").and_then(Value::as_array);
            for seq in erased.into_iter().flatten().filter_map(Value::as_u64) {
                if self.gone.remove(&seq).is_some() {
                    self.report.erased += 1;
                }
            }
        }
    }

    /// What a record says of its call.
    fn step(&mut self, phase: Phase, seq: u64, call_id: &str, record: &Value) {
        match phase {
            Phase::Intent => {
                self.open
                    .insert(call_id.to_owned(), InterruptedCall::of(seq, record));
            }
            Phase::Result => {
                if self.open.remove(call_id).is_none() && !carries_nothing_out(record) {
                    self.problem(
                        Fault::Outcome,
                        Some(seq),
                        "a result without an intent, or a second one",
                    );
                }
            }
            Phase::Refusal => {
                self.open.remove(call_id);
            }
            Phase::Interrupted => match self.open.remove(call_id) {
                Some(call) => self.report.interrupted.push(call),
                None => self.problem(Fault::Outcome, Some(seq), "interrupted, but it was not under way"),
            },
            Phase::Decision | Phase::Config | Phase::Delivery => {}
        }
    }

    fn payload(&mut self, seq: u64, commit: &Value, held: &Held<'_>) {
        let Held::Bytes(salt, data) = held else {
            let name = commit.get("blob").and_then(Value::as_str).unwrap_or_default();
            self.gone.insert(seq, name.to_owned());
            return;
        };
        let fits = inflate(data).is_ok_and(|bytes| {
            commit.get("commitment").and_then(Value::as_str) == Some(&commitment(salt, &bytes).hex())
                && commit.get("bytes").and_then(Value::as_u64) == Some(bytes.len() as u64)
        });
        if fits {
            self.report.payloads += 1;
        } else {
            self.problem(
                Fault::PayloadChanged,
                Some(seq),
                "what is stored is not what was offered",
            );
        }
    }

    /// A checkpoint of the journal itself; it must be over exactly the records before it.
    fn checkpoint(&mut self, note: &str) {
        let at = self.frontier.size();
        match self.key.open(note) {
            Err(error) => self.problem(Fault::Checkpoint, None, format!("after {at} records: {error}")),
            Ok(signed) if signed.size > at => self.problem(
                Fault::Truncated,
                None,
                format!(
                    "a signed checkpoint covers {} records, {at} are there",
                    signed.size
                ),
            ),
            Ok(signed) if signed.size != at || signed.root != self.frontier.root() => self.problem(
                Fault::Checkpoint,
                None,
                format!(
                    "the signed checkpoint over {} records is over another history",
                    signed.size
                ),
            ),
            Ok(signed) => {
                self.report.checkpoints += 1;
                self.report.last_checkpoint = signed.size;
            }
        }
    }

    fn compare_elsewhere(&mut self) {
        let Some((size, root)) = self.elsewhere else {
            return;
        };
        if size != self.frontier.size() {
            return;
        }
        self.elsewhere_seen = true;
        if root == self.frontier.root() {
            self.report.held_elsewhere = Some(size);
        } else {
            let what = format!("the first {size} records are not the ones of the checkpoint held elsewhere");
            self.problem(Fault::Checkpoint, None, what);
        }
    }

    fn columns(&mut self, row: &RecordRow, record: &Value) {
        let expected = RecordRow {
            seq: row.seq,
            leaf: row.leaf,
            record: row.record.clone(),
            ..columns_of(record)
        };
        if expected.searchable() != row.clone().searchable() {
            self.problem(
                Fault::Index,
                Some(row.seq),
                "a search column contradicts the record",
            );
        }
    }

    fn finish(mut self) -> Report {
        let size = self.frontier.size();
        if let Some((signed, _)) = self.elsewhere
            && !self.elsewhere_seen
        {
            let what = format!("the checkpoint held elsewhere covers {signed} records, {size} are there");
            self.problem(Fault::Truncated, None, what);
        }
        if self.report.key_from_outside && self.report.checkpoints == 0 {
            let what = "no checkpoint is signed by this key: nothing shows that its holder wrote any of this";
            self.problem(Fault::Checkpoint, None, what);
        }
        for (seq, blob) in std::mem::take(&mut self.gone) {
            if self.payloads_expected {
                let what = format!("what was offered in {blob} is gone, and no record says it was erased");
                self.problem(Fault::PayloadMissing, Some(seq), what);
            } else {
                self.report.payloads_absent += 1;
            }
        }
        self.report.records = size;
        self.report.root = STANDARD.encode(self.frontier.root());
        self.report.unsigned = size.saturating_sub(self.report.last_checkpoint);
        self.report.unfinished = self.open.into_values().collect();
        self.report.unfinished.sort_by_key(|call| call.seq);
        self.report
    }
}

/// Verifies a store, in one snapshot: records, chain, checkpoints, payloads, search columns.
///
/// # Errors
/// When the store cannot be read. What is wrong with the journal is in the report.
pub async fn verify_store(store: &Store, trust: &Trust) -> Result<Report, AuditError> {
    let mut reader = store.reader().await?;
    let stored = reader.meta("key").await?.unwrap_or_default();
    let (key, outside) = match &trust.public_key {
        Some(key) => (key.clone(), true),
        None => (stored.parse().map_err(AuditError::Checkpoint)?, false),
    };
    let mut verifier = Verifier::new(key, outside, trust);
    let sound = reader.integrity().await?;
    if sound != "ok" {
        verifier.problem(Fault::Form, None, format!("SQLite says of the file: {sound}"));
    }
    let mut notes = reader.checkpoints(0, CHUNK).await?;
    loop {
        let rows = reader.range(verifier.frontier.size(), CHUNK).await?;
        if rows.is_empty() {
            break;
        }
        for (row, payload) in &rows {
            while notes
                .first()
                .is_some_and(|note| note.size <= verifier.frontier.size())
            {
                let note = notes.remove(0);
                verifier.checkpoint(&note.note);
                if notes.is_empty() {
                    notes = reader.checkpoints(note.size, CHUNK).await?;
                }
            }
            if row.seq != verifier.frontier.size() {
                let what = format!("records from here to {} are missing", row.seq);
                verifier.problem(Fault::Order, Some(verifier.frontier.size()), what);
                return Ok(verifier.finish());
            }
            if let Some(record) = verifier.record(&row.record, &row.leaf, &held(payload.as_ref())) {
                verifier.columns(row, &record);
            }
        }
    }
    while let Some(note) = notes.first().cloned() {
        verifier.checkpoint(&note.note);
        notes.remove(0);
        if notes.is_empty() {
            notes = reader.checkpoints(note.size, CHUNK).await?;
        }
    }
    let head = reader.head().await?;
    let (size, peaks) = (verifier.frontier.size(), verifier.frontier.peaks());
    if head.size != size || head.last_leaf != verifier.last_leaf || head.frontier != peaks {
        let what = format!("the stored head says {} records, {size} are there", head.size);
        verifier.problem(Fault::Index, None, what);
    }
    reader.close().await?;
    Ok(verifier.finish())
}

/// What became of another call, or that it still waits: an answer to somebody who asked, not an outcome.
fn carries_nothing_out(record: &Value) -> bool {
    let pending = record.pointer("/outcome/status").and_then(Value::as_str) == Some("approval_pending");
    pending || record.get("repeats").is_some()
}

fn held(payload: Option<&StoredPayload>) -> Held<'_> {
    payload.map_or(Held::Gone, |payload| Held::Bytes(&payload.salt, &payload.data))
}
