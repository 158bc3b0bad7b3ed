//! RawOutput + obligations → Masked: the only type a transport can send.
//!
//! Every string that leaves passes here: answers with their keys and numbers, refusals, the arguments
//! the journal keeps, log lines. What looks like a secret or like personal data becomes
//! `[masked:<rule>]`. This is the second net; the first is that a target does not give the value at all.
//! What is found and what is not: `docs/masking.md`.

mod checks;
mod detectors;
mod encoded;
mod engine;
mod keyed;
mod numbers;
mod pem;
mod render;
mod steps;
mod stream;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::call::{
    CallId, Conceal, Fragment, Hash, MaskCounts, Pending, RawOutput, Refusal, Screen, ScreenStream,
};

pub use steps::Taken;
pub use stream::StreamMasker;

/// A piece of a file as it was offered.
#[derive(Debug, Clone, serde::Serialize)]
pub struct OfferedFragment {
    /// Where it came from.
    #[serde(flatten)]
    pub fragment: Fragment,
    /// SHA-256 of the exact text offered: the masked string in the structured answer, as UTF-8.
    pub sha256: Hash,
}

/// An answer that may leave. Only this module can make one.
#[derive(Debug)]
pub struct Masked {
    envelope: Value,
    text: String,
    is_error: bool,
    fragments: Vec<OfferedFragment>,
    effect: Option<Value>,
    recording: Option<String>,
}

impl Masked {
    /// The structured content (contracts, "Result envelope").
    #[must_use]
    pub fn envelope(&self) -> &Value {
        &self.envelope
    }

    /// The text form of the same.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The structured content and the text form, for whoever sends them and keeps nothing.
    #[must_use]
    pub fn into_parts(self) -> (Value, String) {
        (self.envelope, self.text)
    }

    /// Whether it is a refusal.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// Whether people have been asked and it has yet to happen.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.envelope.get("status").and_then(Value::as_str) == Some("approval_pending")
    }

    /// The pieces of files inside.
    #[must_use]
    pub fn fragments(&self) -> &[OfferedFragment] {
        &self.fragments
    }

    /// What a change did, as counts; for the record, and no part of the answer.
    #[must_use]
    pub fn effect(&self) -> Option<&Value> {
        self.effect.as_ref()
    }

    /// The recording of a command (asciicast): kept with the answer, never part of it.
    #[must_use]
    pub fn recording(&self) -> Option<&str> {
        self.recording.as_deref()
    }

    /// An answer for the tests of other stages.
    #[cfg(test)]
    pub(crate) fn for_tests(envelope: Value, text: String, is_error: bool) -> Self {
        Self {
            envelope,
            text,
            is_error,
            fragments: Vec::new(),
            effect: None,
            recording: None,
        }
    }
}

/// The masking engine. Compiled once; every method takes `&self`.
#[derive(Debug, Clone)]
pub struct Mask {
    engine: Arc<engine::Engine>,
}

impl Mask {
    /// Builds the automaton of all keywords (under a millisecond); patterns are compiled when they are first needed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            engine: Arc::new(engine::Engine::new()),
        }
    }

    /// Masks an answer: `status: "ok"`, the data with every string, key and number looked at, what was
    /// masked where and how often (the adapter's own masks included), and the text form.
    #[must_use]
    #[tracing::instrument(level = "debug", skip_all, name = "mask")]
    pub fn output(&self, call_id: &CallId, mut raw: RawOutput) -> Masked {
        let mut data = raw.take_data();
        let effect = raw.effect.take().map(|effect| effect.counts());
        let mut counts = std::mem::take(&mut raw.source_masks);
        walk::answer(&self.engine, &mut data, &mut counts, &raw.shown);
        let mut cursor = raw.next_cursor.take();
        if let Some(kept) = cursor.take_if(|cursor| matches!(self.text(cursor), Cow::Owned(_))) {
            // A changed cursor would lead nowhere, and this one would carry what is hidden elsewhere.
            counts.add("next_cursor", "withheld", u64::from(!kept.is_empty()));
            raw.truncated = true;
        }
        let fragments = raw
            .fragments
            .drain(..)
            .map(|fragment| offered(&data, fragment))
            .collect();
        let notes = counts.notes();
        let text = render::answer(call_id, &data, &notes, raw.truncated, cursor.as_deref());
        let mut envelope = Map::new();
        envelope.insert("status".into(), "ok".into());
        envelope.insert("call_id".into(), call_id.as_str().into());
        envelope.insert("data".into(), data);
        if !notes.is_empty() {
            envelope.insert("masked".into(), json!(notes));
        }
        if raw.truncated {
            envelope.insert("truncated".into(), true.into());
        }
        if let Some(cursor) = cursor {
            envelope.insert("next_cursor".into(), cursor.into());
        }
        Masked {
            envelope: envelope.into(),
            text,
            is_error: false,
            fragments,
            effect,
            recording: raw.recording.take(),
        }
    }

    /// Makes a refusal sendable: code, message, what to try, whether to retry; never the operator's detail.
    #[must_use]
    pub fn refusal(&self, call_id: &CallId, refusal: &Refusal) -> Masked {
        let message = self.text(&refusal.message);
        let suggestion = self.text(&refusal.suggestion);
        let text = render::refusal(
            call_id,
            refusal.code.as_str(),
            &message,
            &suggestion,
            refusal.retry,
        );
        Masked {
            envelope: json!({
                "status": "refused",
                "call_id": call_id.as_str(),
                "refusal": {
                    "code": refusal.code,
                    "message": message,
                    "try": suggestion,
                    "retry": refusal.retry,
                },
            }),
            text,
            is_error: true,
            fragments: Vec::new(),
            effect: None,
            recording: None,
        }
    }

    /// Makes "people have been asked" sendable: no error, so that an agent waits instead of giving up.
    #[must_use]
    pub fn pending(&self, call_id: &CallId, pending: &Pending) -> Masked {
        let note = self.text(&pending.note);
        let text = render::pending(call_id, pending, &note);
        let mut approval = json!({
            "id": pending.id,
            "expires_at": pending.expires_at,
            "next": "call approval_wait with approval_id",
        });
        if let (Some(approval), Some(url)) = (approval.as_object_mut(), &pending.url) {
            approval.insert("url".into(), url.as_str().into());
        }
        Masked {
            envelope: json!({
                "status": "approval_pending",
                "call_id": call_id.as_str(),
                "approval": approval,
                "note": note,
            }),
            text,
            is_error: false,
            fragments: Vec::new(),
            recording: None,
            effect: None,
        }
    }

    /// Makes an earlier answer sendable again, as the answer of another call. It was masked when it was
    /// first made, with what its reader was shown, and kept as it was offered. Called by `audit` alone, for
    /// what the journal kept; `tests/it/tidy.rs` checks that.
    #[must_use]
    pub(crate) fn again(&self, call_id: &CallId, earlier: &CallId, structured: Value, text: &str) -> Masked {
        let mut envelope = structured;
        if let Some(members) = envelope.as_object_mut() {
            members.insert("call_id".into(), call_id.as_str().into());
            members.insert("repeats".into(), earlier.as_str().into());
        }
        let foot = format!("-- call {earlier}");
        let body = text.strip_suffix(&foot).unwrap_or(text);
        Masked {
            is_error: envelope.get("status").is_none_or(|status| status == "refused"),
            envelope,
            text: format!("{body}-- the answer of call {earlier}, again; nothing ran now\n-- call {call_id}"),
            fragments: Vec::new(),
            effect: None,
            recording: None,
        }
    }

    /// Masks every string, key and number inside a value, in place (journal arguments, error details).
    pub fn value(&self, value: &mut Value, counts: &mut MaskCounts) {
        walk::value(&self.engine, value, counts);
    }

    /// Masks one text (log lines, errors, progress). Nothing is copied when nothing is hidden.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        engine::text(&self.engine, text)
    }

    /// Starts masking a text that arrives in pieces.
    #[must_use]
    pub fn stream(&self) -> StreamMasker {
        StreamMasker::new(Arc::clone(&self.engine))
    }
}

impl Conceal for Mask {
    fn hidden(&self, line: &str) -> Vec<(Range<usize>, &'static str)> {
        let edges = pem::Edges {
            start: true,
            end: true,
            cut: false,
        };
        self.engine.hidden(line, edges)
    }
}

impl Screen for Mask {
    fn stream(&self) -> Box<dyn ScreenStream> {
        Box::new(Mask::stream(self))
    }
}

impl ScreenStream for StreamMasker {
    fn push(&mut self, text: &str) -> String {
        StreamMasker::push(self, text)
    }

    fn finish(self: Box<Self>) -> (String, BTreeMap<&'static str, u64>) {
        StreamMasker::finish(*self)
    }
}

impl Default for Mask {
    fn default() -> Self {
        Self::new()
    }
}

/// The digest of what is really there after masking: a pointer to nothing is the digest of nothing.
fn offered(data: &Value, fragment: Fragment) -> OfferedFragment {
    let text = data
        .pointer(&fragment.pointer)
        .and_then(Value::as_str)
        .unwrap_or_default();
    OfferedFragment {
        sha256: Hash::of(text.as_bytes()),
        fragment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_for_tests_is_what_it_was_given() {
        let masked = Masked::for_tests(json!({"status": "ok"}), "text".to_owned(), true);
        assert_eq!(masked.envelope(), &json!({"status": "ok"}));
        assert_eq!(
            (masked.text(), masked.is_error(), masked.fragments().len()),
            ("text", true, 0)
        );
    }

    #[test]
    fn every_pattern_compiles_and_there_is_room_for_every_row() {
        assert!(detectors::DETECTORS.len() < 128);
        for detector in detectors::DETECTORS {
            assert!(engine::compile(detector.pattern).is_some(), "{}", detector.id);
            assert!(
                !engine::compile(detector.pattern).is_some_and(|pattern| pattern.is_match(b"")),
                "{}",
                detector.id
            );
            let id = detector.id.as_bytes();
            assert!(
                id.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-'),
                "{}",
                detector.id
            );
        }
        assert_eq!(engine::id(engine::PRIVATE_KEY), "private-key");
    }

    #[test]
    fn a_text_is_not_searched_only_if_it_is_too_short() {
        let long = [
            b"4".repeat(99),
            b"AT61".iter().copied().chain(b"7".repeat(95)).collect(),
        ];
        for detector in detectors::DETECTORS.iter().filter(|row| row.keywords.is_empty()) {
            let pattern = engine::compile(detector.pattern).unwrap();
            let ends = long.iter().filter_map(|text| pattern.shortest_match(text));
            assert!(ends.min().unwrap() >= engine::SHORTEST_NUMBER, "{}", detector.id);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_text_is_not_searched_only_if_it_has_no_digit(
            text in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::sample::select(b" .-:=/+_@AaBbDdEeKkTtZz".to_vec()),
                    proptest::prelude::any::<u8>(),
                ],
                0..80,
            ),
        ) {
            let text: Vec<u8> = text.into_iter().filter(|byte| !byte.is_ascii_digit()).collect();
            for detector in detectors::DETECTORS.iter().filter(|row| row.keywords.is_empty()) {
                let pattern = engine::compile(detector.pattern).unwrap();
                proptest::prop_assert!(!pattern.is_match(&text), "{}", detector.id);
            }
        }
    }
}
