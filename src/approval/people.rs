//! What every way into a request needs: the rows, the clock, the journal, and who waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ahead::Measured;
use super::events::{Event, Ledger, Unrecorded, spent_by};
use super::review::State;
use super::terms::{Sealed, readable, state};
use super::words;
use crate::call::{ApprovalId, Arrival, CallId, Pending, Refusal, Unmet};
use crate::clock::{Timestamp, World};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Change};
use crate::store::rows::{Rows, Tx};

/// How long final requests are kept for people to look at; the journal keeps what happened.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A granted request whose caller is still there is theirs to carry out for so long.
const ATTENDED: Duration = Duration::from_secs(5);

/// How long after an attempt to carry out a request without its caller another one is made.
const TRIED: Duration = Duration::from_secs(60);

/// How approvals are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a call waits for people before it answers `approval_pending`.
    pub hold: Duration,
    /// How long people have to decide; then silence is refusal.
    pub decide_within: Duration,
    /// How long an approval may wait for its execution.
    pub execute_within: Duration,
    /// How long the answer of an executed call can be fetched again.
    pub result: Duration,
    /// How many requests of one person may wait at once.
    pub pending_per_person: u32,
    /// How many requests one person may have made in an hour, whatever became of them.
    pub requests_per_hour: u32,
    /// How old a reviewer's sign-in may be.
    pub max_age: Duration,
    /// Whether approving needs a security key (WebAuthn), beyond the sign-in.
    pub security_key: bool,
    /// For how many minutes at most something may be approved for a while, where policy allows it; 0 is never.
    pub grant_minutes: u32,
    /// For how many days at most a reviewer may name somebody to stand in for them; 0 is never.
    pub delegation_days: u32,
    /// Whether nobody has accounts at two issuers. Unless the operator says so, only people of the requester's issuer
    /// count: two accounts could be one human's.
    pub disjoint_issuers: bool,
    /// How long an account in a chat stays linked to the person who signed in for it.
    pub link: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(45),
            decide_within: Duration::from_secs(1800),
            execute_within: Duration::from_secs(600),
            result: Duration::from_secs(900),
            pending_per_person: 5,
            requests_per_hour: 60,
            max_age: Duration::from_secs(300),
            security_key: false,
            grant_minutes: 60,
            delegation_days: 0,
            disjoint_issuers: false,
            link: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// People's approvals of one process.
pub(super) struct People {
    pub(super) rows: Rows,
    pub(super) world: Arc<dyn World>,
    pub(super) settings: Settings,
    ledger: Arc<dyn Ledger>,
    url: Option<url::Url>,
    /// Told of every transition this process makes; those of others are found by looking.
    woken: watch::Sender<()>,
    /// Calls of this process that may have taken an approval, and are not settled.
    pub(super) spending: Mutex<HashMap<CallId, ApprovalId>>,
    /// Calls of this process that stand for a stored one (`approval_wait`).
    resumed: Mutex<HashMap<CallId, ApprovalId>>,
    recording: tokio::sync::Mutex<()>,
    /// This process stops: nobody waits here for people any more, the answer is that the request is open.
    pub(super) leaving: CancellationToken,
    /// When this process last tried to carry out a request by itself.
    tried: Mutex<HashMap<String, u64>>,
    /// What was measured for whoever asks ahead, and no request came of it.
    measured: Mutex<Measured>,
}

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("People")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl People {
    pub(super) fn new(
        rows: Rows,
        ledger: Arc<dyn Ledger>,
        world: Arc<dyn World>,
        settings: Settings,
        url: Option<url::Url>,
    ) -> Self {
        Self {
            rows,
            world,
            settings,
            ledger,
            url,
            woken: watch::Sender::new(()),
            spending: Mutex::default(),
            resumed: Mutex::default(),
            recording: tokio::sync::Mutex::default(),
            leaving: CancellationToken::new(),
            tried: Mutex::default(),
            measured: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.world.now().0
    }

    pub(super) fn new_id(&self) -> String {
        let mut random = [0; 10];
        self.world.random(&mut random);
        CallId::new(self.now(), &random).to_string()
    }

    pub(super) fn wake(&self) {
        self.woken.send_replace(());
    }

    pub(super) fn woken(&self) -> watch::Receiver<()> {
        self.woken.subscribe()
    }

    pub(super) fn spending(&self) -> std::sync::MutexGuard<'_, HashMap<CallId, ApprovalId>> {
        self.spending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resumed(&self) -> std::sync::MutexGuard<'_, HashMap<CallId, ApprovalId>> {
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn measured(&self) -> std::sync::MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row as it stands now: a request whose time is over has expired, whoever looks.
    pub(super) async fn fresh(&self, id: &str) -> Result<Option<ApprovalRow>, StoreError> {
        let mut tx = self.rows.read().await?;
        let row = tx.row(id).await?;
        tx.commit().await?;
        match row {
            Some(row) if is_over(&row, self.now()) => self.expired(&row.id).await,
            row => Ok(row),
        }
    }

    async fn expired(&self, id: &str) -> Result<Option<ApprovalRow>, StoreError> {
        let mut tx = self.rows.write().await?;
        let row = self.taken(&mut tx, id).await?;
        tx.commit().await?;
        self.wake();
        Ok(row)
    }

    /// Reads a row inside a writing transaction, after the clock has had its say: who comes too late
    /// finds it expired, and the event of that is written with whatever else they write.
    pub(super) async fn taken(&self, tx: &mut Tx, id: &str) -> Result<Option<ApprovalRow>, StoreError> {
        let Some(row) = tx.row(id).await? else {
            return Ok(None);
        };
        let now = self.now();
        if !is_over(&row, now) {
            return Ok(Some(row));
        }
        let over = Change {
            settled_at: Some(now),
            ..Change::default()
        };
        let words = (row.state == State::Granted.as_str()).then_some("approved, and not carried out in time");
        tx.shift(id, &row.state, State::Expired.as_str(), &over).await?;
        tx.event(id, now, State::Expired.as_str(), None, words, None)
            .await?;
        tx.row(id).await
    }

    /// Puts what is not on record yet there, in order. To be called before anybody acts on a state.
    ///
    /// # Errors
    /// Something of it is still not on record.
    pub(super) async fn record(&self, id: Option<&str>) -> Result<(), Unrecorded> {
        let stored = |error: StoreError| {
            tracing::error!("approvals: {error}");
            Unrecorded
        };
        if self.owed(id).await.map_err(stored)?.is_empty() {
            return Ok(());
        }
        let _one = self.recording.lock().await;
        for row in self.owed(id).await.map_err(stored)? {
            let event = Event::of(row);
            self.ledger.record(&event).await?;
            self.mark_recorded(event.seq).await.map_err(stored)?;
        }
        self.wake();
        Ok(())
    }

    /// Puts what is no transition of a request on record.
    ///
    /// # Errors
    /// It is not; nobody may act on it.
    pub(super) async fn note(&self, event: &Event) -> Result<(), Unrecorded> {
        let _one = self.recording.lock().await;
        self.ledger.record(event).await
    }

    async fn owed(&self, id: Option<&str>) -> Result<Vec<crate::store::approvals::EventRow>, StoreError> {
        let mut tx = self.rows.read().await?;
        let owed = tx.owed(id).await?;
        tx.commit().await?;
        Ok(owed)
    }

    async fn mark_recorded(&self, seq: u64) -> Result<(), StoreError> {
        let mut tx = self.rows.write().await?;
        tx.recorded(seq).await?;
        tx.commit().await
    }

    /// Why nothing (more) runs for a request in a final state, or where its answer is. `None` while
    /// there is something to wait for.
    pub(super) async fn ending(&self, row: &ApprovalRow) -> Result<Option<Unmet>, StoreError> {
        let recent = row
            .settled_at
            .is_some_and(|at| self.now() < at.saturating_add(millis(self.settings.result)));
        Ok(Some(match state(row)? {
            State::Pending | State::Granted => return Ok(None),
            State::Spent if row.settled_at.is_none() => return Ok(None),
            State::Spent => match spent_by(row).filter(|_| recent) {
                Some(call_id) => Unmet::Answered(call_id),
                None => Refusal::not_found(&row.id).into(),
            },
            State::Refused => words::denied(self.words_of(&row.id, State::Refused).await?.as_deref()).into(),
            State::Expired => words::expired(row.granted_at.is_some()).into(),
            State::Cancelled => words::withdrawn().into(),
            State::Unknown => words::unknown().into(),
        }))
    }

    async fn words_of(&self, id: &str, of: State) -> Result<Option<String>, StoreError> {
        let mut tx = self.rows.read().await?;
        let events = tx.events_of(id).await?;
        tx.commit().await?;
        let event = events.into_iter().rfind(|event| event.word == of.as_str());
        Ok(event.and_then(|event| event.words))
    }

    /// Where people see a request.
    pub(super) fn page(&self, id: &str) -> Option<String> {
        let mut url = self.url.clone()?;
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .push("approvals")
            .push(id);
        Some(url.to_string())
    }

    pub(super) fn pending(&self, row: &ApprovalRow, note: String) -> Pending {
        Pending {
            id: ApprovalId(row.id.clone()),
            url: self.page(&row.id),
            expires_at: Timestamp(row.execute_by.unwrap_or(row.decide_by)).rfc3339(),
            note,
        }
    }

    /// What has to be done now and then: silence becomes refusal, what other processes left is settled,
    /// the journal gets what it does not have, and old requests go.
    pub(super) async fn tick(&self) -> Result<Vec<ApprovalId>, StoreError> {
        let now = self.now();
        let mut tx = self.rows.read().await?;
        let overdue = tx.overdue(now).await?;
        tx.commit().await?;
        for row in overdue {
            self.expired(&row.id).await?;
        }
        self.leave_ended().await?;
        self.escalate().await?;
        self.end_grants().await?;
        let unknown = self.reconcile().await?;
        if self.record(None).await.is_err() {
            tracing::error!("approvals: the journal cannot be written; decisions wait");
        }
        Ok(unknown)
    }

    /// See [`super::Approvals::unattended_due`].
    pub(super) async fn unattended_due(&self) -> Result<Vec<Arrival>, StoreError> {
        let before = self.now().saturating_sub(millis(ATTENDED));
        let mut tx = self.rows.read().await?;
        let rows = tx.unattended(before).await?;
        tx.commit().await?;
        let mut due = Vec::new();
        for row in rows {
            if !self.may_try(&row) {
                continue;
            }
            let Some(sealed) = readable(Sealed::read(&row))?.flatten() else {
                continue;
            };
            let mut random = [0; 10];
            self.world.random(&mut random);
            let call_id = CallId::new(self.now(), &random);
            // Where policy by now permits it without an approval, its request is over with this one run.
            self.resumed().insert(call_id.clone(), ApprovalId(row.id.clone()));
            due.push(Arrival {
                call_id,
                principal: sealed.principal(&row),
                transport: sealed.transport(),
                tool: row.tool,
                arguments: sealed.arguments,
                cancel: CancellationToken::new(),
                hold: Some(Duration::ZERO),
            });
        }
        Ok(due)
    }

    /// A call that was refused before it could spend is not tried again at once.
    fn may_try(&self, row: &ApprovalRow) -> bool {
        let now = self.now();
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.retain(|_, at| now.saturating_sub(*at) < millis(TRIED));
        if is_over(row, now) || tried.contains_key(&row.id) {
            return false;
        }
        tried.insert(row.id.clone(), now);
        true
    }

    /// Removes what became final long ago.
    pub(super) async fn prune(&self) -> Result<u64, StoreError> {
        let mut tx = self.rows.write().await?;
        let before = self.now().saturating_sub(millis(KEPT));
        tx.prune_grants(before).await?;
        let gone = tx.prune(before).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

/// Whether the time of an open request is over: at the deadline itself it is.
pub(super) fn is_over(row: &ApprovalRow, now: u64) -> bool {
    match State::parse(&row.state) {
        Some(State::Pending) => row.decide_by <= now,
        Some(State::Granted) => row.execute_by.is_none_or(|by| by <= now),
        _ => false,
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a caller reads when the store fails.
pub(super) fn failed(error: StoreError) -> Unmet {
    words::unrecorded().detail(error.to_string()).into()
}
