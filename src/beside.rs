//! Work on large answers beside whoever waits for it: piece by piece, on a thread that is there for such things and
//! here, whichever is free.
//!
//! A thread that is begun for it would not do: a scheduler may put a new one where its maker runs, and it would wait for
//! that to be done. One that sleeps is woken where there is nothing to do.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

/// From so many bytes on, work on an answer is worth the company: to wake a thread takes as long as to look through some
/// tens of thousands.
pub(crate) const WORTH_IT: usize = 128 * 1024;

/// Pieces of work, done in any order by one thread besides whoever has this. Outside a runtime, or where that has no thread
/// to spare, all of it is done here, at the [end](Self::end) at the latest.
pub(crate) struct Beside<P: Send + 'static, D: Send + 'static>(Arc<Shared<P, D>>);

struct Shared<P, D> {
    state: Mutex<State<P, D>>,
    changed: Condvar,
}

/// What is done with a piece, and whether a helper does it.
type Work<P, D> = Arc<dyn Fn(P, bool) -> D + Send + Sync>;

struct State<P, D> {
    /// None when it is over: nothing that it has is kept any longer than that.
    work: Option<Work<P, D>>,
    put: usize,
    waiting: VecDeque<(usize, P)>,
    under_way: usize,
    done: Vec<(usize, D)>,
    helped: bool,
    panicked: bool,
}

/// Pieces that wait: whoever brings more than that does better to keep them.
const ROOM: usize = 2;

impl<P: Send + 'static, D: Send + 'static> Beside<P, D> {
    /// `work` is told whether it is done by the helper, who keeps nobody waiting.
    pub(crate) fn new(work: impl Fn(P, bool) -> D + Send + Sync + 'static) -> Self {
        let state = State {
            work: Some(Arc::new(work)),
            put: 0,
            waiting: VecDeque::new(),
            under_way: 0,
            done: Vec::new(),
            helped: false,
            panicked: false,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    pub(crate) fn has_room(&self) -> bool {
        self.0.state().waiting.len() < ROOM
    }

    /// Another piece.
    pub(crate) fn put(&self, piece: P) {
        let mut state = self.0.state();
        let number = state.put;
        state.put += 1;
        state.waiting.push_back((number, piece));
        if !state.helped
            && let Ok(runtime) = Handle::try_current()
        {
            state.helped = true;
            let shared = Arc::clone(&self.0);
            runtime.spawn_blocking(move || while shared.step(true) {});
        }
    }

    /// What came of a piece that is done already, in its place among the others.
    pub(crate) fn have(&self, done: D) {
        let mut state = self.0.state();
        let number = state.put;
        state.put += 1;
        state.done.push((number, done));
    }

    /// Does one of the pieces that wait here and now, if there is any.
    pub(crate) fn help(&self) -> bool {
        self.0.step(false)
    }

    /// What came of all pieces, in order; none where the work on any of them ended in a panic.
    pub(crate) fn end(self) -> Option<Vec<D>> {
        while self.help() {}
        let mut state = self.0.state();
        while state.under_way > 0 {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.work = None;
        let mut done = std::mem::take(&mut state.done);
        done.sort_unstable_by_key(|(number, _)| *number);
        (!state.panicked).then(|| done.into_iter().map(|(_, done)| done).collect())
    }
}

impl<P, D> Shared<P, D> {
    fn state(&self) -> MutexGuard<'_, State<P, D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the next piece; false if there is none. A helper then goes, and the next piece brings another.
    fn step(&self, helper: bool) -> bool {
        let mut state = self.state();
        let (Some((number, piece)), Some(work)) = (state.waiting.pop_front(), state.work.clone()) else {
            state.helped &= !helper;
            return false;
        };
        state.under_way += 1;
        drop(state);
        let done = catch_unwind(AssertUnwindSafe(|| work(piece, helper)));
        drop(work); // before anybody may hear that it is done
        let mut state = self.state();
        state.under_way -= 1;
        match done {
            Ok(done) => state.done.push((number, done)),
            Err(_) => state.panicked = true,
        }
        self.changed.notify_all();
        true
    }
}

/// Nobody wants what waits any more.
impl<P: Send + 'static, D: Send + 'static> Drop for Beside<P, D> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting.clear();
        state.done.clear();
        state.work = None;
    }
}

impl<P: Send + 'static, D: Send + 'static> fmt::Debug for Beside<P, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc;

    use super::*;

    /// Each waits for the other: one after the other they would never end.
    #[tokio::test]
    async fn two_pieces_are_under_way_at_once() {
        let barrier = Barrier::new(2);
        let beside = Beside::new(move |piece: u8, _| {
            barrier.wait();
            piece
        });
        beside.put(1);
        beside.put(2);
        assert_eq!(beside.end(), Some(vec![1, 2]));
    }

    #[test]
    fn without_a_runtime_all_of_it_is_done_at_the_end() {
        let beside = Beside::new(|piece: usize, _| piece * 2);
        assert!(beside.has_room());
        (0..4).for_each(|piece| beside.put(piece));
        assert!(!beside.has_room());
        assert!(beside.help());
        beside.have(8);
        (5..9).for_each(|piece| beside.put(piece));
        assert_eq!(beside.end(), Some((0..9).map(|piece| piece * 2).collect()));
    }

    /// The one thread that there is has another thing to do, and does it until this is over.
    #[test]
    fn a_pool_that_is_busy_keeps_nobody_waiting() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (over, busy) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || busy.recv());
        let _inside = runtime.enter();
        let beside = Beside::new(|piece: u8, _| piece);
        beside.put(1);
        beside.put(2);
        assert_eq!(beside.end(), Some(vec![1, 2]));
        drop(over);
    }

    /// Whoever gave it something has that alone when it is over.
    #[tokio::test]
    async fn nothing_is_held_after_the_end() {
        for _ in 0..200 {
            let held = Arc::new(7);
            let work = Arc::clone(&held);
            let beside = Beside::new(move |piece: usize, _| piece + *work);
            (0..4).for_each(|piece| beside.put(piece));
            assert_eq!(beside.end(), Some(vec![7, 8, 9, 10]));
            assert_eq!(Arc::into_inner(held), Some(7));
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_and_nothing_hangs() {
        let beside = Beside::new(|piece: u8, _| assert_ne!(piece, 1, "a piece that cannot be done"));
        (0..3).for_each(|piece| beside.put(piece));
        assert_eq!(beside.end(), None);
    }

    #[tokio::test]
    async fn what_is_dropped_is_not_done() {
        let (begun, told) = mpsc::channel();
        let (over, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let beside = Beside::new(move |piece: u8, _| {
            let _ = begun.send(piece);
            let _ = wait.lock().unwrap().recv();
        });
        (0..3).for_each(|piece| beside.put(piece));
        assert_eq!(told.recv(), Ok(0));
        drop(beside);
        drop(over);
        assert!(
            told.recv().is_err(),
            "the others were not begun, and the work is let go"
        );
    }
}
