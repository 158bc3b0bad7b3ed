#![expect(
    unsafe_code,
    reason = "three functions of the engine that rusqlite does not wrap: all only read or set a number"
)]
//! What of SQLite has no safe form.

use rusqlite::{Connection, ffi};

// `sqliteInt.h` of the bundled engine: a set bit switches an optimisation off. The names and the
// values are not part of the public interface, so a test shows that each still does what is said here.
const COVERING_INDEX_SCAN: u32 = 0x20;
const STAT4: u32 = 0x800;
const SKIP_SCAN: u32 = 0x4000;

/// Bytes the engine holds in this process, over all connections.
pub(super) fn memory_used() -> i64 {
    // SAFETY: takes no argument and may be called from any thread (<https://sqlite.org/c3ref/memory_highwater.html>).
    unsafe { ffi::sqlite3_memory_used() }
}

/// Whether a deferred foreign key is violated: the transaction could not be committed.
pub(super) fn is_unresolved(conn: &Connection) -> bool {
    let (mut now, mut highest) = (0, 0);
    // SAFETY: the handle is open for as long as `conn` is borrowed, and both numbers outlive the call
    // (<https://sqlite.org/c3ref/db_status.html>, SQLITE_DBSTATUS_DEFERRED_FKS).
    let code = unsafe {
        ffi::sqlite3_db_status(
            conn.handle(),
            ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
            &raw mut now,
            &raw mut highest,
            0,
        )
    };
    code != ffi::SQLITE_OK || now != 0
}

/// Keeps the planner from choosing a plan by the values of masked columns.
///
/// Without this, an index on a masked column may be scanned in place of its table (the order of the
/// answer then is the order of the masked values), and samples which `ANALYZE` took of such an index
/// may decide between plans.
pub(super) fn plan_without_values(conn: &Connection) {
    let off = COVERING_INDEX_SCAN | STAT4 | SKIP_SCAN;
    // SAFETY: the handle is open for as long as `conn` is borrowed; this operation takes a handle and
    // a 32-bit mask (`sqlite3.c`, SQLITE_TESTCTRL_OPTIMIZATIONS).
    unsafe {
        ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_OPTIMIZATIONS, conn.handle(), off);
    }
}
