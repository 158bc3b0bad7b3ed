//! What is counted of calls and requests, for those who watch the server.
//!
//! Counts are this process's own and begin with it: what several replicas count is added up by whoever reads
//! them. Names in labels are of the configuration, or constants of ours; nothing a caller chose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;

use crate::approval::{Event, Ledger, Unrecorded};
use crate::mask::Masked;

/// Upper bounds of the buckets of the time to a decision, in seconds.
pub const DECIDED_WITHIN: [u64; 9] = [2, 10, 30, 60, 300, 900, 1_800, 3_600, 14_400];
/// Most pairs of labels of one count; what comes beyond is counted under `other`.
const PAIRS: usize = 4_096;
/// Where a call of a tool is counted that does not exist for its caller.
const NO_TOOL: &str = "none";

/// A count by two labels.
pub type Pairs = BTreeMap<(String, String), u64>;

/// How long decisions took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many took at most [`DECIDED_WITHIN`] so long; the last entry has all of them.
    pub within: [u64; DECIDED_WITHIN.len() + 1],
    /// All of them together, in milliseconds.
    pub total: u64,
}

impl Waits {
    fn count(&mut self, waited: Duration) {
        let bounds = DECIDED_WITHIN.iter().map(|bound| Duration::from_secs(*bound));
        for (count, bound) in self.within.iter_mut().zip(bounds.chain([Duration::MAX])) {
            *count += u64::from(waited <= bound);
        }
        let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        self.total = self.total.saturating_add(waited);
    }
}

#[derive(Debug, Default)]
struct Counts {
    calls: Mutex<Pairs>,
    turned_away: AtomicU64,
    transitions: Mutex<Pairs>,
    decided: Mutex<BTreeMap<String, Waits>>,
}

/// The counts of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

impl Meter {
    /// A call of this tool, which is none where nobody has a tool of that name, was answered; of a tool that does not
    /// exist for its caller, nothing was.
    pub fn answered(&self, tool: Option<&str>, answer: Option<&Masked>) {
        let said = |place: &str| answer.and_then(|answer| answer.head().pointer(place)?.as_str());
        let outcome = said("/refusal/code").or_else(|| said("/status"));
        match answer {
            Some(_) => one_more(&self.0.calls, tool.unwrap_or(NO_TOOL), outcome.unwrap_or("ok")),
            None => one_more(&self.0.calls, NO_TOOL, "unknown_tool"),
        }
    }

    /// A credential was not accepted.
    pub fn turned_away(&self) {
        self.0.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// A request went on.
    fn went_on(&self, event: &Event) {
        for rule in &event.rules {
            one_more(&self.0.transitions, rule, &event.event);
        }
        // Granted in other words is granted without asking: under a grant, or by broken glass.
        let by_people = match event.event.as_str() {
            "granted" => event.words.is_none(),
            word => word == "refused",
        };
        let (true, Some(waited)) = (by_people, event.waited) else {
            return;
        };
        let mut decided = self.0.decided.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in &event.rules {
            if decided.len() < PAIRS || decided.contains_key(rule) {
                decided.entry(rule.clone()).or_default().count(waited);
            }
        }
    }

    /// Calls by tool and outcome: `ok`, `approval_pending`, or the code of the refusal.
    #[must_use]
    pub fn calls(&self) -> Pairs {
        self.0
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Credentials that were not accepted.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.0.turned_away.load(Ordering::Relaxed)
    }

    /// Transitions of requests by policy and word; a request that several policies ask for counts for each.
    #[must_use]
    pub fn transitions(&self) -> Pairs {
        let transitions = self.0.transitions.lock();
        transitions.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long people took from being asked to the decision, by policy.
    #[must_use]
    pub fn decided(&self) -> BTreeMap<String, Waits> {
        self.0
            .decided
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn one_more(pairs: &Mutex<Pairs>, one: &str, other: &str) {
    let mut pairs = pairs.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (one.to_owned(), other.to_owned());
    let key = match pairs.len() < PAIRS || pairs.contains_key(&key) {
        true => key,
        false => ("other".to_owned(), "other".to_owned()),
    };
    let count = pairs.entry(key).or_default();
    *count = count.saturating_add(1);
}

/// A ledger that counts what is on record.
pub struct Metered {
    /// Where it goes on record.
    pub ledger: Arc<dyn Ledger>,
    /// Where it is counted.
    pub meter: Meter,
}

impl Ledger for Metered {
    fn record<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async move {
            self.ledger.record(event).await?;
            self.meter.went_on(event);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_counts_in_every_bucket_that_holds_it() {
        let mut waits = Waits::default();
        waits.count(Duration::from_secs(10));
        waits.count(Duration::from_millis(10_001));
        waits.count(Duration::from_secs(1_000_000));
        assert_eq!(waits.within, [0, 1, 2, 2, 2, 2, 2, 2, 2, 3]);
        assert_eq!(waits.total, 10_000 + 10_001 + 1_000_000_000);
    }

    #[test]
    fn a_call_refused_before_its_tool_was_looked_for_names_none() {
        let (meter, mask) = (Meter::default(), crate::mask::Mask::new());
        let refusal = crate::call::Refusal::cancelled();
        let answer = mask.refusal(&crate::call::CallId::new(0, &[0; 10]), &refusal);
        meter.answered(None, Some(&answer));
        let told = ("none".to_owned(), "cancelled".to_owned());
        assert_eq!(meter.calls(), Pairs::from([(told, 1)]));
    }

    #[test]
    fn labels_are_bounded() {
        let meter = Meter::default();
        for tool in 0..PAIRS + 10 {
            one_more(&meter.0.calls, &format!("tool-{tool}"), "ok");
        }
        let calls = meter.calls();
        assert_eq!(calls.len(), PAIRS + 1);
        assert_eq!(calls[&("other".to_owned(), "other".to_owned())], 10);
    }
}
