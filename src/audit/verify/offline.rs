//! An export, verified with nothing but a public key: no store, no configuration, no network.

use std::io::BufRead;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Fault, Held, Report, Trust, Verifier};
use crate::audit::export::FORMAT;
use crate::audit::merkle::Node;
use crate::audit::note::LogPublicKey;
use crate::call::canonical;

/// Verifies an export with nothing but the public key (and a checkpoint, if one was carried
/// elsewhere). Reads line by line.
///
/// # Errors
/// When the input cannot be read, or no key is given.
pub fn verify_export(input: impl BufRead, key: LogPublicKey, trust: &Trust) -> std::io::Result<Report> {
    let mut export = Export {
        verifier: Verifier::new(key, true, trust),
        header: None,
        waiting: None,
        notes: 0,
    };
    for (number, line) in input.split(b'\n').enumerate() {
        export.line(number + 1, &line?);
    }
    export.record_without_payload();
    compare_header(&mut export.verifier, export.header.as_ref(), export.notes);
    Ok(export.verifier.finish())
}

/// An export, as far as it has been read.
struct Export {
    verifier: Verifier,
    header: Option<Value>,
    /// The last record, until it is known whether its payload follows.
    waiting: Option<(Vec<u8>, Node)>,
    notes: u64,
}

impl Export {
    fn line(&mut self, at: usize, line: &[u8]) {
        let parsed = serde_json::from_slice::<Value>(line).ok();
        let Some(value) = parsed.filter(|value| canonical(value) == line) else {
            return self.wrong(format!("line {at} is not what was exported"));
        };
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        if !has_members(&value, kind) {
            self.wrong(format!("line {at} has other members than were exported"));
        }
        if (kind == "header") != (at == 1) {
            self.wrong(format!(
                "line {at}: the header must be the first line and the only one"
            ));
        }
        if kind != "payload" {
            self.record_without_payload();
        }
        match kind {
            "header" if at == 1 => self.header = export_header(&mut self.verifier, &value),
            "record" => {
                self.waiting = export_record(&value);
                if self.waiting.is_none() {
                    self.wrong(format!("line {at} holds no record"));
                }
            }
            "payload" => self.payload(at, &value),
            "checkpoint" => {
                self.notes += 1;
                let note = value.get("note").and_then(Value::as_str).unwrap_or_default();
                self.verifier.checkpoint(note);
            }
            _ => {} // its members are not those of any kind: said above
        }
    }

    fn payload(&mut self, at: usize, value: &Value) {
        match (self.waiting.take(), export_payload(value)) {
            (Some((bytes, leaf)), Some((salt, data))) => {
                self.verifier.record(&bytes, &leaf, &Held::Bytes(&salt, &data));
            }
            (record, _) => {
                self.waiting = record;
                self.record_without_payload();
                self.wrong(format!("line {at} holds no payload of a record"));
            }
        }
    }

    fn record_without_payload(&mut self) {
        if let Some((bytes, leaf)) = self.waiting.take() {
            self.verifier.record(&bytes, &leaf, &Held::Gone);
        }
    }

    fn wrong(&mut self, what: String) {
        self.verifier.problem(Fault::Form, None, what);
    }
}

/// Exactly the members that a line of this kind is exported with: nothing may be slipped in.
fn has_members(line: &Value, kind: &str) -> bool {
    let expected: &[&str] = match kind {
        "header" => &[
            "checkpoints",
            "format",
            "public_key",
            "records",
            "root",
            "type",
            "with_payloads",
        ],
        "record" => &["leaf", "record", "type"],
        "payload" => &["data", "salt", "type"],
        "checkpoint" => &["note", "type"],
        _ => return false,
    };
    line.as_object()
        .is_some_and(|members| members.keys().eq(expected.iter()))
}

fn export_header(verifier: &mut Verifier, value: &Value) -> Option<Value> {
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        verifier.problem(Fault::Form, None, "not an export of this version");
    }
    let key = verifier.key.to_string();
    let says = value
        .get("public_key")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if says != key {
        verifier.problem(
            Fault::Checkpoint,
            None,
            "the export says it belongs to another key",
        );
    }
    match value.get("with_payloads").and_then(Value::as_bool) {
        Some(with) => verifier.payloads_expected = with,
        None => verifier.problem(
            Fault::Form,
            None,
            "the header does not say whether payloads are in it",
        ),
    }
    Some(value.clone())
}

fn export_record(value: &Value) -> Option<(Vec<u8>, Node)> {
    let leaf = unhex(value.get("leaf")?.as_str()?)?;
    Some((canonical(value.get("record")?), leaf))
}

fn export_payload(value: &Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let part = |name: &str| STANDARD.decode(value.get(name)?.as_str()?).ok();
    Some((part("salt")?, part("data")?))
}

/// The header says how much there is, so that an export that was cut off is told from a short one.
fn compare_header(verifier: &mut Verifier, header: Option<&Value>, notes: u64) {
    let Some(header) = header else {
        verifier.problem(Fault::Form, None, "there is no header");
        return;
    };
    let size = verifier.frontier.size();
    let says = |name: &str| header.get(name).and_then(Value::as_u64);
    if says("records") != Some(size) {
        let what = format!(
            "the export was made of {} records, {size} are there",
            says("records").unwrap_or(0)
        );
        verifier.problem(Fault::Truncated, None, what);
    }
    if says("checkpoints") != Some(notes) {
        verifier.problem(
            Fault::Form,
            None,
            "the export was made with another number of checkpoints",
        );
    }
    if header.get("root").and_then(Value::as_str) != Some(&STANDARD.encode(verifier.frontier.root())) {
        verifier.problem(
            Fault::Record,
            None,
            "the records are not the ones the export was made of",
        );
    }
}

fn unhex(text: &str) -> Option<Node> {
    let mut node = [0; 32];
    if text.len() != 64
        || !text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return None;
    }
    for (byte, at) in node.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(node)
}
