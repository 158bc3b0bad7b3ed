//! The text form of an answer: as it is read, and as a JSON string. It is made as one of them, and may be large: whoever
//! needs the other has it made once.

use std::sync::OnceLock;

/// A text and its JSON string.
#[derive(Debug)]
pub(super) struct Text {
    plain: OnceLock<String>,
    quoted: OnceLock<String>,
}

impl Text {
    /// Of a JSON string.
    pub(super) fn of_quoted(json: String) -> Self {
        Self {
            plain: OnceLock::new(),
            quoted: OnceLock::from(json),
        }
    }

    pub(super) fn plain(&self) -> &str {
        let read = || serde_json::from_str(self.quoted()).unwrap_or_default(); // of our own writing
        self.plain.get_or_init(read)
    }

    pub(super) fn quoted(&self) -> &str {
        // A string always has a JSON form.
        let write = || serde_json::to_string(self.plain()).unwrap_or_default();
        self.quoted.get_or_init(write)
    }

    /// About its size, for whom it matters that it is large.
    pub(super) fn bytes(&self) -> usize {
        self.plain.get().or(self.quoted.get()).map_or(0, String::len)
    }

    pub(super) fn into_plain(self) -> String {
        self.plain();
        self.plain.into_inner().unwrap_or_default()
    }

    pub(super) fn into_quoted(self) -> String {
        self.quoted();
        self.quoted.into_inner().unwrap_or_default()
    }
}

impl From<String> for Text {
    fn from(plain: String) -> Self {
        Self {
            plain: OnceLock::from(plain),
            quoted: OnceLock::new(),
        }
    }
}
