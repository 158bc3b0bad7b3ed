//! Rows of an answer, written as the JSON they leave as while they are read.
//!
//! There may be a great many: a tree of values would take an allocation for every cell, and be walked, copied and
//! taken apart once for each stage. Here they are one text, and the length of each cell in it. What the journal keeps
//! is canonical JSON, which writes some numbers another way: those are remembered, so that both come of one text.

mod cells;
mod ahead;

use std::fmt;
use std::io::Result;
use std::sync::Arc;

use serde_json::Value;

use crate::beside;
use crate::packed::Packing;
use ahead::{Ahead, Ends, Rows};
use cells::{Apart, Mark, Places};

pub use ahead::{LookAhead, Seen};
pub use cells::Cells;

/// Rows, each of as many cells as there are columns.
pub struct Table {
    width: usize,
    rows: u64,
    /// `[[1,"a"],[2,"b"]`: what is written so far.
    json: String,
    /// Bytes of each cell.
    cells: Vec<usize>,
    /// Where canonical JSON is another, in order.
    apart: Vec<Apart>,
    /// Where parts end that can be looked at by themselves.
    ends: Ends,
    /// Looks at them already.
    ahead: Option<Ahead>,
    /// What was seen in it, part by part.
    seen: Vec<Seen>,
}

/// A row that is being written.
#[derive(Debug)]
pub struct Row<'t> {
    table: &'t mut Table,
    start: usize,
    first_cell: usize,
    /// Where the cell that is being written begins.
    cell: usize,
    kept: bool,
}

impl Table {
    /// No rows of `width` columns.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self {
            width,
            rows: 0,
            json: "[".to_owned(),
            cells: Vec::new(),
            apart: Vec::new(),
            ends: Ends::default(),
            ahead: None,
            seen: Vec::new(),
        }
    }

    /// The same, whose rows are looked at while more of them come.
    #[must_use]
    pub fn looked_at_by(width: usize, by: Option<Arc<dyn LookAhead>>) -> Self {
        Self {
            ahead: by.map(|eye| Ahead::new(eye, width)),
            ..Self::new(width)
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.rows
    }

    /// How large they are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Begins a row; it is one when it is [kept](Row::keep).
    pub fn row(&mut self) -> Row<'_> {
        let (start, first_cell) = (self.json.len(), self.cells.len());
        self.json.push_str(if self.rows > 0 { ",[" } else { "[" });
        Row {
            cell: self.json.len(),
            table: self,
            start,
            first_cell,
            kept: false,
        }
    }

    /// The rows as JSON.
    #[must_use]
    pub fn into_json(mut self) -> String {
        self.json.push(']');
        self.json
    }

    /// The same as a tree.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let whole = format!("{}]", self.json);
        serde_json::from_str(&whole).unwrap_or_default() // of our own writing
    }

    /// All cells.
    #[must_use]
    pub fn cells(&self) -> Cells<'_> {
        Cells::new(
            &self.json,
            (&self.cells, &self.apart),
            self.width,
            Mark::default(),
        )
    }

    /// Sees to it that all cells are looked at. What was looked at while rows came is not looked at again.
    pub fn see_all(&mut self, eye: impl Fn() -> Arc<dyn LookAhead>) {
        let ahead = self.ahead.take().filter(Ahead::has_begun);
        self.seen = Vec::new();
        if ahead.is_some() || self.json.len() > beside::WORTH_IT {
            let ahead = ahead.unwrap_or_else(|| Ahead::new(eye(), self.width));
            let end = Mark {
                cell: self.cells.len(),
                at: self.json.len() - 1, // before the bracket of the last row
            };
            self.seen = ahead.all(self.rows(), end).unwrap_or_default();
        }
        if self.seen.iter().map(|seen| seen.cells).sum::<usize>() != self.cells.len() || self.seen.is_empty()
        {
            self.seen = vec![eye().look_ahead(self.cells())];
        }
    }

    /// There is another row, as far as `end`.
    fn grown(&mut self, end: Mark) {
        if self.width > 0 // without cells there is nothing to look at
            && self.ends.grown(end)
            && let Some(mut ahead) = self.ahead.take()
        {
            ahead.grown(self.rows());
            self.ahead = Some(ahead);
        }
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            json: &self.json,
            lengths: &self.cells,
            apart: &self.apart,
            ends: &self.ends,
        }
    }

    /// The parts that were looked at, in order: their cells, and the lines that were made of them. Without lines are
    /// those that are dubious, and those in which a cell was replaced.
    pub fn parts(&self) -> impl Iterator<Item = (Cells<'_>, Option<&str>)> {
        let (mut rest, mut left) = (self.cells(), self.seen.iter());
        std::iter::from_fn(move || match left.next() {
            Some(seen) => Some((rest.split_off_front(seen.cells), seen.lines.as_deref())),
            None => Some((rest.split_off_front(rest.count()), None)).filter(|(cells, _)| cells.count() > 0),
        })
    }

    /// The lines have been put together, and are not needed in parts any more.
    pub fn forget_lines(&mut self) {
        self.seen.iter_mut().for_each(|seen| seen.lines = None);
    }

    /// Replaces those of the dubious cells that `look` gives another value for; it is called in order, with the column
    /// and the JSON of each.
    pub fn revise(&mut self, mut look: impl FnMut(usize, &str) -> Option<Value>) {
        let mut changes = Vec::new();
        let mut places = self.seen.iter().flat_map(|seen| &seen.dubious).peekable();
        if places.peek().is_some() {
            self.cells().each(|cell, column, json| {
                if places.next_if_eq(&&cell).is_some()
                    && let Some(value) = look(column, json)
                {
                    changes.push((cell, value));
                }
            });
        }
        if places.peek().is_some() {
            changes.clear(); // not in order: then every cell is looked at
            self.cells()
                .each(|cell, column, json| changes.extend(look(column, json).map(|value| (cell, value))));
            self.seen = Vec::new();
        }
        if !changes.is_empty() {
            self.replace(changes);
        }
    }

    fn replace(&mut self, changes: Vec<(usize, Value)>) {
        let mut new = Self {
            json: String::with_capacity(self.json.len()),
            cells: std::mem::take(&mut self.cells),
            rows: self.rows,
            seen: std::mem::take(&mut self.seen),
            ..Self::new(self.width)
        };
        let mut changes = changes.into_iter().peekable();
        let mut apart = std::mem::take(&mut self.apart).into_iter().peekable();
        let (mut places, mut copied) = (Places::new(self.width), 0);
        for cell in 0..new.cells.len() {
            let Some(length) = new.cells.get(cell).copied() else {
                break;
            };
            let (_, start) = places.next(length);
            let change = changes.next_if(|(at, _)| *at == cell);
            while let Some(piece) = apart.next_if(|piece| piece.cell == cell) {
                if change.is_none() {
                    new.apart.push(piece);
                }
            }
            if let Some((_, value)) = change {
                new.json
                    .push_str(self.json.get(copied..start).unwrap_or_default());
                copied = places.at;
                let begun = new.json.len();
                new.write(cell, &value);
                let length = new.json.len() - begun;
                if let Some(slot) = new.cells.get_mut(cell) {
                    *slot = length;
                }
            }
        }
        new.json.push_str(self.json.get(copied..).unwrap_or_default());
        *self = new;
    }

    /// Writes a value as the cell of that number.
    fn write(&mut self, cell: usize, value: &Value) {
        let json = value.to_string();
        let other = match value {
            Value::Null | Value::Bool(_) | Value::String(_) => false,
            Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
        };
        if other {
            let canonical = crate::call::canonical(value);
            if canonical != json.as_bytes() {
                self.apart.push(Apart {
                    cell,
                    start: 0,
                    length: json.len(),
                    canonical: canonical.into(),
                });
            }
        }
        self.json.push_str(&json);
    }

    /// Writes the rows as canonical JSON.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write_canonical(&self, out: &mut impl Packing) -> Result<()> {
        let mut rest = self.cells();
        for seen in &self.seen {
            out.known(seen.packed.as_ref());
            rest.split_off_front(seen.cells).write_canonical(out)?;
        }
        out.known(None);
        rest.write_canonical(out)?;
        out.write_all(b"]")
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("rows", &self.rows)
            .field("bytes", &self.json.len())
            .finish_non_exhaustive()
    }
}

impl Row<'_> {
    /// A cell that is written as it is in any JSON: null, a word, an integer of at most 2^53, a string with its quotes.
    pub fn plain(&mut self, json: &str) {
        self.open().push_str(json);
        self.close();
    }

    /// An integer of at most 2^53, either way.
    pub fn integer(&mut self, integer: i64) {
        let json = self.open();
        let _ = std::fmt::Write::write_fmt(json, format_args!("{integer}"));
        self.close();
    }

    /// A string that needs no escapes: the text between the quotes.
    pub fn unescaped(&mut self, text: &str) {
        let json = self.open();
        json.push('"');
        json.push_str(text);
        json.push('"');
        self.close();
    }

    /// A whole number of a type that has others: `.0` is added, which canonical JSON leaves out.
    pub fn whole(&mut self, digits: &str) {
        let cell = self.table.cells.len();
        let json = self.open();
        json.push_str(digits);
        json.push_str(".0");
        self.table.apart.push(Apart {
            cell,
            start: digits.len(),
            length: 2,
            canonical: Box::default(),
        });
        self.close();
    }

    /// Any value.
    pub fn value(&mut self, value: &Value) {
        self.open();
        let cell = self.table.cells.len();
        self.table.write(cell, value);
        self.close();
    }

    /// The row is one of the table, if it has a cell for each column; otherwise nothing of it is left, as when this is
    /// not called.
    #[must_use]
    pub fn keep(mut self) -> bool {
        self.kept = self.table.cells.len() - self.first_cell == self.table.width;
        if self.kept {
            let end = Mark {
                cell: self.table.cells.len(),
                at: self.table.json.len(),
            };
            self.table.json.push(']');
            self.table.rows += 1;
            self.table.grown(end);
        }
        self.kept
    }

    fn open(&mut self) -> &mut String {
        let json = &mut self.table.json;
        if self.table.cells.len() > self.first_cell {
            json.push(',');
        }
        self.cell = json.len();
        json
    }

    fn close(&mut self) {
        self.table.cells.push(self.table.json.len() - self.cell);
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        self.table.json.truncate(self.start);
        self.table.cells.truncate(self.first_cell);
        let apart = &mut self.table.apart;
        while apart.last().is_some_and(|piece| piece.cell >= self.first_cell) {
            apart.pop();
        }
    }
}
