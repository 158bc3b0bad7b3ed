//! RawOutput + obligations → Masked: the only type a transport can send.
use crate::call::{CallId, Fragment, Hash, MaskCounts, RawOutput, Refusal};
use serde_json::Value;

/// A piece of a file as it was offered.
#[derive(Debug, Clone, serde::Serialize)]
pub struct OfferedFragment {
    /// Where it came from.
    #[serde(flatten)]
    pub fragment: Fragment,
    /// SHA-256 of the exact text offered.
    pub sha256: Hash,
}

/// An answer that may leave.
#[derive(Debug)]
pub struct Masked {
    envelope: Value,
    text: String,
    is_error: bool,
    fragments: Vec<OfferedFragment>,
}

impl Masked {
    /// An answer made by hand, for the tests of stages below.
    #[cfg(test)]
    pub(crate) fn for_tests(envelope: Value, text: String, is_error: bool) -> Self {
        Self {
            envelope,
            text,
            is_error,
            fragments: Vec::new(),
        }
    }

    /// The structured content.
    #[must_use]
    pub fn envelope(&self) -> &Value {
        &self.envelope
    }
    /// The text form of the same.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
    /// Whether it is a refusal.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.is_error
    }
    /// The pieces of files inside.
    #[must_use]
    pub fn fragments(&self) -> &[OfferedFragment] {
        &self.fragments
    }
}

/// The masking engine.
pub struct Mask;

impl Mask {
    /// Masks an answer.
    pub fn output(&self, _call_id: &CallId, _raw: RawOutput) -> Masked {
        unimplemented!()
    }
    /// Makes a refusal sendable.
    pub fn refusal(&self, _call_id: &CallId, _refusal: &Refusal) -> Masked {
        unimplemented!()
    }
    /// Masks every string inside a value, in place.
    pub fn value(&self, _value: &mut Value, _counts: &mut MaskCounts) {
        unimplemented!()
    }
    /// Masks one text (log lines, errors, progress).
    pub fn text<'a>(&self, _text: &'a str) -> std::borrow::Cow<'a, str> {
        unimplemented!()
    }
}
