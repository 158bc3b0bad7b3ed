//! What a client that asked for progress hears of its running call: that we are there, what the call
//! waits for, and the news of what runs.
//!
//! The call leaves its news here and goes on: a client that does not read delays its own progress and
//! nothing else. Only the newest piece is kept, so what is held does not grow, and the order is the order
//! in which it happened.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::mcp::Pace;
use crate::clock::World;

/// Where a call leaves its news.
#[derive(Debug, Default)]
pub(super) struct News {
    held: Mutex<Held>,
    fresh: Notify,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    newest: Option<String>,
    waits_for: Option<String>,
}

impl News {
    /// A piece of news, already masked and on record. Takes the place of one that has not been sent.
    pub(super) fn tell(&self, text: &str) {
        self.lock().newest = Some(text.to_owned());
        self.fresh.notify_one();
    }

    /// What the call waits for from now on.
    pub(super) fn waits_for(&self, what: Option<&str>) {
        self.lock().waits_for = what.map(str::to_owned);
        self.changed.notify_waiters();
        if what.is_some() {
            self.fresh.notify_one();
        }
    }

    /// Returns once the client has gone while the call waits: what is waited for can be taken up again,
    /// and nobody would hear of it. A call that runs is not left half-way because a connection broke.
    pub(super) async fn left_waiting(&self, gone: &CancellationToken) {
        gone.cancelled().await;
        loop {
            let changed = self.changed.notified();
            if self.lock().waits_for.is_some() {
                return;
            }
            changed.await;
        }
    }

    /// What there is to say after `seconds`: the newest piece once, else what is waited for, else that the
    /// call runs.
    pub(super) fn words(&self, seconds: u64) -> String {
        let mut held = self.lock();
        match (held.newest.take(), &held.waits_for) {
            (Some(newest), _) => newest,
            (None, Some(what)) => format!("waiting for {what}, {seconds} s"),
            (None, None) => format!("still running, {seconds} s"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom to tell, and how often.
pub(super) struct Teller<'a> {
    pub(super) peer: &'a Peer<RoleServer>,
    pub(super) token: ProgressToken,
    pub(super) world: &'a dyn World,
    pub(super) pace: Pace,
}

impl Teller<'_> {
    /// Sends news when there is some, at most one message in [`Pace::news`], and otherwise a sign of life
    /// every [`Pace::progress`], until `done`. A message that was begun is finished first, so that none
    /// comes after the answer.
    pub(super) async fn tell(self, news: &News, done: &CancellationToken) {
        let start = self.world.monotonic();
        let every = self.pace.progress.max(Duration::from_millis(1)); // zero is no interval
        let mut beat = Instant::now() + every;
        let mut not_before = Instant::now();
        let mut count = 0_u32;
        loop {
            let due = async {
                tokio::select! {
                    () = news.fresh.notified() => {}
                    () = tokio::time::sleep_until(beat) => {}
                }
                tokio::time::sleep_until(not_before).await;
            };
            tokio::select! {
                biased;
                () = done.cancelled() => return,
                () = due => count += 1,
            }
            let seconds = self.world.monotonic().saturating_sub(start).as_secs();
            let note = ProgressNotificationParam::new(self.token.clone(), f64::from(count))
                .with_message(news.words(seconds));
            if self.peer.notify_progress(note).await.is_err() {
                return;
            }
            not_before = Instant::now() + self.pace.news;
            beat = Instant::now() + every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_piece_is_told_once_and_then_what_is_waited_for() {
        let news = News::default();
        assert_eq!(news.words(1), "still running, 1 s");
        news.waits_for(Some("approval by 2 dba"));
        assert_eq!(news.words(2), "waiting for approval by 2 dba, 2 s");
        news.tell("one");
        news.tell("two");
        assert_eq!(news.words(3), "two");
        assert_eq!(news.words(4), "waiting for approval by 2 dba, 4 s");
        news.waits_for(None);
        assert_eq!(news.words(5), "still running, 5 s");
    }
}
