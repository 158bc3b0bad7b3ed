//! Room for what follows a statement as deep as it is nested.

/// The stack for it, in bytes: a token makes at most one level of what a grammar, its printer and its drop recurse over.
const STACK: usize = 128 << 20;

/// Runs `work` on a stack that holds it: one that is this thread's for as long, since another thread would have to be woken.
/// None when it ended in a panic.
pub(super) fn deep<T>(work: impl FnOnce() -> T) -> Option<T> {
    let held = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    stacker::grow(STACK, held).ok()
}
