//! The text form of rows that are JSON already, as the JSON string that leaves: most cells stand in both as they are.

use serde_json::Value;

use super::render::{cell, count, is_ambiguous, names};
use super::text::Text;
use crate::call::{Cells, Table};

/// What [`table`](super::render::table) makes of the same rows, with what `foot` says under them.
pub(super) fn text(columns: &[Value], rows: &Table, foot: impl FnOnce(&mut String)) -> Text {
    let mut plain = String::new();
    names(&mut plain, columns);
    let mut out = String::with_capacity(rows.bytes());
    out.push('"');
    quote(&mut out, &plain);
    if columns.is_empty() {
        (0..rows.row_count()).for_each(|_| out.push_str("\\n"));
    }
    for (cells, known) in rows.parts() {
        match known {
            Some(known) => out.push_str(known),
            None => write_lines(cells, &mut out),
        }
    }
    plain.clear();
    count(&mut plain, rows.row_count());
    foot(&mut plain);
    quote(&mut out, &plain);
    out.push('"');
    Text::of_quoted(out)
}

/// A line for each row, inside a JSON string.
pub(super) fn lines(cells: Cells<'_>) -> String {
    let mut out = String::with_capacity(cells.bytes());
    write_lines(cells, &mut out);
    out
}

fn write_lines(cells: Cells<'_>, out: &mut String) {
    let (mut room, last) = (String::new(), cells.width().saturating_sub(1));
    cells.each(|_, column, json| {
        written(out, json, &mut room);
        out.push_str(if column == last { "\\n" } else { "\\t" });
    });
}

/// One cell, inside a JSON string. `room` is for those that are no such text as they are.
fn written(out: &mut String, json: &str, room: &mut String) {
    match json.as_bytes() {
        b"null" => out.push_str("NULL"),
        [b'-' | b'0'..=b'9' | b't' | b'f', ..] => out.push_str(json),
        [b'"', text @ .., b'"'] if text.iter().all(is_plain) => {
            let text = json.get(1..json.len() - 1).unwrap_or_default();
            if is_ambiguous(text) {
                out.push_str("\\\"");
                out.push_str(text);
                out.push_str("\\\"");
            } else {
                out.push_str(text);
            }
        }
        _ => {
            let value: Value = serde_json::from_str(json).unwrap_or_default(); // of our own writing
            room.clear();
            cell(room, &value);
            quote(out, room);
        }
    }
}

/// Neither made visible by us nor escaped by JSON.
fn is_plain(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// What stands between the quotes of a JSON string.
fn quote(out: &mut String, text: &str) {
    if text.bytes().all(|byte| is_plain(&byte)) {
        return out.push_str(text);
    }
    let json = Value::from(text).to_string();
    let inside = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    out.push_str(inside.unwrap_or_default());
}
