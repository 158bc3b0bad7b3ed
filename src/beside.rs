//! Two pieces of work at once, for large answers: their caller waits, and what gave them has nothing to do any more.

use std::panic::resume_unwind;
use std::thread;

/// From so many bytes on, work on an answer is worth a thread: to begin and to end one takes as long as to look through
/// some tens of thousands.
pub(crate) const WORTH_IT: usize = 128 * 1024;

/// What both give. The one is done on a thread of its own, the other here; where there is no thread to be had, one after
/// the other.
pub(crate) fn both<A: Send, B>(there: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let begun = thread::Builder::new().spawn_scoped(scope, &there);
        let other = here();
        let done = match begun.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => there(),
        };
        (done, other)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// Each waits for the other: one after the other they would never end.
    #[test]
    fn both_are_under_way_at_once() {
        let barrier = Barrier::new(2);
        let wait = || barrier.wait().is_leader();
        let (there, here) = both(wait, wait);
        assert_ne!(there, here);
    }

    #[test]
    fn a_panic_there_is_one_here() {
        let caught = std::panic::catch_unwind(|| both(|| panic!("there"), || 1));
        assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "there");
    }
}
