//! A bound on what libgit2 may allocate at once, for the whole process.
#![expect(
    unsafe_code,
    reason = "libgit2 takes its allocator as C function pointers, and git2 has no safe call for it"
)]
//!
//! An object's own size is known before it is read, but a pack may store it as a delta against a base
//! of any size (a few kilobytes that inflate to gigabytes), and libgit2 inflates the base first. Its
//! allocator is the one place where every such buffer must pass.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Once;

/// Largest single allocation, in bytes: four times the largest file that is read, so that honest
/// deltas against larger former versions work.
const MAX_ALLOCATION: usize = 64 << 20;

/// `git_allocator` (libgit2, include/git2/sys/alloc.h).
#[repr(C)]
struct Allocator {
    malloc: unsafe extern "C" fn(usize, *const c_char, c_int) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, usize, *const c_char, c_int) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
}

unsafe extern "C" fn malloc(size: usize, _file: *const c_char, _line: c_int) -> *mut c_void {
    if size > MAX_ALLOCATION {
        return ptr::null_mut();
    }
    // SAFETY: `malloc` has no preconditions.
    unsafe { libc::malloc(size) }
}

unsafe extern "C" fn realloc(
    old: *mut c_void,
    size: usize,
    _file: *const c_char,
    _line: c_int,
) -> *mut c_void {
    if size > MAX_ALLOCATION {
        return ptr::null_mut();
    }
    // SAFETY: libgit2 passes null or a pointer from `malloc` or `realloc` above, or from its own
    // default allocator, which is the C library's as well.
    unsafe { libc::realloc(old, size) }
}

unsafe extern "C" fn free(old: *mut c_void) {
    // SAFETY: as in `realloc`.
    unsafe { libc::free(old) }
}

/// Puts the bound in place, once, before the first object database is opened.
pub(super) fn bound() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Starts libgit2, and states what is its default anyway: an object whose hash differs is an error.
        git2::opts::strict_hash_verification(true);
        let mut allocator = Allocator {
            malloc,
            realloc,
            free,
        };
        // SAFETY: libgit2 is started and copies the struct; only this module's parent uses libgit2,
        // and only after this call, so no other thread is inside it.
        let code = unsafe {
            libgit2_sys::git_libgit2_opts(
                libgit2_sys::GIT_OPT_SET_ALLOCATOR as c_int,
                ptr::from_mut(&mut allocator).cast::<c_void>(),
            )
        };
        if code != 0 {
            tracing::error!(code, "libgit2 did not take the allocation bound");
        }
    });
}
