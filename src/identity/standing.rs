//! Until when each caller's newest token is good.

use std::sync::{Mutex, PoisonError};

use super::recent::Recent;
use crate::call::Principal;

/// Half of the callers remembered. One that is forgotten does not stand: they call again.
const HALF: usize = 16_384;

/// Issuer, subject, client, session.
type Key = (String, String, String, String);

/// The newest expiry by caller, in seconds since the epoch.
#[derive(Debug)]
pub(super) struct Standing(Mutex<Recent<Key, u64>>);

impl Default for Standing {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(HALF)))
    }
}

impl Standing {
    /// The caller was admitted by a token that expires then. An older token does not shorten it: the
    /// newer one is in their hands.
    pub(super) fn note(&self, principal: &Principal, expires: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(principal);
        let before = known.get(&key).copied().unwrap_or(0);
        known.put(key, expires.max(before));
    }

    /// Until when the caller's newest token is good.
    pub(super) fn until(&self, principal: &Principal) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(principal)).copied()
    }
}

fn key(principal: &Principal) -> Key {
    (
        principal.user.issuer.clone(),
        principal.user.subject.clone(),
        principal.agent.client_id.clone(),
        principal.session.id.clone(),
    )
}
