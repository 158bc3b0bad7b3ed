//! The journal: no record, no call. docs/audit.md says what it promises.
//!
//! Writing: [`Audit::open`] gives a call its [`Entry`]; a single writer task puts everything that
//! waits into one transaction (group commit). Each record is a leaf of an RFC 6962 Merkle tree whose
//! head is signed now and then. Reading: [`list`], [`show`], [`replay`], [`export`], [`verify`].

mod entry;
pub mod export;
pub mod hindsight;
mod lease;
pub mod list;
pub mod merkle;
pub mod note;
pub mod payload;
mod record;
pub mod replay;
mod start;
pub mod verify;
mod writer;

use std::borrow::Cow;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use entry::Entry;
pub use export::export;
pub use list::{list, show};
pub use note::{LogKey, LogPublicKey, load_or_create_key};
pub use replay::replay;
pub use start::{InterruptedCall, StartReport};
pub use verify::{verify_export, verify_store};

use crate::approval::{self, Event, Ledger};
use crate::call::{Arrival, CallId, MaskCounts, Refusal};
use crate::clock::World;
use crate::mask::{Mask, Masked};
use crate::store::{Store, StoreError};
use record::{Draft, Phase};
use writer::{Item, Message, Unrecorded, Writer, config_draft, plain};

/// Callers that may wait for their record at once; more of them wait before they may queue.
const QUEUE: usize = 4_096;

/// Payloads named in one record of an erasure.
const ERASE_AT_ONCE: u32 = 1_000;

/// Why the journal cannot start, or something asked of it was not done.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system.
    #[error("audit: {0}")]
    Io(#[from] std::io::Error),
    /// The store continues another log than the one configured.
    #[error("this store belongs to {what} `{stored}`, configured is `{configured}`: {instead}")]
    Foreign {
        /// `the log` or `the key`.
        what: &'static str,
        /// What the store says.
        stored: String,
        /// What the configuration says.
        configured: String,
        /// What to do.
        instead: &'static str,
    },
    /// A signed checkpoint does not fit.
    #[error("the journal is damaged: {0}; run `tollgate audit verify`")]
    Checkpoint(note::NoteError),
    /// A record could not be made durable.
    #[error("it could not be recorded; the log says why")]
    Unrecorded,
    /// Nothing of that name.
    #[error("there is no record of call {0}")]
    UnknownCall(String),
}

impl From<Unrecorded> for AuditError {
    fn from(_: Unrecorded) -> Self {
        Self::Unrecorded
    }
}

/// What the journal needs of the masking engine. A trait, so that the journal's own tests need no
/// detectors.
pub trait Masking: Send + Sync {
    /// Masks every string inside a value, in place.
    fn value(&self, value: &mut Value, counts: &mut MaskCounts);
    /// Masks one text.
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str>;
    /// Makes a refusal sendable.
    fn refusal(&self, call_id: &CallId, refusal: &Refusal) -> Masked;
}

impl Masking for Mask {
    fn value(&self, value: &mut Value, counts: &mut MaskCounts) {
        Self::value(self, value, counts);
    }
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Self::text(self, text)
    }
    fn refusal(&self, call_id: &CallId, refusal: &Refusal) -> Masked {
        Self::refusal(self, call_id, refusal)
    }
}

impl<T: Masking + ?Sized> Masking for Arc<T> {
    fn value(&self, value: &mut Value, counts: &mut MaskCounts) {
        (**self).value(value, counts);
    }
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        (**self).text(text)
    }
    fn refusal(&self, call_id: &CallId, refusal: &Refusal) -> Masked {
        (**self).refusal(call_id, refusal)
    }
}

/// Tells the free bytes of the store's file system.
pub type FreeSpace = Arc<dyn Fn() -> std::io::Result<u64> + Send + Sync>;

/// When a filling disk is warned of, and when calls are refused for it.
#[derive(Clone)]
pub struct DiskRule {
    /// Warn below this many free bytes.
    pub warn_below: u64,
    /// Refuse calls below this many free bytes; what is under way is still recorded.
    pub refuse_below: u64,
    /// Where the free bytes come from.
    pub free: FreeSpace,
}

impl DiskRule {
    /// Warns below 2 GiB and refuses below 256 MiB on the file system of `store`. A server minds its disk itself:
    /// a write it has no room for fails.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        let folder = store.file().map(|file| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        Self {
            warn_below: 2 << 30,
            refuse_below: 256 << 20,
            free: Arc::new(move || {
                let Some(folder) = &folder else {
                    return Ok(u64::MAX);
                };
                let about = rustix::fs::statvfs(folder)?;
                Ok(about.f_bavail.saturating_mul(about.f_frsize))
            }),
        }
    }
}

impl std::fmt::Debug for DiskRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskRule")
            .field("warn_below", &self.warn_below)
            .field("refuse_below", &self.refuse_below)
            .finish_non_exhaustive()
    }
}

/// What the journal is to be.
#[derive(Debug)]
pub struct AuditSpec {
    /// Signs checkpoints; its name is the log's origin.
    pub key: LogKey,
    /// A checkpoint is signed at least every so many records.
    pub checkpoint_every: u64,
    /// A file to which each checkpoint is appended, to be carried elsewhere.
    pub publish: Option<PathBuf>,
    /// The disk.
    pub disk: DiskRule,
    /// What the first record of this process says of it: version, policy and configuration digests.
    pub start: Value,
}

/// The journal. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    core: Arc<Core>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("health", &self.health()).finish()
    }
}

/// What to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erase {
    /// What was offered in one call.
    Call(String),
    /// Everything offered before this RFC 3339 UTC time.
    Before(String),
}

/// How the journal is doing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// Whether calls are taken.
    pub takes_calls: bool,
    /// Free bytes on the store's file system, as last seen.
    pub free_bytes: u64,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// What group commit has done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Transactions; each waits for one `fsync` of the write-ahead log.
    pub commits: u64,
    /// Records.
    pub records: u64,
    /// Records in the largest transaction.
    pub largest_batch: u64,
}

/// What entries and the writer share.
pub(crate) struct Shared {
    masking: Arc<dyn Masking>,
    world: Arc<dyn World>,
    disk: DiskRule,
    closed: AtomicBool,
    low: AtomicBool,
    free: AtomicU64,
    warnings: Mutex<Vec<&'static str>>,
    commits: AtomicU64,
    records: AtomicU64,
    largest: AtomicU64,
    replicas: AtomicU32,
}

pub(crate) struct Core {
    shared: Arc<Shared>,
    store: Store,
    queue: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
}

impl Audit {
    /// Opens the journal: checks its tail against the last signed checkpoint, records what earlier
    /// processes left unfinished and that this one starts, and starts the writer. Needs a running
    /// tokio runtime.
    ///
    /// # Errors
    /// When the store belongs to another log or key, is damaged, or cannot be written.
    pub async fn start(
        store: Store,
        spec: AuditSpec,
        masking: Arc<dyn Masking>,
        world: Arc<dyn World>,
    ) -> Result<(Self, StartReport), AuditError> {
        let shared = Arc::new(Shared::new(masking, world, spec.disk.clone()));
        shared.look_at_disk();
        let (setup, mut report) = start::open(&store, spec, &shared).await?;
        report.warnings = shared.warnings();
        let (queue, messages) = mpsc::unbounded_channel();
        let (conn, setup) = setup;
        tokio::spawn(Writer::new(setup, conn, Arc::clone(&shared)).run(messages));
        let core = Arc::new(Core {
            shared,
            store,
            queue,
            room: Arc::new(Semaphore::new(QUEUE)),
        });
        Ok((Self { core }, report))
    }

    /// Opens the record of one call; nothing is written yet.
    pub fn open(&self, arrival: &Arrival) -> Entry {
        Entry::new(Arc::clone(&self.core), arrival)
    }

    /// Notes that the transport took the bytes of an answer. "Offered" and "accepted" are two facts:
    /// neither says that a model has read them.
    pub fn accepted(&self, call_id: &CallId) {
        let mut draft = Draft::new(Phase::Delivery, self.core.shared.world.now());
        draft.call(call_id);
        draft.put("delivered", &json!("accepted"));
        self.core.send_lazily(plain(draft));
    }

    /// Records a piece of news of a running call, already masked, before it is passed on.
    ///
    /// # Errors
    /// [`AuditError::Unrecorded`]: it must then not be passed on.
    pub async fn progress(&self, call_id: &CallId, text: &str) -> Result<(), AuditError> {
        let mut draft = Draft::new(Phase::Delivery, self.core.shared.world.now());
        draft.call(call_id);
        draft.put(
            "progress",
            &json!(record::detail(text, &*self.core.shared.masking)),
        );
        Ok(self.core.send_durably(plain(draft)).await?)
    }

    /// Records a change of what decides: a reloaded policy set, a candidate. `what` is masked.
    ///
    /// # Errors
    /// [`AuditError::Unrecorded`]: the change should then not be made.
    pub async fn config_change(&self, what: Value) -> Result<(), AuditError> {
        let mut what = what;
        self.core
            .shared
            .masking
            .value(&mut what, &mut MaskCounts::default());
        let item = plain(config_draft(&self.core.shared, &what));
        Ok(self.core.send_durably(item).await?)
    }

    /// Erases what was offered, and its salts. The records stay, and so does every proof; what was
    /// erased and why is recorded. Gives the number of payloads erased.
    ///
    /// # Errors
    /// When there is no such call, or the erasure could not be recorded (then nothing more is erased).
    pub async fn erase(&self, what: &Erase, reason: &str) -> Result<u64, AuditError> {
        let reason = record::detail(reason, &*self.core.shared.masking);
        let mut erased = 0;
        loop {
            let mut reader = self.core.store.reader().await?;
            let held = match what {
                Erase::Call(call_id) => {
                    let records = reader.call(call_id).await?;
                    if records.is_empty() {
                        return Err(AuditError::UnknownCall(call_id.clone()));
                    }
                    let held = records.iter().filter(|(_, payload)| payload.is_some());
                    held.map(|(row, _)| row.seq).collect()
                }
                Erase::Before(time) => reader.payloads_before(time, ERASE_AT_ONCE).await?,
            };
            reader.close().await?;
            if held.is_empty() {
                return Ok(erased);
            }
            erased += held.len() as u64;
            let event = json!({"event": "erased", "records": held, "reason": reason});
            let mut item = plain(config_draft(&self.core.shared, &event));
            item.erase = held;
            self.core.send_durably(item).await?;
        }
    }

    /// Writes what waits for company.
    ///
    /// # Errors
    /// [`AuditError::Unrecorded`].
    pub async fn flush(&self) -> Result<(), AuditError> {
        Ok(self.core.flush(false).await?)
    }

    /// Writes what waits and signs the head, if it has moved since the last checkpoint. To be called
    /// now and then, so that a quiet journal is signed too.
    ///
    /// # Errors
    /// [`AuditError::Unrecorded`].
    pub async fn checkpoint(&self) -> Result<(), AuditError> {
        Ok(self.core.flush(true).await?)
    }

    /// Writes what is left, signs the head, and ends the writer. Calls are refused from here on.
    ///
    /// # Errors
    /// [`AuditError::Unrecorded`].
    pub async fn close(&self) -> Result<(), AuditError> {
        let (done, result) = oneshot::channel();
        let _ = self.core.queue.send(Message::Stop(done));
        let result = result.await.unwrap_or(Err(Unrecorded));
        self.core.shared.set_closed(true);
        Ok(result?)
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let shared = &self.core.shared;
        Health {
            takes_calls: !shared.is_closed() && !shared.is_low(),
            free_bytes: shared.free.load(Ordering::Relaxed),
            warnings: shared.warnings(),
        }
    }

    /// Records there are, and how many of them the last signed checkpoint covers.
    ///
    /// # Errors
    /// The store's.
    pub async fn signed(&self) -> Result<(u64, u64), AuditError> {
        let mut reader = self.core.store.reader().await?;
        let (head, signed) = (reader.head().await?, reader.last_checkpoint().await?);
        reader.close().await?;
        Ok((head.size, signed.map_or(0, |checkpoint| checkpoint.size)))
    }

    /// How many processes share the store, this one included, as last seen; of a file it is one.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.core.shared.replicas.load(Ordering::Relaxed)
    }

    /// What group commit has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.core.shared;
        Stats {
            commits: shared.commits.load(Ordering::Relaxed),
            records: shared.records.load(Ordering::Relaxed),
            largest_batch: shared.largest.load(Ordering::Relaxed),
        }
    }
}

impl Ledger for Audit {
    fn record<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), approval::Unrecorded>> {
        Box::pin(async move {
            let shared = &self.core.shared;
            let draft = Draft::of_event(event, shared.world.now(), &*shared.masking);
            let recorded = self.core.send_durably(plain(draft)).await;
            recorded.map_err(|_| approval::Unrecorded)
        })
    }
}

impl Core {
    /// Queues a record that nobody waits for, without waiting for room: there are at most a few of
    /// them per call.
    fn send_lazily(&self, item: Item) {
        let _ = self.queue.send(Message::Record(Box::new(item)));
    }

    /// Queues a record that nobody waits for, once there is room.
    async fn send_when_room(&self, mut item: Item) -> Result<(), Unrecorded> {
        item.room = Some(self.room().await?);
        self.queue
            .send(Message::Record(Box::new(item)))
            .map_err(|_| Unrecorded)
    }

    async fn room(&self) -> Result<OwnedSemaphorePermit, Unrecorded> {
        Arc::clone(&self.room)
            .acquire_owned()
            .await
            .map_err(|_| Unrecorded)
    }

    /// Queues a record and waits until it is durable.
    async fn send_durably(&self, mut item: Item) -> Result<(), Unrecorded> {
        item.room = Some(self.room().await?);
        self.send_with_room(item)?.await.unwrap_or(Err(Unrecorded))
    }

    /// Queues a record that somebody will wait for.
    fn send_with_room(
        &self,
        mut item: Item,
    ) -> Result<oneshot::Receiver<Result<(), Unrecorded>>, Unrecorded> {
        let (done, result) = oneshot::channel();
        item.done = Some(done);
        item.lazy = false;
        self.queue
            .send(Message::Record(Box::new(item)))
            .map_err(|_| Unrecorded)?;
        Ok(result)
    }

    async fn flush(&self, checkpoint: bool) -> Result<(), Unrecorded> {
        let (done, result) = oneshot::channel();
        self.queue
            .send(Message::Flush { checkpoint, done })
            .map_err(|_| Unrecorded)?;
        result.await.unwrap_or(Err(Unrecorded))
    }
}

impl Shared {
    fn new(masking: Arc<dyn Masking>, world: Arc<dyn World>, disk: DiskRule) -> Self {
        Self {
            masking,
            world,
            disk,
            closed: AtomicBool::new(false),
            low: AtomicBool::new(false),
            free: AtomicU64::new(0),
            warnings: Mutex::new(Vec::new()),
            commits: AtomicU64::new(0),
            records: AtomicU64::new(0),
            largest: AtomicU64::new(0),
            replicas: AtomicU32::new(1),
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    fn set_closed(&self, closed: bool) {
        self.closed.store(closed, Ordering::Release);
    }

    /// Looks at the free space; gives whether there is too little to take calls. A file system that
    /// does not answer counts as full.
    fn look_at_disk(&self) -> bool {
        let free = (self.disk.free)().unwrap_or_else(|error| {
            tracing::error!(%error, "the free space of the store's disk cannot be read");
            0
        });
        self.free.store(free, Ordering::Relaxed);
        if free < self.disk.warn_below {
            self.warn("the store's disk is filling");
        }
        let low = free < self.disk.refuse_below;
        if low {
            self.warn("calls were refused because the store's disk is nearly full");
        }
        self.low.store(low, Ordering::Relaxed);
        low
    }

    /// Notes a warning, and logs it the first time.
    fn warn(&self, what: &'static str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&what) {
            tracing::warn!(free_bytes = self.free.load(Ordering::Relaxed), "{what}");
            warnings.push(what);
        }
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.iter().map(|what| (*what).to_owned()).collect()
    }

    fn set_replicas(&self, replicas: Option<u32>) {
        if let Some(replicas) = replicas {
            self.replicas.store(replicas.max(1), Ordering::Relaxed);
        }
    }

    fn count(&self, records: usize) {
        let records = records as u64;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.largest.fetch_max(records, Ordering::Relaxed);
    }
}

/// Appends a checkpoint to the file from which it is carried elsewhere. One write per note, so that
/// several processes can share the file.
fn publish(path: &Path, note: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(format!("{note}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests;
