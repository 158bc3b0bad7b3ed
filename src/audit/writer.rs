//! Group commit: everything that waits goes into one transaction, in the order in which it came.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::Shared;
use super::lease::Lease;
use super::merkle::{Frontier, leaf_hash};
use super::note::LogKey;
use super::payload::Payload;
use super::record::{Draft, Phase};
use crate::clock::Timestamp;
use crate::store::journal::{Ask, Batch, CheckpointRow, Found, Head, JournalWriter, OpenCall, PayloadRow};
use crate::store::{Store, StoreError};

/// Records in one transaction at most.
const BATCH_MAX: usize = 1_024;
/// So many records that nobody waits for are written without waiting for one that somebody waits for.
const LAZY_MAX: usize = 256;
/// While the store cannot be written, it is not tried more often than this.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// So often a process that shares a server's store says that it lives, and looks who does not.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// Records kept in memory, while the store cannot be written, of calls whose answers were withheld.
const OWED_MAX: usize = 4_096;

/// The record could not be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unrecorded;

pub(crate) type Done = oneshot::Sender<Result<(), Unrecorded>>;

/// What a record does to the table of calls under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Opens,
    Closes,
    Neither,
}

/// One record on its way.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) draft: Draft,
    pub(crate) payload: Option<Payload>,
    pub(crate) mark: Mark,
    /// Payloads to erase with it, by record number.
    pub(crate) erase: Vec<u64>,
    /// Whether it may wait for the next one that may not.
    pub(crate) lazy: bool,
    pub(crate) done: Option<Done>,
    /// Its place in the queue; free again when it is written or given up.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// Failed attempts to write it, by number.
    pub(crate) tried: Vec<u64>,
}

pub(crate) enum Message {
    Record(Box<Item>),
    /// Write what waits; with `checkpoint`, sign the head if it has moved.
    Flush {
        checkpoint: bool,
        done: Done,
    },
    Stop(Done),
}

/// What the writer needs, apart from what it shares.
pub(crate) struct Setup {
    pub(crate) store: Store,
    pub(crate) lease: Lease,
    pub(crate) key: LogKey,
    pub(crate) checkpoint_every: u64,
    pub(crate) last_checkpoint: u64,
    pub(crate) size: u64,
    pub(crate) publish: Option<PathBuf>,
}

pub(crate) struct Writer {
    setup: Setup,
    conn: Option<JournalWriter>,
    shared: Arc<Shared>,
    pending: Vec<Item>,
    /// What could not be written and still must be, before anything else.
    owed: Vec<Item>,
    flushes: Vec<Done>,
    /// Whether somebody waits for what is pending.
    urgent: bool,
    sign: bool,
    /// Withheld outcomes that did not fit into `OWED_MAX`.
    lost: u64,
    retry_at: Duration,
    beat_at: Duration,
    attempts: u64,
    doubts: Vec<Doubt>,
}

/// A commit that failed, and yet may be found written: the last record it would have made.
struct Doubt {
    attempt: u64,
    seq: u64,
    leaf: [u8; 32],
}

impl Writer {
    pub(crate) fn new(setup: Setup, conn: JournalWriter, shared: Arc<Shared>) -> Self {
        Self {
            conn: Some(conn),
            setup,
            shared,
            pending: Vec::new(),
            owed: Vec::new(),
            flushes: Vec::new(),
            urgent: false,
            sign: false,
            lost: 0,
            retry_at: Duration::ZERO,
            beat_at: Duration::ZERO,
            attempts: 0,
            doubts: Vec::new(),
        }
    }

    /// Runs until it is told to stop or nobody can send any more; then writes what is left and signs
    /// the head.
    pub(crate) async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Message>) {
        let mut stopping = None;
        while stopping.is_none() {
            let Some(message) = queue.recv().await else {
                break;
            };
            stopping = self.absorb(message);
            tokio::task::yield_now().await; // calls that are ready to be recorded come along
            while stopping.is_none() && self.pending.len() < BATCH_MAX {
                match queue.try_recv() {
                    Ok(message) => stopping = self.absorb(message),
                    Err(_) => break,
                }
            }
            if stopping.is_none() && (self.urgent || self.pending.len() >= LAZY_MAX) {
                self.write().await;
            }
        }
        queue.close();
        while let Ok(message) = queue.try_recv() {
            if let Some(done) = self.absorb(message) {
                self.flushes.push(done);
            }
        }
        self.flushes.extend(stopping);
        self.sign = true;
        self.retry_at = Duration::ZERO; // the last chance
        self.write().await;
    }

    fn absorb(&mut self, message: Message) -> Option<Done> {
        match message {
            Message::Record(item) => {
                self.urgent |= !item.lazy;
                self.pending.push(*item);
            }
            Message::Flush { checkpoint, done } => {
                self.urgent = true;
                self.sign |= checkpoint;
                self.flushes.push(done);
            }
            Message::Stop(done) => return Some(done),
        }
        None
    }

    /// One transaction over everything pending.
    async fn write(&mut self) {
        self.urgent = false;
        let closed = self.shared.is_closed();
        let answer = if closed && self.shared.world.monotonic() < self.retry_at {
            Err(Unrecorded)
        } else {
            match self.attempt().await {
                Ok(()) => Ok(()),
                Err(error) if closed => {
                    tracing::debug!(%error, "the journal still cannot be written");
                    Err(Unrecorded)
                }
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be written: calls are refused until it can");
                    Err(Unrecorded)
                }
            }
        };
        if answer.is_err() {
            self.conn = None;
            self.shared.set_closed(true);
            self.give_up();
        }
        for done in self.flushes.drain(..) {
            let _ = done.send(answer);
        }
    }

    async fn attempt(&mut self) -> Result<(), StoreError> {
        self.shared.look_at_disk();
        let sign = self.sign;
        let unsigned = sign && self.setup.size > self.setup.last_checkpoint;
        let beat = self.setup.store.file().is_none() && self.shared.world.monotonic() >= self.beat_at;
        let idle = self.pending.is_empty() && self.owed.is_empty() && !unsigned && !beat;
        if idle && !self.shared.is_closed() {
            self.sign = false;
            return Ok(());
        }
        self.retry_at = self.shared.world.monotonic() + RETRY_AFTER;
        let new = std::mem::replace(&mut self.pending, std::mem::take(&mut self.owed));
        self.pending.extend(new);
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.setup.store.writer().await?,
        };
        self.settle_doubts(&mut conn).await?;
        if self.shared.is_closed() {
            conn.probe().await?;
        }
        let gap = (self.lost > 0)
            .then(|| config_draft(&self.shared, &json!({"event": "unrecorded", "calls": self.lost})));
        let mut wrote = None;
        let (setup, pending) = (&self.setup, &self.pending);
        let ask = Ask {
            open_calls: beat,
            boot: setup.lease.boot().to_owned(),
            beat,
        };
        let now = self.shared.world.now();
        let mut late = Vec::new();
        let appended = conn.append(&ask, |head, found| {
            late = late_of(pending, found);
            let (batch, head) = build(setup, (pending, &late), gap.as_ref(), head, (found, now), sign)?;
            wrote = Some((head, batch.checkpoint.clone()));
            Ok(batch)
        });
        if let Err(error) = appended.await {
            self.doubt(wrote.map(|(head, _)| head));
            return Err(error);
        }
        let erased = self.pending.iter().any(|item| !item.erase.is_empty());
        if erased && let Err(error) = conn.empty_log().await {
            tracing::warn!(%error, "erased payloads may remain in the write-ahead log for a while");
        }
        self.conn = Some(conn);
        if beat {
            self.beat_at = self.shared.world.monotonic() + BEAT_EVERY;
        }
        for number in late.into_iter().rev() {
            let item = self.pending.remove(number);
            tracing::error!("a call ended after it was taken for interrupted: its answer is withheld");
            if let Some(done) = item.done {
                let _ = done.send(Err(Unrecorded));
            }
        }
        self.committed(wrote);
        Ok(())
    }

    /// After a failed commit: what would be there if it came through after all.
    fn doubt(&mut self, head: Option<Head>) {
        let Some((seq, leaf)) = head.and_then(|head| head.size.checked_sub(1).zip(head.last_leaf)) else {
            return;
        };
        self.attempts += 1;
        let attempt = self.attempts;
        self.doubts.push(Doubt { attempt, seq, leaf });
        for item in &mut self.pending {
            item.tried.push(attempt);
        }
    }

    /// Before anything is written again: drops what a commit that seemed to fail has written. An answer
    /// withheld because of it is then on record as offered, and next as withheld.
    async fn settle_doubts(&mut self, conn: &mut JournalWriter) -> Result<(), StoreError> {
        for doubt in &self.doubts {
            if conn.leaf(doubt.seq).await? == Some(doubt.leaf) {
                self.pending.retain(|item| !item.tried.contains(&doubt.attempt));
            }
        }
        Ok(())
    }

    fn committed(&mut self, wrote: Option<(Head, Option<CheckpointRow>)>) {
        self.doubts.clear();
        self.sign = false;
        self.lost = 0;
        if self.shared.is_closed() {
            tracing::info!("the journal can be written again");
            self.shared.set_closed(false);
        }
        self.shared.count(self.pending.len());
        for item in self.pending.drain(..) {
            if let Some(done) = item.done {
                let _ = done.send(Ok(()));
            }
        }
        let Some((head, checkpoint)) = wrote else {
            return;
        };
        self.setup.size = head.size;
        if let Some(checkpoint) = checkpoint {
            self.setup.last_checkpoint = checkpoint.size;
            if let Some(path) = &self.setup.publish
                && let Err(error) = super::publish(path, &checkpoint.note)
            {
                tracing::error!(%error, "the checkpoint could not be published");
                self.shared.warn("the last checkpoint could not be published");
            }
        }
    }

    /// Tells everybody who waits, and keeps what is still owed: records nobody waits for, and of each
    /// withheld answer that it was withheld.
    fn give_up(&mut self) {
        for mut item in std::mem::take(&mut self.pending) {
            item.room = None;
            let waited = item.done.take().is_some_and(|done| {
                let _ = done.send(Err(Unrecorded));
                true
            });
            let outcome = matches!(item.draft.phase, Phase::Result | Phase::Refusal);
            if outcome && waited {
                item.draft = item.draft.withheld();
                item.payload = None;
                item.tried.clear(); // what was tried was another record
            } else if waited {
                // Whoever waited for an intent was told no, and nothing ran; whoever asked for a
                // change of configuration was told that it is not on record.
                continue;
            }
            item.lazy = true;
            if self.owed.len() < OWED_MAX {
                self.owed.push(item);
            } else if outcome {
                self.lost += 1;
            }
        }
    }
}

/// A record of Tollgate's own doings.
pub(crate) fn config_draft(shared: &Shared, what: &serde_json::Value) -> Draft {
    let mut draft = Draft::new(Phase::Config, shared.world.now());
    draft.put("config", what);
    draft
}

/// An item with nothing beside its record.
pub(crate) fn plain(draft: Draft) -> Item {
    Item {
        draft,
        payload: None,
        mark: Mark::Neither,
        erase: Vec::new(),
        lazy: true,
        done: None,
        room: None,
        tried: Vec::new(),
    }
}

/// Numbers of the outcomes that come too late: of calls that others have recorded as interrupted, because this
/// process was not seen for so long.
fn late_of(items: &[Item], found: &Found) -> Vec<usize> {
    if !found.lapsed {
        return Vec::new();
    }
    let mut open: BTreeSet<&str> = found.open.iter().map(|call| call.call_id.as_str()).collect();
    let mut late = Vec::new();
    for (number, item) in items.iter().enumerate() {
        match (item.mark, item.draft.call_id()) {
            (Mark::Opens, Some(call_id)) => _ = open.insert(call_id),
            (Mark::Closes, Some(call_id)) if !open.remove(call_id) => late.push(number),
            _ => {}
        }
    }
    late
}

/// Records the calls of processes that are gone.
fn bury(found: &Found, now: Timestamp, log: &mut Tip, batch: &mut Batch) {
    for call in &found.open {
        let intent = call
            .gone
            .as_ref()
            .and_then(|record| serde_json::from_slice(record).ok());
        if let Some(intent) = intent {
            tracing::warn!(
                call_id = call.call_id,
                "interrupted: the process that ran it is gone"
            );
            log.place(&Draft::interrupted(&intent, now), batch);
            batch.closed.push(call.call_id.clone());
        }
    }
}

/// A store that was put back to an earlier state while it was in use is not continued: what it had promised is gone.
fn not_put_back(setup: &Setup, head: &Head) -> Result<(), StoreError> {
    if head.size >= setup.size {
        return Ok(());
    }
    Err(StoreError::Damaged(format!(
        "it had {} records and has {}: it was put back to an earlier state while it was in use",
        setup.size, head.size
    )))
}

/// Puts the records at their places after `head`, without those that come too late.
fn build(
    setup: &Setup,
    (items, late): (&[Item], &[usize]),
    gap: Option<&Draft>,
    head: &Head,
    (found, now): (&Found, Timestamp),
    sign: bool,
) -> Result<(Batch, Head), StoreError> {
    not_put_back(setup, head)?;
    let mut log = Tip::at(head)?;
    let mut batch = Batch::default();
    bury(found, now, &mut log, &mut batch);
    let mut opened: BTreeMap<&str, OpenCall> = BTreeMap::new();
    let in_time = items
        .iter()
        .enumerate()
        .filter(|(number, _)| !late.contains(number));
    for (_, item) in in_time {
        let seq = log.place(&item.draft, &mut batch);
        if let Some(payload) = &item.payload {
            batch.payloads.push(PayloadRow {
                seq,
                blob: item.draft.call_id().unwrap_or_default().to_owned(),
                salt: payload.salt,
                data: Arc::clone(&payload.data),
            });
        }
        batch.erased.extend_from_slice(&item.erase);
        let Some(call_id) = item.draft.call_id() else {
            continue;
        };
        match item.mark {
            Mark::Opens => {
                let open = OpenCall {
                    call_id: call_id.to_owned(),
                    seq,
                    boot: setup.lease.boot().to_owned(),
                    gone: None,
                };
                opened.insert(call_id, open);
            }
            Mark::Closes if opened.remove(call_id).is_some() => {}
            Mark::Closes => batch.closed.push(call_id.to_owned()),
            Mark::Neither => {}
        }
    }
    if let Some(gap) = gap {
        log.place(gap, &mut batch);
    }
    let size = log.frontier.size();
    let due = size >= setup.last_checkpoint.saturating_add(setup.checkpoint_every);
    if due || (sign && size > setup.last_checkpoint) {
        batch.checkpoint = Some(log.checkpoint(&setup.key));
    }
    batch.opened = opened.into_values().collect();
    batch.head = log.head();
    let head = batch.head.clone();
    Ok((batch, head))
}

/// The growing end of the log inside one transaction.
pub(crate) struct Tip {
    pub(crate) frontier: Frontier,
    last_leaf: Option<[u8; 32]>,
}

impl Tip {
    pub(crate) fn at(head: &Head) -> Result<Self, StoreError> {
        let frontier = Frontier::restore(head.size, head.frontier.clone())
            .filter(|_| head.last_leaf.is_some() == (head.size > 0))
            .ok_or_else(|| StoreError::Damaged("its stored head fits no tree".to_owned()))?;
        Ok(Self {
            frontier,
            last_leaf: head.last_leaf,
        })
    }

    /// Places a record; gives its number.
    pub(crate) fn place(&mut self, draft: &Draft, batch: &mut Batch) -> u64 {
        let seq = self.frontier.size();
        let record = draft.assemble(seq, self.last_leaf);
        let leaf = leaf_hash(&record);
        self.frontier.push(leaf);
        self.last_leaf = Some(leaf);
        batch.records.push(draft.row(seq, leaf, record));
        seq
    }

    pub(crate) fn checkpoint(&self, key: &LogKey) -> CheckpointRow {
        let size = self.frontier.size();
        CheckpointRow {
            size,
            note: key.sign(size, &self.frontier.root()),
            frontier: self.frontier.peaks().to_vec(),
        }
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            size: self.frontier.size(),
            last_leaf: self.last_leaf,
            frontier: self.frontier.peaks().to_vec(),
        }
    }
}
