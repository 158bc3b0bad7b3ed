//! Masks JSON values in place and notes where. A place is the path of keys without indices; in an answer
//! of rows it names the column.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::encoded;
use super::engine::{self, Engine, Scratch};
use super::numbers::is_card;
use super::pem::Edges;
use super::rows;
use crate::call::{Cells, LookAhead, MaskCounts, Seen, Table};

/// Length at which a search hit's line is cut, in bytes (`FileMatch::text`).
const LONGEST_HIT: usize = 1000;
/// A cut may fall a little earlier: at the start of a character, or before a mark that says so.
const CUT_SLACK: usize = 16;

/// Masks the data of an answer, and the rows that belong into it; `shown` as in [`RawOutput`](crate::call::RawOutput).
pub(super) fn answer(
    engine: &Arc<Engine>,
    (data, table): (&mut Value, Option<&mut Table>),
    counts: &mut MaskCounts,
    shown: &BTreeSet<String>,
) {
    let mut walk = Walk::new(engine, counts);
    walk.shown = Some(shown).filter(|shown| !shown.is_empty());
    match data {
        Value::Object(fields) => {
            if fields.contains_key("columns") && fields.contains_key("rows") {
                walk.table(fields, table);
            } else {
                walk.edges = cut_edges(fields);
                walk.object(fields);
            }
        }
        other => walk.value(other),
    }
}

/// Masks any value.
pub(super) fn value(engine: &Arc<Engine>, value: &mut Value, counts: &mut MaskCounts) {
    Walk::new(engine, counts).value(value);
}

/// Whether a file's text begins or ends in the middle of the file; a search hit always does.
fn cut_edges(fields: &Map<String, Value>) -> Edges {
    if fields.contains_key("matches") {
        return Edges {
            start: true,
            end: true,
            cut: false, // by the length of each hit
        };
    }
    let line = |index: usize| {
        fields
            .get("lines")
            .and_then(|lines| lines.get(index))
            .and_then(Value::as_u64)
    };
    let Some((first, last)) = line(0).zip(line(1)) else {
        return Edges::default();
    };
    let total = fields.get("total_lines").and_then(Value::as_u64);
    Edges {
        start: first > 1,
        end: total.is_none_or(|total| last < total),
        cut: total.is_none_or(|total| last < total),
    }
}

/// A number of fewer digits is no payment card's.
const CARD: usize = 13;

/// What there is to do about cells, whatever policy says.
#[derive(Debug)]
pub(super) struct Lookahead(pub(super) Arc<Engine>);

impl LookAhead for Lookahead {
    fn look_ahead(&self, cells: Cells<'_>) -> Seen {
        let (mut dubious, mut counts) = (Vec::new(), MaskCounts::default());
        let mut walk = Walk::new(&self.0, &mut counts);
        cells.clone().each(|cell, _, json| {
            if !walk.is_clean(json) {
                dubious.push(cell);
            }
        });
        let lines = dubious.is_empty().then(|| rows::lines(cells.clone()));
        Seen::new(cells.count(), dubious, lines)
    }
}

struct Walk<'a> {
    engine: &'a Arc<Engine>,
    counts: &'a mut MaskCounts,
    scratch: Scratch,
    found: BTreeMap<&'static str, u64>,
    path: Vec<String>,
    edges: Edges,
    shown: Option<&'a BTreeSet<String>>,
}

impl<'a> Walk<'a> {
    fn new(engine: &'a Arc<Engine>, counts: &'a mut MaskCounts) -> Self {
        Self {
            engine,
            counts,
            scratch: Scratch::default(),
            found: BTreeMap::new(),
            path: Vec::new(),
            edges: Edges::default(),
            shown: None,
        }
    }

    fn table(&mut self, fields: &mut Map<String, Value>, mut table: Option<&mut Table>) {
        if let Some(columns) = fields.get_mut("columns") {
            self.under("columns", columns);
        }
        let names: Vec<String> = fields
            .get("columns")
            .and_then(Value::as_array)
            .map(|columns| {
                columns
                    .iter()
                    .map(|name| name.as_str().unwrap_or_default().to_owned())
                    .collect()
            })
            .unwrap_or_default();
        for (key, value) in fields.iter_mut().filter(|(key, _)| *key != "columns") {
            let is_rows = key == "rows";
            match (table.take_if(|_| is_rows), value) {
                (Some(table), _) => self.written(table, &names),
                (None, Value::Array(rows)) if is_rows => self.rows(rows, &names),
                (None, value) => self.under(key, value),
            }
        }
    }

    /// Rows that are JSON already. What can be seen to hold nothing stays as it is; any other cell is masked as a value.
    fn written(&mut self, table: &mut Table, names: &[String]) {
        table.see_all(|| Arc::new(Lookahead(Arc::clone(self.engine))));
        self.path.push("rows".to_owned());
        table.revise(|column, json| {
            let mut cell: Value = serde_json::from_str(json).unwrap_or_default(); // of our own writing
            self.cell(&mut cell, names.get(column).map_or("?", String::as_str));
            let masked = cell.to_string();
            (masked != json).then_some(cell)
        });
        self.path.pop();
    }

    /// Whether there is nothing to hide in a cell, as far as that shows without reading it as a value.
    fn is_clean(&mut self, json: &str) -> bool {
        match json.as_bytes() {
            [b'n' | b't' | b'f', ..] => true,
            [b'"', ..] if json.len() < engine::SHORTEST + 2 => true,
            [b'-' | b'0'..=b'9', ..] => json.len() < CARD && !json.contains(['e', 'E']),
            [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => {
                let text = json.get(1..json.len() - 1).unwrap_or_default();
                let clean = self.string(text).is_none();
                self.found.clear();
                clean
            }
            _ => false,
        }
    }

    fn rows(&mut self, rows: &mut [Value], names: &[String]) {
        self.path.push("rows".to_owned());
        for row in rows {
            match row {
                Value::Array(cells) => {
                    for (index, cell) in cells.iter_mut().enumerate() {
                        if matches!(cell, Value::Null | Value::Bool(_)) {
                            continue;
                        }
                        self.cell(cell, names.get(index).map_or("?", String::as_str));
                    }
                }
                other => self.value(other),
            }
        }
        self.path.pop();
    }

    fn cell(&mut self, cell: &mut Value, column: &str) {
        let raw = self.shown.map(|_| cell.clone());
        self.leaf(cell);
        if let Some(raw) = raw
            && self.is_shown(cell)
        {
            self.found.clear();
            *cell = raw;
            return;
        }
        if matches!(cell, Value::Object(_) | Value::Array(_)) {
            self.path.push(column.to_owned());
            self.value(cell);
            self.path.pop();
        } else if !self.found.is_empty() {
            self.path.push(column.to_owned());
            self.note();
            self.path.pop();
        }
    }

    /// Whether a cell that was masked is one value as a whole, and of a class that policy shows.
    fn is_shown(&self, masked: &Value) -> bool {
        let (Some(shown), Some(text), Some((rule, 1))) = (
            self.shown,
            masked.as_str(),
            self.found.first_key_value().map(|(rule, count)| (*rule, *count)),
        ) else {
            return false;
        };
        let mut whole = String::new();
        engine::show(&mut whole, engine::rule(rule), &mut BTreeMap::new());
        self.found.len() == 1 && shown.contains(rule) && text == whole
    }

    fn under(&mut self, key: &str, value: &mut Value) {
        self.path.push(key.to_owned());
        self.value(value);
        self.path.pop();
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            leaf => {
                self.leaf(leaf);
                self.note();
            }
        }
    }

    fn object(&mut self, fields: &mut Map<String, Value>) {
        if let (Some(Value::String(blob)), true) = (fields.get("base64"), fields.contains_key("bytes"))
            && let Some(rule) = encoded::blob(self.engine, blob)
        {
            let mut shown = String::new();
            engine::show(&mut shown, rule, &mut self.found);
            fields.insert("base64".to_owned(), Value::String(shown));
            self.note();
        }
        let mut renamed = Vec::new();
        for (key, value) in fields.iter_mut() {
            if let Some(masked) = self.string(key) {
                self.note();
                renamed.push((key.clone(), masked.clone()));
                self.under(&masked, value);
            } else {
                self.under(key, value);
            }
        }
        for (key, masked) in renamed {
            let Some(value) = fields.remove(&key) else {
                continue;
            };
            // Two keys may look the same once masked; neither value may be lost silently.
            let mut name = masked.clone();
            for number in 2_u32.. {
                if !fields.contains_key(&name) {
                    break;
                }
                name = format!("{masked}#{number}");
            }
            fields.insert(name, value);
        }
    }

    /// Masks a string or a number in place; what was found waits in `found` until it is noted.
    fn leaf(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(masked) = self.string(text) {
                    *text = masked;
                }
            }
            Value::Number(number) if number_is_card(number) => {
                let mut shown = String::new();
                engine::show(&mut shown, engine::rule("payment-card"), &mut self.found);
                *value = Value::String(shown);
            }
            _ => {}
        }
    }

    fn string(&mut self, text: &str) -> Option<String> {
        let mut edges = self.edges;
        edges.cut |= edges.end && text.len() + CUT_SLACK >= LONGEST_HIT;
        self.engine.mask(text, edges, &mut self.scratch, &mut self.found)
    }

    fn note(&mut self) {
        if self.found.is_empty() {
            return;
        }
        let place = if self.path.is_empty() {
            "value".to_owned()
        } else {
            self.path.join(".")
        };
        for (rule, count) in std::mem::take(&mut self.found) {
            self.counts.add(&place, rule, count);
        }
    }
}

/// A card number in a numeric cell: as an integer, or as a whole floating-point number.
fn number_is_card(number: &Number) -> bool {
    let integer = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        let whole = float.fract() == 0.0 && (1e12..1e19).contains(&float);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked on the line above"
        )]
        whole.then_some(float as u64)
    });
    integer.is_some_and(|integer| integer >= 1_000_000_000_000 && is_card(integer.to_string().as_bytes()))
}
