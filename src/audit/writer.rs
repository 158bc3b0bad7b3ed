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
    /// Ends a call, which is under way if it `began`.
    Closes {
        began: bool,
    },
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
    /// It is the record of an answer that was withheld.
    pub(crate) withheld: bool,
}

impl Item {
    /// From here on it says that the answer is withheld.
    fn withhold(&mut self) {
        self.draft.withhold();
        self.payload = None;
        self.withheld = true;
    }
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
    /// The log as this process knows it.
    pub(crate) size: u64,
    pub(crate) last_leaf: Option<[u8; 32]>,
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
    /// It writes for the last time.
    leaving: bool,
}

/// A commit that failed, and yet may be found written: the last record it would have made.
struct Doubt {
    attempt: u64,
    seq: u64,
    leaf: [u8; 32],
    /// Withheld outcomes that it told of by number.
    lost: u64,
}

/// What an append has made: the head, and the checkpoint if there is one.
type Wrote = Option<(Head, Option<CheckpointRow>)>;

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
            leaving: false,
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
        self.leaving = self.setup.store.file().is_none();
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
        let idle = self.pending.is_empty() && self.owed.is_empty() && !unsigned && !beat && !self.leaving;
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
        if self.shared.is_closed() {
            conn.probe().await?;
        }
        let wrote = self.append(&mut conn, sign, beat).await?;
        let erased = self.pending.iter().any(|item| !item.erase.is_empty());
        if erased && let Err(error) = conn.empty_log().await {
            tracing::warn!(%error, "erased payloads may remain in the write-ahead log for a while");
        }
        self.conn = Some(conn);
        if beat {
            self.beat_at = self.shared.world.monotonic() + BEAT_EVERY;
        }
        self.committed(wrote);
        Ok(())
    }

    async fn append(
        &mut self,
        conn: &mut JournalWriter,
        sign: bool,
        beat: bool,
    ) -> Result<Wrote, StoreError> {
        let ask = Ask {
            open_calls: beat,
            boot: self.setup.lease.boot().to_owned(),
            beat,
            leaves: self.leaving,
            closing: closing_of(&self.pending, !self.doubts.is_empty()),
            known: self.setup.size.checked_sub(1),
            doubts: self.doubts.iter().map(|doubt| doubt.seq).collect(),
        };
        let now = self.shared.world.now();
        let (mut wrote, mut untold) = (None, self.lost);
        let (setup, shared, pending, doubts) = (&self.setup, &self.shared, &mut self.pending, &self.doubts);
        let appended = conn.append(&ask, |head, found| {
            not_put_back(setup, head, found)?;
            shared.set_replicas(found.replicas);
            untold = untold.saturating_sub(settle(pending, doubts, found));
            withhold_late(pending, found);
            let gap =
                (untold > 0).then(|| config_draft(shared, &json!({"event": "unrecorded", "calls": untold})));
            let (batch, head) = build(setup, pending, gap.as_ref(), head, (found, now), sign)?;
            wrote = Some((head, batch.checkpoint.clone()));
            Ok(batch)
        });
        if let Err(error) = appended.await {
            self.doubt(wrote.map(|(head, _)| head), untold);
            return Err(error);
        }
        Ok(wrote)
    }

    /// After a failed commit: what would be there if it came through after all.
    fn doubt(&mut self, head: Option<Head>, lost: u64) {
        let Some((seq, leaf)) = head.and_then(|head| head.size.checked_sub(1).zip(head.last_leaf)) else {
            return;
        };
        self.attempts += 1;
        let attempt = self.attempts;
        self.doubts.push(Doubt {
            attempt,
            seq,
            leaf,
            lost,
        });
        for item in &mut self.pending {
            item.tried.push(attempt);
        }
    }

    fn committed(&mut self, wrote: Wrote) {
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
                let _ = done.send(if item.withheld { Err(Unrecorded) } else { Ok(()) });
            }
        }
        let Some((head, checkpoint)) = wrote else {
            return;
        };
        self.setup.size = head.size;
        self.setup.last_leaf = head.last_leaf;
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
                if !item.withheld {
                    item.withhold();
                    item.tried.clear(); // what was tried was another record
                }
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
        withheld: false,
    }
}

/// The calls that end, but for those that also begin in these records; `all` of them while it is open which of the
/// records are written already.
fn closing_of(items: &[Item], all: bool) -> Vec<String> {
    let (mut opened, mut closing) = (BTreeSet::new(), Vec::new());
    for (item, call_id) in items
        .iter()
        .filter_map(|item| Some((item, item.draft.call_id()?)))
    {
        match item.mark {
            Mark::Opens => _ = opened.insert(call_id),
            Mark::Closes { .. } if all || !opened.contains(call_id) => closing.push(call_id.to_owned()),
            Mark::Closes { .. } | Mark::Neither => {}
        }
    }
    closing
}

/// Drops what a commit that seemed to fail has written; gives how many outcomes it told of by number. An answer
/// withheld because of it is then on record as offered, and next as withheld.
fn settle(items: &mut Vec<Item>, doubts: &[Doubt], found: &Found) -> u64 {
    let mut told = 0;
    for (doubt, leaf) in doubts.iter().zip(&found.doubts) {
        if *leaf == Some(doubt.leaf) {
            items.retain(|item| !item.tried.contains(&doubt.attempt));
            told += doubt.lost;
        }
    }
    told
}

/// Withholds the outcomes that come too late: of calls that others have recorded as interrupted, because this process
/// was not seen for so long.
fn withhold_late(items: &mut [Item], found: &Found) {
    if found.over.is_empty() {
        return;
    }
    let mut opened = BTreeSet::new();
    for item in items {
        let Some(call_id) = item.draft.call_id() else {
            continue;
        };
        match item.mark {
            Mark::Opens => _ = opened.insert(call_id.to_owned()),
            Mark::Closes { began: true }
                if !item.withheld && found.over.contains(call_id) && !opened.contains(call_id) =>
            {
                tracing::error!(
                    call_id,
                    "a call ended after it was recorded as interrupted: its answer is withheld"
                );
                item.withhold();
            }
            Mark::Closes { .. } | Mark::Neither => {}
        }
    }
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
fn not_put_back(setup: &Setup, head: &Head, found: &Found) -> Result<(), StoreError> {
    if head.size < setup.size {
        return Err(StoreError::Damaged(format!(
            "it had {} records and has {}: it was put back to an earlier state while it was in use",
            setup.size, head.size
        )));
    }
    if found.known != setup.last_leaf {
        return Err(StoreError::Damaged(format!(
            "the last of the {} records that it had is another one: it was put back to an earlier state while it was in \
             use, and then continued",
            setup.size
        )));
    }
    Ok(())
}

/// Puts the records at their places after `head`.
fn build(
    setup: &Setup,
    items: &[Item],
    gap: Option<&Draft>,
    head: &Head,
    (found, now): (&Found, Timestamp),
    sign: bool,
) -> Result<(Batch, Head), StoreError> {
    let mut log = Tip::at(head)?;
    let mut batch = Batch::default();
    bury(found, now, &mut log, &mut batch);
    let mut opened: BTreeMap<&str, OpenCall> = BTreeMap::new();
    for item in items {
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
            Mark::Closes { .. } => _ = opened.remove(call_id), // what began before has been closed
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
