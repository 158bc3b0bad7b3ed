//! Which stretch of work a call belongs to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::claims::Admitted;
use super::recent::Recent;
use crate::call::{Hash, hex};
use crate::clock::World;

/// A session without an issuer's name for it ends after this long without a call.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// Half of the sessions remembered: as many as there are labels for, because a session that is
/// forgotten begins again with clean ones.
const HALF: usize = super::reading::HALF;

/// Sessions of bearer tokens that carry no `sid`, by (issuer, subject, client).
#[derive(Debug)]
pub(super) struct Sessions {
    open: Mutex<Recent<(String, String, String), Open>>,
    world: Arc<dyn World>,
}

#[derive(Debug)]
struct Open {
    id: String,
    last_used: Duration,
}

impl Sessions {
    pub(super) fn new(world: Arc<dyn World>) -> Self {
        Self {
            open: Mutex::new(Recent::new(HALF)),
            world,
        }
    }

    /// The session's id, 32 characters of `[a-z0-9]`. With a `sid` it is derived from it, so every
    /// replica and every start of Tollgate gives the same one; else it is random, and ends after 30
    /// idle minutes.
    pub(super) fn of(&self, who: &Admitted) -> String {
        if let Some(sid) = &who.sid {
            let hash = Hash::of_json(&json!(["session", who.user.issuer, who.user.subject, sid]));
            return hash.hex().chars().take(32).collect();
        }
        let now = self.world.monotonic();
        let key = (
            who.user.issuer.clone(),
            who.user.subject.clone(),
            who.agent.client_id.clone(),
        );
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = open.get(&key)
            && now.saturating_sub(session.last_used) < IDLE
        {
            session.last_used = now;
            return session.id.clone();
        }
        let id = fresh_id(self.world.as_ref());
        open.put(
            key,
            Open {
                id: id.clone(),
                last_used: now,
            },
        );
        id
    }
}

/// An unpredictable session id.
pub(super) fn fresh_id(world: &dyn World) -> String {
    let mut bytes = [0; 16];
    world.random(&mut bytes);
    hex(&bytes)
}
