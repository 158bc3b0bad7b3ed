//! Which assertions were used, for as long as they could be used again.
//!
//! The first defence is the sign-in itself: it is answered once, on all replicas, and an assertion names
//! the one request it answers. This is the second, of this process.

use std::collections::HashMap;

use super::super::provider::SignInError;
use super::super::rejection::Reason;
use crate::call::Hash;

/// The most that are remembered. Only the provider's signature adds one, so nobody fills it from outside.
const MOST: usize = 16_384;

/// Assertions by the hash of their id, with the second from which on they are expired anyway.
#[derive(Debug, Default)]
pub(super) struct Replays {
    used: HashMap<Hash, u64>,
}

impl Replays {
    /// Notes an assertion that was verified and ends at `until`. Both times in seconds since the epoch.
    ///
    /// # Errors
    /// It was used before, or too many were.
    pub(super) fn first(&mut self, id: &str, until: u64, now: u64) -> Result<(), SignInError> {
        if self.used.len() >= MOST {
            self.used.retain(|_, until| *until > now);
        }
        if self.used.len() >= MOST {
            return Err(SignInError::Token(Reason::Unavailable));
        }
        let hash = Hash::of(id.as_bytes());
        match self.used.insert(hash, until) {
            Some(before) if before > now => {
                self.used.insert(hash, before.max(until));
                Err(SignInError::NotBegunHere)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_used_once_while_it_is_valid() {
        let mut replays = Replays::default();
        replays.first("_a", 100, 10).unwrap();
        assert_eq!(replays.first("_a", 50, 20), Err(SignInError::NotBegunHere));
        assert_eq!(replays.first("_a", 50, 99), Err(SignInError::NotBegunHere));
        replays.first("_b", 100, 20).unwrap();
        replays.first("_a", 200, 100).unwrap();
    }

    #[test]
    fn memory_is_bounded_and_full_is_not_open() {
        let mut replays = Replays::default();
        for i in 0..MOST {
            replays.first(&format!("_{i}"), 100, 10).unwrap();
        }
        let full = replays.first("_more", 100, 10);
        assert_eq!(full, Err(SignInError::Token(Reason::Unavailable)));
        replays.first("_more", 200, 100).unwrap();
        assert_eq!(replays.used.len(), 1);
    }
}
