//! PostgreSQL's own grammar, asked for its answer as bytes.
#![expect(
    unsafe_code,
    reason = "pg_query's safe call builds its own types of the whole answer, and lists of what is in it, which nobody \
              wants here and which cost nearly as much as the grammar itself"
)]
//!
//! The two functions and the two structures are those of `pg_query.h` of the version of `pg_query` that
//! `Cargo.toml` names, to the letter; that version is pinned because of them.

use std::ffi::{CStr, CString, c_char, c_int};

// The functions below are in this crate's library.
use pg_query as _;

/// `PgQueryError`.
#[repr(C)]
struct Fault {
    message: *mut c_char,
    funcname: *mut c_char,
    filename: *mut c_char,
    lineno: c_int,
    cursorpos: c_int,
    context: *mut c_char,
}

/// `PgQueryParseResult`.
#[repr(C)]
struct Parsed {
    tree: *mut c_char,
    stderr: *mut c_char,
    error: *mut Fault,
}

unsafe extern "C" {
    fn pg_query_parse(input: *const c_char) -> Parsed;
    fn pg_query_free_parse_result(result: Parsed);
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fails {
    /// What the grammar says of the text.
    Grammar(String),
    /// The text has a NUL in it.
    Nul,
}

/// Reads a text with the grammar, and gives the answer (a `ParseResult` of `pg_query.proto`, as the library writes it
/// in JSON) to `read`.
///
/// # Errors
/// See [`Fails`].
pub(super) fn parse<T>(text: &str, read: impl FnOnce(&[u8]) -> T) -> Result<T, Fails> {
    let text = CString::new(text).map_err(|_| Fails::Nul)?;
    // SAFETY: the text ends with a NUL and outlives the call, which keeps nothing of it; the library keeps what it
    // needs by thread and initialises it itself.
    let answer = Answer(unsafe { pg_query_parse(text.as_ptr()) });
    answer.bytes().map(read)
}

/// The library's own memory, given back however the reading ends.
struct Answer(Parsed);

impl Answer {
    fn bytes(&self) -> Result<&[u8], Fails> {
        let Parsed { tree, error, .. } = &self.0;
        // SAFETY: null, or a structure of the library's that lives until the answer is freed, as does the message,
        // which is null or ends with a NUL.
        let said = unsafe {
            error.as_ref().map(|fault| {
                let message = !fault.message.is_null();
                message.then(|| CStr::from_ptr(fault.message).to_string_lossy().into_owned())
            })
        };
        match said {
            Some(said) => Err(Fails::Grammar(said.unwrap_or_default())),
            None if tree.is_null() => Ok(&[]),
            // SAFETY: a text of the library's, which ends with a NUL and lives until the answer is freed.
            None => Ok(unsafe { CStr::from_ptr(*tree) }.to_bytes()),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let nothing = Parsed {
            tree: std::ptr::null_mut(),
            stderr: std::ptr::null_mut(),
            error: std::ptr::null_mut(),
        };
        let answer = std::mem::replace(&mut self.0, nothing);
        // SAFETY: it came from the library, and this is the only place that gives it back, once.
        unsafe { pg_query_free_parse_result(answer) };
    }
}
