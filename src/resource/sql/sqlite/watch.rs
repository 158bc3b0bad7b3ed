//! What ends a running statement: the caller, the clock, or memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::engine;
use crate::clock::World;

/// Instructions of the engine between two looks: a few microseconds.
const STEPS: i32 = 250;
/// What one statement may make the engine allocate, in bytes, beyond what it held before.
pub(super) const MEMORY: i64 = 96 << 20;

/// Why a statement was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Cancelled,
    TimedOut,
    Memory,
}

/// The bounds of one statement.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    world: Arc<dyn World>,
    /// Set when the caller is gone.
    stop: Arc<AtomicBool>,
    /// On the monotonic clock.
    deadline: Duration,
    memory: i64,
    why: Arc<AtomicU8>,
}

impl Watch {
    /// Counts from now.
    pub(super) fn new(world: &Arc<dyn World>, stop: &Arc<AtomicBool>, seconds: u64, memory: i64) -> Self {
        Self {
            deadline: world.monotonic().saturating_add(Duration::from_secs(seconds)),
            world: Arc::clone(world),
            stop: Arc::clone(stop),
            memory: engine::memory_used().saturating_add(memory),
            why: Arc::default(),
        }
    }

    /// Whether the statement must end, and why.
    pub(super) fn ended(&self) -> Option<Ended> {
        if self.stop.load(Ordering::Relaxed) {
            Some(Ended::Cancelled)
        } else if engine::memory_used() > self.memory {
            Some(Ended::Memory)
        } else if self.world.monotonic() > self.deadline {
            Some(Ended::TimedOut)
        } else {
            None
        }
    }

    /// Whether its time is over, whoever still waits.
    pub(super) fn is_late(&self) -> bool {
        self.world.monotonic() > self.deadline
    }

    /// What ended it, after the engine said it was interrupted.
    pub(super) fn reason(&self) -> Ended {
        match self.why.load(Ordering::Relaxed) {
            1 => Ended::TimedOut,
            2 => Ended::Memory,
            _ => Ended::Cancelled,
        }
    }

    /// Has the engine look while it prepares and runs.
    pub(super) fn over(&self, conn: &Connection) -> rusqlite::Result<()> {
        let watch = self.clone();
        let look = move || {
            let ended = watch.ended();
            let code = match ended {
                Some(Ended::TimedOut) => 1,
                Some(Ended::Memory) => 2,
                Some(Ended::Cancelled) | None => 0,
            };
            watch.why.store(code, Ordering::Relaxed);
            ended.is_some()
        };
        conn.progress_handler(STEPS, Some(look))
    }
}

/// Lets the engine run unwatched again: between statements only ours run.
pub(super) fn off(conn: &Connection) {
    // It fails for a connection we do not own, which none here is.
    let _ = conn.progress_handler(0, None::<fn() -> bool>);
}
