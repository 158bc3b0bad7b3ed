//! What each session has read from: the labels that policies see in `context.session.labels`.
//!
//! Kept in this process: a restart begins with clean sessions, as it does for sessions without a
//! `sid`, and several replicas do not share them yet.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::recent::Recent;
use crate::call::Session;

/// Half of the sessions remembered: far more than are open, because forgetting one widens rights.
pub(super) const HALF: usize = 32_768;

/// Labels by session id; they only ever grow.
#[derive(Debug)]
pub(super) struct Reading(Mutex<Recent<String, BTreeSet<String>>>);

impl Reading {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Recent::new(HALF)))
    }

    /// Forgets a session.
    pub(super) fn forget(&self, session: &str) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&session.to_owned());
    }

    /// Adds what is known of the session to its labels.
    pub(super) fn recall(&self, session: &mut Session) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(labels) = sessions.get(&session.id) {
            session.labels.extend(labels.iter().cloned());
        }
    }

    /// Notes that the session is about to read from something with these labels, unless it has read
    /// from something that `session` does not know of yet: then nothing is noted and the answer is no.
    pub(super) fn note(&self, session: &Session, labels: &BTreeSet<String>) -> bool {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sessions.get(&session.id) {
            Some(known) if !known.is_subset(&session.labels) => false,
            Some(known) => {
                known.extend(labels.iter().cloned());
                true
            }
            None if labels.is_empty() && session.labels.is_empty() => true,
            None => {
                sessions.put(session.id.clone(), labels | &session.labels);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_session_only_grow_and_stay_with_it() {
        let reading = Reading::new();
        let session = |id: &str| Session {
            id: id.to_owned(),
            labels: BTreeSet::new(),
        };
        let labels = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let (mut a, mut b) = (session("a"), session("b"));
        assert!(reading.note(&a, &labels(&["pii"])));
        reading.recall(&mut a);
        assert!(reading.note(&a, &labels(&["prod"])));
        reading.recall(&mut a);
        reading.recall(&mut b);
        assert_eq!(a.labels, labels(&["pii", "prod"]));
        assert!(b.labels.is_empty());
        let behind = session("a");
        assert!(!reading.note(&behind, &labels(&["web"])), "decided without `pii`");
        assert!(!reading.note(&behind, &labels(&[])));
        reading.recall(&mut a);
        assert!(!a.labels.contains("web"), "what did not happen is not noted");
    }
}
