//! Blocking work on another thread that ends when its call ends: cancelled, out of time, or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::objects::Fault;
use crate::call::{Code, Refusal};

const RUNNING: u8 = 0;
const OUT_OF_TIME: u8 = 1;
const CANCELLED: u8 = 2;
/// How long work may take to notice that its time is over and hand back what it has.
const GRACE: Duration = Duration::from_secs(2);

/// Tells work that it should end. Only ever goes forward.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicU8);

impl Stop {
    fn at_least(&self, state: u8) {
        self.0.fetch_max(state, Ordering::Relaxed);
    }

    /// Whether the time is over: work that can give a part gives it.
    pub(super) fn out_of_time(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= OUT_OF_TIME
    }

    /// Ends work that has nothing to give yet.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match self.0.load(Ordering::Relaxed) {
            RUNNING => Ok(()),
            OUT_OF_TIME => Err(Fault::Stopped(too_long())),
            _ => Err(Fault::Stopped(Refusal::cancelled())),
        }
    }

    /// Ends work that nobody waits for.
    pub(super) fn check_cancelled(&self) -> Result<(), Fault> {
        match self.0.load(Ordering::Relaxed) {
            CANCELLED => Err(Fault::Stopped(Refusal::cancelled())),
            _ => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn cancelled() -> Self {
        Self(AtomicU8::new(CANCELLED))
    }

    #[cfg(test)]
    pub(super) fn timed_out() -> Self {
        Self(AtomicU8::new(OUT_OF_TIME))
    }
}

fn too_long() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        "This took longer than one call may take.",
        "Ask for less: a smaller folder, a narrower glob.",
    )
}

/// Ends the work when the future that waits for it is dropped.
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.at_least(CANCELLED);
    }
}

/// Runs `work` on the blocking pool, for at most `seconds`.
///
/// # Errors
/// `cancelled`, `limit_exceeded`, or what the work says.
pub(super) async fn run<T: Send + 'static>(
    cancel: &CancellationToken,
    seconds: u64,
    work: impl FnOnce(&Stop) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if cancel.is_cancelled() {
        return Err(Refusal::cancelled());
    }
    let stop = StopOnDrop(Arc::new(Stop::default()));
    let seen = Arc::clone(&stop.0);
    let mut task = tokio::task::spawn_blocking(move || work(&seen));
    let ended = |joined: Result<Result<T, Refusal>, tokio::task::JoinError>| match joined {
        Ok(result) => result,
        Err(error) => Err(Refusal::internal(format!("git work: {error}"))),
    };
    tokio::select! {
        biased;
        joined = &mut task => return ended(joined),
        () = cancel.cancelled() => return Err(Refusal::cancelled()),
        () = tokio::time::sleep(Duration::from_secs(seconds)) => stop.0.at_least(OUT_OF_TIME),
    }
    tokio::select! {
        biased;
        joined = &mut task => ended(joined),
        () = cancel.cancelled() => Err(Refusal::cancelled()),
        () = tokio::time::sleep(GRACE) => Err(too_long()),
    }
}
