//! For `crate::fuzzing`.

use super::text::{MAX_STATEMENT, change, read};

/// Reads a statement that an agent sends, in every way it is read before the engine sees it.
pub(crate) fn statement(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(shape) = read(&text) {
        assert!(text.len() <= MAX_STATEMENT && !shape.first.is_empty());
    }
    let _ = change::read(&text);
    let _ = change::definition(&text);
    let _ = change::words_in_checks(&text);
    let _ = change::words_of(&text);
}
