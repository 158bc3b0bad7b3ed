//! What this process holds for each session, so that it can be let go of when the session ends.
//!
//! Every exchange enters here after its credential was accepted, and stays until its last byte and its last
//! call. The end of a session fires once for all of them. Ids of ended sessions are remembered: whoever was
//! admitted just before the end finds it here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::call::Principal;
use crate::recent::Recent;
use crate::transport::Door;

/// Half of the ended sessions remembered; a credential outlives its session in no cache for so long.
const HALF: usize = 16_384;

/// The sessions something is held for.
pub(super) struct Lives {
    door: Arc<dyn Door>,
    all: Mutex<All>,
}

struct All {
    open: HashMap<String, Open>,
    ended: Recent<String, ()>,
}

struct Open {
    principal: Principal,
    end: CancellationToken,
    users: usize,
}

/// A session that something is held for, until it is dropped.
pub(in crate::transport) struct Alive {
    lives: Option<Arc<Lives>>,
    session: String,
    end: CancellationToken,
}

impl Alive {
    /// Fires when the session ends.
    pub(in crate::transport) fn end(&self) -> &CancellationToken {
        &self.end
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(lives) = &self.lives {
            lives.leave(self);
        }
    }
}

impl Lives {
    pub(super) fn new(door: Arc<dyn Door>) -> Self {
        let all = All {
            open: HashMap::new(),
            ended: Recent::new(HALF),
        };
        Self {
            door,
            all: Mutex::new(all),
        }
    }

    /// Something is held for this principal's session from now on; `None` when it has ended.
    pub(super) fn enter(self: &Arc<Self>, principal: &Principal) -> Option<Alive> {
        let session = principal.session.id.clone();
        let mut all = self.lock();
        if all.ended.get(&session).is_some() {
            return None;
        }
        let open = all.open.entry(session.clone()).or_insert_with(|| Open {
            principal: principal.clone(),
            end: CancellationToken::new(),
            users: 0,
        });
        open.users += 1;
        Some(Alive {
            lives: Some(Arc::clone(self)),
            session,
            end: open.end.clone(),
        })
    }

    /// The session has ended: for everybody who is in it, and for who comes late.
    pub(super) fn end(&self, session: &str) {
        self.lock().ended.put(session.to_owned(), ());
        if !self.cut(session) {
            self.door.forget(session);
        }
    }

    /// The session does not stand now, for whatever reason: whoever is in it is let go of. Gives whether
    /// somebody was.
    pub(super) fn cut(&self, session: &str) -> bool {
        let all = self.lock();
        let open = all.open.get(session);
        if let Some(open) = open {
            open.end.cancel();
        }
        open.is_some()
    }

    /// Somebody of each session that something is held for.
    pub(super) fn open(&self) -> Vec<Principal> {
        let all = self.lock();
        let open = all.open.values().filter(|open| !open.end.is_cancelled());
        open.map(|open| open.principal.clone()).collect()
    }

    fn leave(&self, alive: &Alive) {
        let mut all = self.lock();
        let Some(open) = all.open.get_mut(&alive.session) else {
            return;
        };
        open.users = open.users.saturating_sub(1);
        if open.users > 0 {
            return;
        }
        all.open.remove(&alive.session);
        if all.ended.get(&alive.session).is_some() {
            drop(all);
            self.door.forget(&alive.session); // nothing can be decided in it any more
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
