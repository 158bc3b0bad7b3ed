//! What becomes of requests, as messages: one per request and channel, updated in place, with what happened in its
//! thread. Each channel has a worker of its own, so that none waits for another, and looks at two things in turn: which
//! requests have no message there yet (the store's word, so a restart or a dead process forgets none, and each stays
//! owed while it waits), and which transitions were not told (`Events`). Of several processes the one that leased a
//! message writes it. Everything keeps Slack's pace (`pace`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::api::Fault;
use super::routes::Due;
use super::threads::{self, LOUD};
use super::{Slack, card, linking};
use crate::approval::review::{Posting, State};
use crate::approval::{Event, Events};
use crate::call::ApprovalId;
use crate::store::StoreError;
use crate::store::approvals::Delivery;
use crate::store::slack::CardRow;

/// How often there is a look for something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Transitions of one look at one channel.
const AT_ONCE: u32 = 20;
/// Requests without a message that are known of at once, and how many of them are read in one look.
const WITHOUT: u32 = 4_096;
const READ: usize = 64;
/// For how long it is remembered that a request does not belong in a channel, in milliseconds: policy may put it there
/// later, and another process may be the one that hears of it.
const ELSEWHERE: u64 = 60_000;
/// For how long a request that cannot be read is set aside, in milliseconds.
const ASIDE: u64 = 10_000;
/// How long one process has a message to itself, in milliseconds: longer than all its requests may take.
const LEASE: u64 = 40_000;
/// How long one process has a notice to itself: as long.
pub(super) const CLAIM: Duration = Duration::from_millis(LEASE);
/// Attempts after which what Slack refuses is given up, where its request is over.
const ATTEMPTS: u32 = 8;
/// The first wait after a failure, and the longest, in milliseconds.
const FIRST_WAIT: u64 = 2_000;
const LONGEST_WAIT: u64 = 120_000;
/// So many requests in a row that failed for no reason of theirs: Slack is away, and left alone for at most so long.
const AWAY: u32 = 3;
const LONGEST_AWAY: u64 = 30_000;
/// What Slack says of a message that has more in it than it takes: less of it is tried at once.
const TOO_LONG: &[&str] = &[
    "msg_blocks_too_long",
    "msg_too_long",
    "invalid_blocks",
    "invalid_blocks_format",
];

/// Tells everything there is and will be, until `stop` fires.
pub(super) async fn run(slack: &Slack, stop: &CancellationToken) {
    let channels = slack.spec.channels().into_iter();
    let workers = join_all(channels.map(|channel| Worker::of(slack, channel).run(stop)));
    tokio::join!(
        workers,
        threads::tell_requesters(slack, stop),
        linking::remind(slack, stop)
    );
}

/// What a look gave: whether there may be more to do at once.
pub(super) fn more(looked: Result<bool, StoreError>) -> bool {
    looked.unwrap_or_else(|error| {
        tracing::error!("Slack: {error}");
        false
    })
}

/// Waits for the next look. Gives whether there is one.
pub(super) async fn next(slack: &Slack, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(LOOK_EVERY) => true,
        () = slack.nudge.notified() => true,
    }
}

/// Who looks after one channel.
struct Worker<'a> {
    slack: &'a Slack,
    channel: &'a str,
    /// What it is called in the store.
    name: String,
    is_open: bool,
    /// Requests without a message here: whether they belong here, and until when that is so.
    known: HashMap<String, (Due, u64)>,
    /// Requests that cannot be read, and were said to be so.
    unreadable: HashSet<String>,
    /// Until when the channel is left alone, because Slack was away or says it is too much.
    quiet: u64,
    failures: u32,
}

impl<'a> Worker<'a> {
    fn of(slack: &'a Slack, channel: &'a str) -> Self {
        Self {
            slack,
            channel,
            name: format!("slack {channel}"),
            is_open: false,
            known: HashMap::new(),
            unreadable: HashSet::new(),
            quiet: 0,
            failures: 0,
        }
    }

    async fn run(mut self, stop: &CancellationToken) {
        loop {
            let more = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => more(looked),
            };
            if !more && !next(self.slack, stop).await {
                return;
            }
        }
    }

    /// Tells of one transition and shows one request, in this order: an alarm waits for nothing that is new, and what became
    /// of requests goes in turn with it. Gives whether there may be more to do at once.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let Some(events) = self.slack.parts.approvals.events() else {
            return Ok(false);
        };
        if !self.is_open {
            events.open(&self.name).await?;
            self.is_open = true;
        }
        let told = !self.is_quiet() && self.tell(events).await?;
        let shown = !self.is_quiet() && self.show_one(events).await?;
        Ok(!self.is_quiet() && (shown || told))
    }

    fn is_quiet(&self) -> bool {
        self.slack.world.now().0 < self.quiet
    }

    /// What an answer of Slack's says about the channel.
    fn fared(&mut self, fault: Option<&Fault>) {
        let now = self.slack.world.now().0;
        match fault {
            Some(Fault::Later { wait: Some(wait), .. }) => {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.quiet = now.saturating_add(wait);
            }
            Some(Fault::Later { wait: None, .. }) => {
                self.failures = self.failures.saturating_add(1);
                if let Some(more) = self.failures.checked_sub(AWAY) {
                    let wait = FIRST_WAIT.saturating_mul(1 << more.min(8)).min(LONGEST_AWAY);
                    self.quiet = now.saturating_add(wait);
                }
            }
            Some(Fault::No(_)) | None => self.failures = 0,
        }
    }

    /// Shows the request that needs it most: what nobody decided in time elsewhere, before what is new. Gives whether there
    /// was one.
    async fn show_one(&mut self, events: Events<'_>) -> Result<bool, StoreError> {
        let now = self.slack.world.now().0;
        let mut tx = self.slack.parts.rows.read().await?;
        let ids = tx.without_card(self.channel, now, WITHOUT).await?;
        tx.commit().await?;
        let there: HashSet<&String> = ids.iter().collect();
        self.known
            .retain(|id, (_, until)| there.contains(id) && *until > now);
        let new: Vec<&String> = ids.iter().filter(|id| !self.known.contains_key(*id)).collect();
        for id in new.into_iter().take(READ) {
            let posting = match events.posting(&ApprovalId(id.clone())).await {
                Ok(posting) => posting,
                Err(error) => {
                    self.unreadable(id, error)?;
                    continue;
                }
            };
            if let Some(posting) = posting {
                let due = self.slack.spec.due(&posting, self.channel);
                let until = match due {
                    Due::Never => now.saturating_add(ELSEWHERE),
                    Due::Here | Due::Escalated(_) => u64::MAX,
                };
                self.known.insert(id.clone(), (due, until));
            }
        }
        let is_due = |id: &&String| match self.known.get(*id) {
            Some((Due::Escalated(at), _)) => (*at <= now).then_some(0),
            Some((Due::Here, _)) => Some(1),
            _ => None,
        };
        let first = ids.iter().filter_map(|id| Some((is_due(&id)?, id)));
        let Some((_, id)) = first.min_by_key(|(rank, _)| *rank) else {
            return Ok(false);
        };
        self.put(events, &ApprovalId(id.clone())).await
    }

    /// Sets one request aside that cannot be read, for a while, and says so once: the others are shown and told of. What says
    /// something of the store is handed back.
    fn unreadable(&mut self, id: &str, error: StoreError) -> Result<(), StoreError> {
        if !error.is_of_a_row() {
            return Err(error);
        }
        let later = self.slack.world.now().0.saturating_add(ASIDE);
        self.known.insert(id.to_owned(), (Due::Never, later));
        if self.unreadable.len() >= WITHOUT as usize {
            self.unreadable.clear();
        }
        if self.unreadable.insert(id.to_owned()) {
            tracing::error!(channel = self.channel, "a request is set aside: {error}");
        }
        Ok(())
    }

    /// Shows a request that has no message here. Gives whether that was tried. Where it fails it stays owed.
    async fn put(&mut self, events: Events<'_>, id: &ApprovalId) -> Result<bool, StoreError> {
        let slack = self.slack;
        slack.api.turn(self.channel).await; // before the lease: the wait is none of it
        let posting = match events.posting(id).await {
            Ok(posting) => posting,
            Err(error) => return self.unreadable(&id.0, error).map(|()| true),
        };
        let Some(posting) = posting else {
            // Something of it is not on record yet, or never will be: others come first meanwhile.
            let later = slack.world.now().0.saturating_add(FIRST_WAIT);
            self.known.insert(id.0.clone(), (Due::Never, later));
            return Ok(true);
        };
        if posting.state != State::Pending {
            return Ok(false);
        }
        let Some(mut row) = lease(slack, id, self.channel).await? else {
            return Ok(false); // another process is at it
        };
        if row.ts.is_some() {
            keep(slack, &row).await?;
            return Ok(true); // another process was
        }
        let said = show(slack, &mut row, &posting).await;
        self.fared(said.as_ref().err());
        match said {
            Ok(()) => {
                if !keep(slack, &row).await? {
                    withdraw(slack, &row).await;
                }
            }
            Err(fault) => {
                tracing::warn!(channel = self.channel, "a request is not shown yet: {fault}");
                let next = wait(slack, &fault, row.attempts.saturating_add(1));
                let mut tx = slack.parts.rows.write().await?;
                tx.owe_card(&row, next, &fault.to_string()).await?;
                tx.commit().await?;
            }
        }
        Ok(true)
    }

    /// Tells of transitions: what everybody has to hear first, then what became of what is shown. Gives whether there may
    /// be more.
    async fn tell(&mut self, events: Events<'_>) -> Result<bool, StoreError> {
        let mut done = 0;
        for (event, before) in events.urgent_first(&self.name, AT_ONCE).await? {
            let posting = match events.posting(&event.approval).await {
                Ok(Some(posting)) => Ok(posting),
                Ok(None) => continue, // not on record yet; or gone, and its events with it
                Err(error) => Err(self.unreadable(&event.approval.0, error)?),
            };
            if !events.claim(&self.name, event.seq, CLAIM).await? {
                continue; // another process tells of it: twice is one alarm too many
            }
            let Ok(posting) = posting else {
                let how = after(self.slack, Some(&unread()), before + 1, true);
                events.mark(&self.name, event.seq, &how).await?;
                continue;
            };
            let fared = match self.deliver(&event, &posting).await? {
                Told::Busy => {
                    events.unclaim(&self.name, event.seq).await?;
                    continue; // another process is at its message
                }
                Told::Nothing => {
                    done += 1;
                    events.mark(&self.name, event.seq, &Delivery::Passed).await?;
                    continue;
                }
                Told::Tried(fared) => fared,
            };
            self.fared(fared.as_ref().err());
            let is_open = matches!(posting.state, State::Pending | State::Granted);
            let how = after(self.slack, fared.as_ref().err(), before + 1, is_open);
            if let Delivery::Dead { error } = &how {
                tracing::warn!(
                    channel = self.channel,
                    seq = event.seq,
                    error,
                    "a message is given up"
                );
            }
            events.mark(&self.name, event.seq, &how).await?;
            return Ok(true); // in turn with what is not shown yet
        }
        Ok(done == AT_ONCE)
    }

    /// Makes the message of a request show what is now, and tells in its thread what happened.
    async fn deliver(&mut self, event: &Event, posting: &Posting) -> Result<Told, StoreError> {
        let slack = self.slack;
        let mut tx = slack.parts.rows.read().await?;
        let has = tx.card_of(&event.approval.0, self.channel).await?;
        tx.commit().await?;
        if has.is_none() {
            // Not shown here: it may belong here by now, and is shown as it is then.
            self.known.remove(&event.approval.0);
            if event.event != LOUD {
                return Ok(Told::Nothing);
            }
            return Ok(Told::Tried(
                threads::alarm(slack, self.channel, event, posting).await,
            ));
        }
        let Some(mut row) = lease(slack, &posting.id, self.channel).await? else {
            return Ok(Told::Busy);
        };
        let shown = show(slack, &mut row, posting).await;
        keep(slack, &row).await?;
        if shown.is_ok()
            && let (Some(ts), Some(line)) = (&row.ts, threads::line(slack, event))
        {
            let loud = event.event == LOUD;
            return Ok(Told::Tried(
                threads::thread(slack, self.channel, ts, (&line, loud)).await,
            ));
        }
        Ok(Told::Tried(shown))
    }
}

/// What came of telling.
enum Told {
    /// There was nothing to tell here.
    Nothing,
    /// Somebody else is at it.
    Busy,
    /// Slack was asked, or knew already.
    Tried(Result<(), Fault>),
}

/// What becomes of a notice. While its request is open nothing of it is given up.
pub(super) fn after(slack: &Slack, fault: Option<&Fault>, attempts: u32, is_open: bool) -> Delivery {
    match fault {
        None => Delivery::Delivered,
        Some(fault @ Fault::No(_)) if attempts >= ATTEMPTS && !is_open => Delivery::Dead {
            error: fault.to_string(),
        },
        Some(fault) => Delivery::Failed {
            next_at: wait(slack, fault, attempts),
            error: fault.to_string(),
        },
    }
}

/// What keeps a notice of a request back that cannot be read: it is tried again like everything else, so that it is told
/// once somebody has mended the store.
pub(super) fn unread() -> Fault {
    Fault::Later {
        why: "its request cannot be read from the store".to_owned(),
        wait: None,
    }
}

/// When to try again what failed for the `attempts`-th time (Unix milliseconds): later each time, and never before Slack
/// wants to.
fn wait(slack: &Slack, fault: &Fault, attempts: u32) -> u64 {
    let doubled = FIRST_WAIT.saturating_mul(1_u64 << attempts.saturating_sub(1).min(16));
    let whole = doubled.min(LONGEST_WAIT);
    let own = whole / 2 + whole / 2 * u64::from(slack.dice()) / u64::from(u16::MAX);
    let asked = match fault {
        Fault::Later { wait: Some(wait), .. } => u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        _ => 0,
    };
    slack.world.now().0.saturating_add(own.max(asked))
}

async fn lease(slack: &Slack, id: &ApprovalId, channel: &str) -> Result<Option<CardRow>, StoreError> {
    let now = slack.world.now().0;
    let mut tx = slack.parts.rows.write().await?;
    let row = tx
        .lease_card((&id.0, channel), (now, now.saturating_add(LEASE)))
        .await?;
    tx.commit().await?;
    Ok(row)
}

async fn keep(slack: &Slack, row: &CardRow) -> Result<bool, StoreError> {
    let mut tx = slack.parts.rows.write().await?;
    let kept = tx.keep_card(row).await?;
    tx.commit().await?;
    Ok(kept)
}

/// Takes a message back that this process made too late: another one, which had the lease by then, made the one that counts.
async fn withdraw(slack: &Slack, row: &CardRow) {
    tracing::warn!(
        channel = row.channel,
        "a message came too late, and is taken back"
    );
    let body = json!({"channel": row.channel, "ts": row.ts});
    if let Err(fault) = slack.api.call("chat.delete", &body).await {
        tracing::warn!(
            channel = row.channel,
            "a second message of a request stays: {fault}"
        );
    }
}

/// The message itself: made, or made to show what is now.
async fn show(slack: &Slack, row: &mut CardRow, posting: &Posting) -> Result<(), Fault> {
    if row.ts.is_some() && row.shown >= posting.latest {
        return Ok(());
    }
    let mask = |words: &str| (slack.parts.mask)(words);
    let called = slack.spec.called(posting, &row.channel, slack.world.now().0);
    let called: Vec<&str> = called.into_iter().collect();
    let mut message = card::message(posting, &mask, &called);
    let mut said = send(slack, row, &message).await;
    if let Err(Fault::No(word)) = &said
        && TOO_LONG.contains(&word.as_str())
    {
        tracing::warn!(
            channel = row.channel,
            "Slack says {word}: less of a request is shown"
        );
        message = card::narrow(posting, &mask, &called);
        said = send(slack, row, &message).await;
    }
    if said == Err(Fault::No("message_not_found".to_owned())) {
        row.ts = None; // somebody deleted it: while the request waits, another is owed
        return Ok(());
    }
    let said = said?;
    if row.ts.is_none() {
        let ts = said.get("ts").and_then(Value::as_str).filter(|ts| is_ts(ts));
        let ts = ts.ok_or_else(|| Fault::Later {
            why: "an answer that is none".to_owned(),
            wait: None,
        })?;
        row.ts = Some(ts.to_owned());
    }
    row.decides = message.decides;
    row.shown = posting.latest;
    Ok(())
}

/// Makes or changes the message.
async fn send(slack: &Slack, row: &CardRow, message: &card::Message) -> Result<Value, Fault> {
    let mut body = json!({
        "channel": row.channel, "blocks": message.blocks, "text": message.text,
        "parse": "none", "link_names": false,
    });
    let (method, more) = match &row.ts {
        Some(ts) => ("chat.update", json!({"ts": ts})),
        None => (
            "chat.postMessage",
            json!({"unfurl_links": false, "unfurl_media": false}),
        ),
    };
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    slack.api.call(method, &body).await
}

/// What Slack calls a message: digits and a point.
pub(super) fn is_ts(text: &str) -> bool {
    (3..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
