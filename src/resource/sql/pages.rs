//! Rows of a server's answer, taken until a page of it is full; what a value costs there; parameters that cannot be
//! used.

mod writing;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::call::answer::{Schema, TableSchema};
use crate::call::request::{Parameters, SqlQuery};
use crate::call::{Code, Hash, Limits, Refusal};

pub(super) use writing::Writing;

/// The largest integer every JSON reader keeps exactly (RFC 8259, 6).
pub(super) const EXACT: u64 = 1 << 53;

/// Which rows of the result are asked for.
#[derive(Debug)]
pub(super) struct Page {
    /// Rows before it.
    pub(super) first: u64,
    /// At most.
    pub(super) rows: u64,
    bytes: u64,
    /// Ties a cursor to its statement.
    tag: String,
}

impl Page {
    /// # Errors
    /// `invalid_arguments`.
    pub(super) fn of(request: &SqlQuery, limits: Limits) -> Result<Self, Refusal> {
        let identity = json!({"statement": request.statement, "parameters": request.parameters});
        let tag: String = Hash::of_json(&identity).hex().chars().take(16).collect();
        let first = match &request.cursor {
            None => 0,
            Some(cursor) => match cursor.split_once('.') {
                Some((first, of)) if of == tag => first.parse().map_err(|_| bad_cursor())?,
                _ => return Err(bad_cursor()),
            },
        };
        if request.limit == Some(0) {
            return Err(invalid("`limit` is 0.", "Send at least 1, or leave it out."));
        }
        Ok(Self {
            first,
            rows: request.limit.unwrap_or(u64::MAX).min(limits.rows),
            bytes: limits.bytes,
            tag,
        })
    }

    fn cursor(&self, given: u64) -> String {
        format!("{}.{}", self.first.saturating_add(given), self.tag)
    }
}

fn bad_cursor() -> Refusal {
    invalid(
        "`cursor` is not from this statement with these parameters.",
        "Send the same statement and parameters as in the call that gave the cursor.",
    )
}

/// Names and types of columns, in order.
pub(super) type Head = (Vec<String>, Vec<String>);

fn row_too_large(bytes: u64) -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!("One row takes more than the {bytes} bytes an answer may have."),
        "Select fewer columns, or substr() of the large ones.",
    )
}

/// A description of tables, if it fits.
///
/// # Errors
/// `limit_exceeded` for one larger than an answer may be.
pub(super) fn described(tables: Vec<TableSchema>, limits: Limits) -> Result<Schema, Refusal> {
    let schema = Schema { tables };
    let bytes = serde_json::to_vec(&schema).map_or(u64::MAX, |json| json.len() as u64);
    match bytes > limits.bytes {
        false => Ok(schema),
        true => Err(Refusal::new(
            Code::LimitExceeded,
            format!(
                "The description has {bytes} bytes; an answer may have {}.",
                limits.bytes
            ),
            "Ask for one `table` at a time.",
        )),
    }
}

/// The names of named parameters, in the order in which they become the first, the second … placeholder
pub(super) fn names(parameters: Option<&Parameters>) -> Vec<String> {
    match parameters {
        Some(Parameters::Named(values)) => values.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// An argument of the call that cannot be used.
pub(super) fn invalid(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidArguments, message, suggestion)
}

/// Bytes as they travel.
pub(super) fn bytes(found: &[u8]) -> Value {
    json!({"base64": STANDARD.encode(found), "bytes": found.len()})
}

/// Bytes a value takes in the answer; never less than it will take.
pub(super) fn cost(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 6,
        Value::Number(_) => 26,
        Value::String(text) => written(text.as_bytes()) + 3,
        Value::Array(items) => items.iter().map(cost).sum::<u64>() + 3,
        Value::Object(members) => {
            members
                .iter()
                .map(|(key, value)| key.len() as u64 + 4 + cost(value))
                .sum::<u64>()
                + 3
        }
    }
}

/// Bytes of a text between its quotes. What is to be escaped is counted first, without a branch for each byte: mostly
/// there is nothing.
pub(super) fn written(text: &[u8]) -> u64 {
    let special = |byte: &&u8| **byte < b' ' || matches!(**byte, b'"' | b'\\');
    match text.iter().filter(special).count() {
        0 => text.len() as u64,
        _ => text.iter().copied().map(escaped).sum(),
    }
}

fn escaped(byte: u8) -> u64 {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..=0x1f => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_costs_less_than_it_takes() {
        let odd = "\u{1}\"\\é\n";
        for value in [
            json!(null),
            json!(-1.5e-300),
            json!(odd),
            json!([1, [odd]]),
            bytes(&[0; 100]),
        ] {
            assert!(cost(&value) >= value.to_string().len() as u64, "{value}");
        }
    }
}
