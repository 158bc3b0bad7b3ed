//! How fast Slack is spoken to: it takes about one message a second and channel, a few at once, and says with 429 and
//! `Retry-After` for how long it wants to hear no more of a kind. What it said is remembered for every request of that
//! kind, whoever makes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Messages in a channel follow each other at this distance, in milliseconds,
const EACH: u64 = 1_000;
/// but for so many that may come at once.
const AT_ONCE: u64 = 4;
/// Places that are remembered at most; then those whose turn has long passed are forgotten.
const PLACES: usize = 1_000;

/// What one process has sent where, on its own clock.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Place → when all that was sent there is worked off, in milliseconds.
    sent: Mutex<BTreeMap<String, u64>>,
    /// Kind of request → until when it is not made.
    closed: Mutex<BTreeMap<String, Duration>>,
}

impl Pace {
    /// Takes the next turn in a place, if it is now; otherwise after how long to ask again.
    pub(super) fn turn(&self, place: &str, now: Duration) -> Option<Duration> {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= PLACES {
            sent.retain(|_, until| *until > now);
        }
        let until = sent.get(place).copied().unwrap_or(0).max(now);
        let most = EACH * (AT_ONCE - 1);
        let ahead = until - now;
        if ahead > most {
            return Some(Duration::from_millis(ahead - most));
        }
        sent.insert(place.to_owned(), until.saturating_add(EACH));
        None
    }

    /// Slack wants to be left alone with this kind for so long.
    pub(super) fn close(&self, kind: &str, now: Duration, wait: Duration) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.retain(|_, until| *until > now);
        let until = closed.entry(kind.to_owned()).or_default();
        *until = (*until).max(now.saturating_add(wait));
    }

    /// For how long it still wants that.
    pub(super) fn closed(&self, kind: &str, now: Duration) -> Option<Duration> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = closed.get(kind)?.checked_sub(now)?;
        (!left.is_zero()).then_some(left)
    }
}

/// What a limit of Slack's is about: messages by their channel, everything else by its method.
pub(super) fn kind(method: &str, channel: Option<&str>) -> String {
    match (method, channel) {
        ("chat.postMessage", Some(channel)) => format!("{method} {channel}"),
        _ => method.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_few_at_once_and_then_one_a_second_in_each_place() {
        let pace = Pace::default();
        for _ in 0..4 {
            assert_eq!(pace.turn("C1", ms(0)), None);
        }
        assert_eq!(pace.turn("C1", ms(0)), Some(ms(1_000)));
        assert_eq!(pace.turn("C1", ms(400)), Some(ms(600)));
        assert_eq!(pace.turn("C2", ms(400)), None, "another place has its own");
        assert_eq!(pace.turn("C1", ms(1_000)), None);
        assert_eq!(pace.turn("C1", ms(1_000)), Some(ms(1_000)));
        for _ in 0..4 {
            assert_eq!(pace.turn("C1", ms(60_000)), None, "rest is not saved up");
        }
        assert!(pace.turn("C1", ms(60_000)).is_some());
    }

    #[test]
    fn what_slack_wants_to_hear_no_more_of_is_not_sent_until_then() {
        let pace = Pace::default();
        let (here, there) = (
            kind("chat.postMessage", Some("C1")),
            kind("chat.postMessage", Some("C2")),
        );
        pace.close(&here, ms(100), ms(5_000));
        pace.close(&here, ms(200), ms(1_000)); // a shorter word does not take back a longer one
        assert_eq!(pace.closed(&here, ms(300)), Some(ms(4_800)));
        assert_eq!(pace.closed(&there, ms(300)), None);
        assert_eq!(pace.closed(&here, ms(5_100)), None);
        assert_eq!(kind("users.info", Some("C1")), kind("users.info", None));
    }

    #[test]
    fn places_are_forgotten() {
        let pace = Pace::default();
        for place in 0..3 * PLACES as u64 {
            assert_eq!(pace.turn(&place.to_string(), ms(2_000 * place)), None);
        }
        assert!(pace.sent.lock().unwrap().len() <= PLACES);
    }
}
