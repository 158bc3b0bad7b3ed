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
mod rows;
mod steps;
mod stream;
mod text;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};

use crate::call::{
    CallId, Conceal, Fragment, Hash, LookAhead, MaskCounts, Pending, RawOutput, Refusal, Screen,
    ScreenStream, Table, canonical,
};

use crate::packed::{Packing, Unpacked};
pub use steps::Taken;
pub use stream::StreamMasker;
use text::Text;

/// A piece of a file as it was offered.
#[derive(Debug, Clone, serde::Serialize)]
pub struct OfferedFragment {
    /// Where it came from.
    #[serde(flatten)]
    pub fragment: Fragment,
    /// SHA-256 of the exact text offered: the masked string in the structured answer, as UTF-8.
    pub sha256: Hash,
}

/// Where in an envelope the rows of a table belong.
const ROWS: [&str; 2] = ["data", "rows"];

/// An answer that may leave. Only this module can make one.
#[derive(Debug)]
pub struct Masked {
    /// Without the rows, where there is a table.
    head: Value,
    table: Option<Table>,
    /// With them, for whoever asks for a tree.
    whole: OnceLock<Value>,
    text: Text,
    is_error: bool,
    fragments: Vec<OfferedFragment>,
    effect: Option<Value>,
    recording: Option<String>,
}

/// An answer as the JSON that leaves.
#[derive(Debug)]
pub struct Written {
    /// The structured content: one document in pieces.
    pub structured: Vec<String>,
    /// The text form, a string.
    pub text: String,
}

impl Masked {
    fn of(head: Value, text: impl Into<Text>, is_error: bool) -> Self {
        Self {
            head,
            table: None,
            whole: OnceLock::new(),
            text: text.into(),
            is_error,
            fragments: Vec::new(),
            effect: None,
            recording: None,
        }
    }

    /// The structured content (contracts, "Result envelope"), but for the rows of a large answer.
    #[must_use]
    pub fn head(&self) -> &Value {
        &self.head
    }

    /// Whether it is rows, of which there may be a great many.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        self.table.is_some()
    }

    /// The structured content.
    #[must_use]
    pub fn envelope(&self) -> &Value {
        match &self.table {
            None => &self.head,
            Some(table) => self.whole.get_or_init(|| filled(self.head.clone(), table)),
        }
    }

    /// The text form of the same.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.plain()
    }

    /// About how large that is.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.bytes()
    }

    /// The text form as a JSON string.
    #[must_use]
    pub fn quoted_text(&self) -> &str {
        self.text.quoted()
    }

    /// Writes the structured content as canonical JSON (RFC 8785).
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_canonical(&self, out: &mut impl Write) -> std::io::Result<()> {
        self.pack(&mut Unpacked(out))
    }

    /// The same for whoever compresses it: some of that may be done.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn pack(&self, out: &mut impl Packing) -> std::io::Result<()> {
        match &self.table {
            None => canonical::write(&self.head, out),
            Some(table) => {
                canonical::write_filled(&self.head, &ROWS, out, &mut |out| table.write_canonical(out))
            }
        }
    }

    /// The structured content and the text form, for whoever sends them and keeps nothing.
    #[must_use]
    pub fn into_parts(self) -> (Value, String) {
        let whole = match (self.table, self.whole.into_inner()) {
            (None, _) => self.head,
            (Some(_), Some(whole)) => whole,
            (Some(table), None) => filled(self.head, &table),
        };
        (whole, self.text.into_plain())
    }

    /// The same as the JSON that leaves.
    #[must_use]
    pub fn into_written(self) -> Written {
        let mut structured = vec![String::new()];
        match self.table {
            None => around(&self.head, &[], &mut structured),
            Some(table) => {
                around(&self.head, &ROWS, &mut structured);
                structured.insert(1, table.into_json());
            }
        }
        Written {
            structured,
            text: self.text.into_quoted(),
        }
    }

    /// Whether it is a refusal.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// Whether people have been asked and it has yet to happen.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.head.get("status").and_then(Value::as_str) == Some("approval_pending")
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
        Self::of(envelope, text, is_error)
    }
}

/// An envelope with its rows.
fn filled(mut head: Value, table: &Table) -> Value {
    if let Some(rows) = head.get_mut("data").and_then(|data| data.get_mut("rows")) {
        *rows = table.to_value();
    }
    head
}

/// Writes a value on to the last of `pieces`, and goes on with another after what is at `path`, which is left out.
fn around(value: &Value, path: &[&str], pieces: &mut Vec<String>) {
    let (Some((hole, rest)), Value::Object(members)) = (path.split_first(), value) else {
        return push(pieces, &value.to_string());
    };
    for (index, (name, member)) in members.iter().enumerate() {
        push(pieces, if index == 0 { "{" } else { "," });
        push(pieces, &Value::from(name.as_str()).to_string());
        push(pieces, ":");
        match (name == hole, rest) {
            (true, []) => pieces.push(String::new()),
            (true, rest) => around(member, rest, pieces),
            (false, _) => push(pieces, &member.to_string()),
        }
    }
    push(pieces, if members.is_empty() { "{}" } else { "}" });
}

fn push(pieces: &mut [String], text: &str) {
    if let Some(piece) = pieces.last_mut() {
        piece.push_str(text);
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

    /// What looks at rows while more of them come.
    #[must_use]
    pub fn lookahead(&self) -> Arc<dyn LookAhead> {
        Arc::new(walk::Lookahead(Arc::clone(&self.engine)))
    }

    /// Masks an answer: `status: "ok"`, the data with every string, key and number looked at, what was
    /// masked where and how often (the adapter's own masks included), and the text form.
    #[must_use]
    #[tracing::instrument(level = "debug", skip_all, name = "mask")]
    pub fn output(&self, call_id: &CallId, mut raw: RawOutput) -> Masked {
        let (mut data, mut table) = (raw.take_data(), raw.take_table());
        let effect = raw.effect.take().map(|effect| effect.counts());
        let mut counts = std::mem::take(&mut raw.source_masks);
        walk::answer(&self.engine, (&mut data, table.as_mut()), &mut counts, &raw.shown);
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
        let text = render::answer(
            call_id,
            (&data, table.as_ref()),
            &notes,
            raw.truncated,
            cursor.as_deref(),
        );
        if let Some(table) = &mut table {
            table.forget_lines();
        }
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
            table,
            fragments,
            effect,
            recording: raw.recording.take(),
            ..Masked::of(envelope.into(), text, false)
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
        let envelope = json!({
            "status": "refused",
            "call_id": call_id.as_str(),
            "refusal": {
                "code": refusal.code,
                "message": message,
                "try": suggestion,
                "retry": refusal.retry,
            },
        });
        Masked::of(envelope, text, true)
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
        let envelope = json!({
            "status": "approval_pending",
            "call_id": call_id.as_str(),
            "approval": approval,
            "note": note,
        });
        Masked::of(envelope, text, false)
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
        let is_error = envelope.get("status").is_none_or(|status| status == "refused");
        let text =
            format!("{body}-- the answer of call {earlier}, again; nothing ran now\n-- call {call_id}");
        Masked::of(envelope, text, is_error)
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
