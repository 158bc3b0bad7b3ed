//! The text form of an answer: the same as the structured form, compact, and safe to show.
//!
//! The structured form keeps control characters as they are (JSON escapes them). Here they are made
//! visible: a terminal must not obey what a target says, and a reader must see what is there.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::rows;
use super::text::Text;
use crate::call::{CallId, MaskNote, Pending, Table};

/// Renders an answer that was masked, with the rows that belong into it.
pub(super) fn answer(
    call_id: &CallId,
    (data, rows): (&Value, Option<&Table>),
    notes: &[MaskNote],
    truncated: bool,
    cursor: Option<&str>,
) -> Text {
    let foot = |out: &mut String| foot(out, call_id, notes, truncated, cursor);
    let mut out = String::new();
    match (data.as_object(), rows) {
        (Some(fields), Some(rows)) => return rows::text(list(fields, "columns"), rows, foot),
        (fields, _) => body(&mut out, data, fields),
    }
    foot(&mut out);
    out.into()
}

fn body(out: &mut String, data: &Value, fields: Option<&Map<String, Value>>) {
    match fields {
        Some(fields) if fields.contains_key("columns") && fields.contains_key("rows") => table(out, fields),
        Some(fields) if fields.contains_key("blob") => file(out, fields),
        Some(fields) if fields.contains_key("entries") => entries(out, fields),
        Some(fields) if fields.contains_key("matches") => matches(out, fields),
        Some(fields) if fields.contains_key("tables") => tables(out, fields),
        Some(fields) if fields.contains_key("resources") => resources(out, fields),
        Some(fields) if fields.contains_key("exit_code") => command(out, fields),
        Some(fields) if fields.contains_key("rows_affected") => changed(out, fields),
        _ => out.push_str(&visible(&data.to_string())),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

/// What is said of the answer under it.
fn foot(out: &mut String, call_id: &CallId, notes: &[MaskNote], truncated: bool, cursor: Option<&str>) {
    if !notes.is_empty() {
        out.push_str("-- masked:");
        for (index, note) in notes.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(
                out,
                "{comma} {} {} x{}",
                visible(&note.place),
                note.rule,
                note.count
            );
        }
        out.push('\n');
    }
    if truncated {
        out.push_str("-- cut: there is more than this\n");
    }
    if let Some(cursor) = cursor {
        let _ = writeln!(out, "-- go on with cursor: {}", visible(cursor));
    }
    let _ = write!(out, "-- call {call_id}");
}

/// Renders a refusal that was masked.
pub(super) fn refusal(call_id: &CallId, code: &str, message: &str, suggestion: &str, retry: bool) -> String {
    let again = if retry {
        "\nThe same call may succeed later."
    } else {
        ""
    };
    format!(
        "Refused ({code}): {}\nTry: {}{again}\n-- call {call_id}",
        visible(message),
        visible(suggestion)
    )
}

/// The text form of "people have been asked".
pub(super) fn pending(call_id: &CallId, pending: &Pending, note: &str) -> String {
    let at = match &pending.url {
        Some(url) => format!("\nA person can see and decide it at {}", visible(url)),
        None => String::new(),
    };
    format!(
        "Waiting for approval {} until {}. {}{at}\nNext: call approval_wait with approval_id \"{}\"; \
         sending the same call again does the same.\n-- call {call_id}",
        pending.id,
        pending.expires_at,
        visible(note),
        pending.id
    )
}

/// A column header, then one line per row, tab-separated. NULL is the word without quotes; text that
/// could be taken for something else (empty, a number, `NULL`, spaces at its ends) is in quotes.
pub(super) fn table(out: &mut String, fields: &Map<String, Value>) {
    names(out, list(fields, "columns"));
    for row in list(fields, "rows") {
        line(out, row.as_array().map_or(&[], Vec::as_slice), cell);
    }
    count(out, list(fields, "rows").len() as u64);
}

pub(super) fn names(out: &mut String, columns: &[Value]) {
    line(out, columns, |out, name| {
        out.push_str(&visible_line(name.as_str().unwrap_or_default()));
    });
}

fn line(out: &mut String, cells: &[Value], cell: fn(&mut String, &Value)) {
    for (index, value) in cells.iter().enumerate() {
        if index > 0 {
            out.push('\t');
        }
        cell(out, value);
    }
    out.push('\n');
}

pub(super) fn count(out: &mut String, rows: u64) {
    let _ = writeln!(out, "-- {rows} {}", if rows == 1 { "row" } else { "rows" });
}

pub(super) fn cell(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("NULL"),
        Value::String(text) if is_ambiguous(text) => out.push_str(&visible(&value.to_string())),
        Value::String(text) => out.push_str(&visible_line(text)),
        Value::Object(blob) => match (blob.get("base64").and_then(Value::as_str), blob.get("bytes")) {
            (Some(base64), Some(bytes)) => {
                let _ = write!(out, "blob({bytes} bytes, base64 {})", visible_line(base64));
            }
            _ => out.push_str(&visible(&value.to_string())),
        },
        Value::Bool(_) | Value::Number(_) => _ = write!(out, "{value}"),
        Value::Array(_) => out.push_str(&visible(&value.to_string())),
    }
}

/// Whether a text could be taken for something that it is not.
pub(super) fn is_ambiguous(text: &str) -> bool {
    // What a number can begin with, `inf` and `nan` among them.
    let first = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'i' | b'I' | b'n' | b'N');
    text.is_empty()
        || text == "NULL"
        || text.starts_with('"')
        || text.trim() != text
        || text.as_bytes().first().is_some_and(first) && text.parse::<f64>().is_ok()
}

fn file(out: &mut String, fields: &Map<String, Value>) {
    let _ = write!(out, "{} at {}", word(fields, "path"), at(fields));
    let line = |index: usize| {
        fields
            .get("lines")
            .and_then(|lines| lines.get(index))
            .and_then(Value::as_u64)
    };
    match (line(0), line(1), fields.get("total_lines")) {
        (Some(first), Some(last), Some(total)) => {
            let _ = write!(out, ", lines {first}-{last} of {total}");
        }
        (Some(first), Some(last), None) if last > 0 => {
            let _ = write!(out, ", lines {first}-{last}");
        }
        _ => {}
    }
    let kind = word(fields, "kind");
    if kind != "text" {
        let _ = write!(out, ", {kind}");
    }
    let _ = writeln!(
        out,
        ", {} bytes",
        fields.get("size").and_then(Value::as_u64).unwrap_or_default()
    );
    if fields.contains_key("note") {
        let _ = writeln!(out, "-- {}", word(fields, "note"));
    }
    out.push_str(&visible(
        fields.get("text").and_then(Value::as_str).unwrap_or_default(),
    ));
}

/// What a command wrote, then how it ended.
fn command(out: &mut String, fields: &Map<String, Value>) {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let ended = |out: &mut String, words: &str| {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        let _ = writeln!(out, "-- {words}");
    };
    out.push_str(&visible(text("stdout")));
    if !text("stderr").is_empty() {
        ended(out, "standard error:");
        out.push_str(&visible(text("stderr")));
    }
    let code = fields
        .get("exit_code")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    match fields.get("stopped_by").and_then(Value::as_str) {
        Some(why) => ended(out, &format!("stopped by the limit: {}", visible_line(why))),
        None => ended(out, &format!("exit code {code}")),
    }
}

/// How many rows, and what RETURNING gave.
fn changed(out: &mut String, fields: &Map<String, Value>) {
    if let Some(returned) = fields.get("returned").and_then(Value::as_object) {
        table(out, returned);
    }
    let rows = fields
        .get("rows_affected")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let plural = if rows == 1 { "" } else { "s" };
    let _ = writeln!(out, "-- {}: {rows} row{plural} changed", word(fields, "kind"));
}

fn entries(out: &mut String, fields: &Map<String, Value>) {
    let _ = writeln!(out, "-- at {}", at(fields));
    for entry in list(fields, "entries").iter().filter_map(Value::as_object) {
        let folder = if word(entry, "kind") == "folder" { "/" } else { "" };
        let _ = write!(out, "{}{folder}", word(entry, "path"));
        if let Some(size) = entry.get("size").and_then(Value::as_u64) {
            let _ = write!(out, "\t{size}");
        }
        if matches!(&*word(entry, "kind"), "symlink" | "submodule") {
            let _ = write!(out, "\t{} -> {}", word(entry, "kind"), word(entry, "target"));
        }
        out.push('\n');
    }
}

fn matches(out: &mut String, fields: &Map<String, Value>) {
    let number = |key: &str| fields.get(key).and_then(Value::as_u64).unwrap_or_default();
    let _ = writeln!(
        out,
        "-- {} matches at {}, {} files searched, {} skipped",
        list(fields, "matches").len(),
        at(fields),
        number("files_searched"),
        number("files_skipped")
    );
    for hit in list(fields, "matches").iter().filter_map(Value::as_object) {
        let line = hit.get("line").and_then(Value::as_u64).unwrap_or_default();
        let _ = writeln!(out, "{}:{line}: {}", word(hit, "path"), word(hit, "text"));
    }
}

fn tables(out: &mut String, fields: &Map<String, Value>) {
    for table in list(fields, "tables").iter().filter_map(Value::as_object) {
        let _ = writeln!(out, "{} {}", word(table, "kind"), word(table, "name"));
        for column in list(table, "columns").iter().filter_map(Value::as_object) {
            let _ = write!(out, "  {} {}", word(column, "name"), word(column, "type"));
            if column.get("primary_key").and_then(Value::as_bool) == Some(true) {
                out.push_str(" primary key");
            }
            if column.contains_key("references") {
                let _ = write!(out, " -> {}", word(column, "references"));
            }
            if column.contains_key("masked") {
                let _ = write!(out, " masked ({})", word(column, "masked"));
            }
            out.push('\n');
        }
    }
}

fn resources(out: &mut String, fields: &Map<String, Value>) {
    for resource in list(fields, "resources").iter().filter_map(Value::as_object) {
        let _ = write!(out, "{} ({})", word(resource, "name"), word(resource, "kind"));
        let description = word(resource, "description");
        if !description.is_empty() {
            let _ = write!(out, ": {description}");
        }
        let labels: Vec<_> = list(resource, "labels")
            .iter()
            .filter_map(Value::as_str)
            .map(visible_line)
            .collect();
        if !labels.is_empty() {
            let _ = write!(out, " [{}]", labels.join(", "));
        }
        out.push('\n');
    }
}

fn at(fields: &Map<String, Value>) -> String {
    let commit: String = word(fields, "commit").chars().take(12).collect();
    format!("{} ({commit})", word(fields, "ref"))
}

fn list<'a>(fields: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    fields
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn word<'a>(fields: &'a Map<String, Value>, key: &str) -> Cow<'a, str> {
    visible_line(fields.get(key).and_then(Value::as_str).unwrap_or_default())
}

/// Text in which control characters, direction marks and invisible characters are written out as
/// `\u{…}`; line feeds and tabs stay.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    escape(text, |character| {
        !matches!(character, '\n' | '\t') && is_hidden(character)
    })
}

/// The same in one line.
fn visible_line(text: &str) -> Cow<'_, str> {
    escape(text, is_hidden)
}

fn escape(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    // Nothing that is hidden is among the printable characters of ASCII.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' if hidden('\n') => out.push_str("\\n"),
            '\t' if hidden('\t') => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            character if hidden(character) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// What a terminal obeys or a reader cannot see: C0, C1, direction controls, zero-width characters
/// (the joiners stay: scripts and emoji need them), line separators, tags.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}
