//! Rows of an answer, written as the JSON they leave as while they are read.
//!
//! There may be a great many: a tree of values would take an allocation for every cell, and be walked, copied and
//! taken apart once for each stage. Here they are one text, and the length of each cell in it. What the journal keeps
//! is canonical JSON, which writes some numbers another way: those are remembered, so that both come of one text.

use std::fmt;
use std::io::{Result, Write};

use serde_json::Value;

/// Rows, each of as many cells as there are columns.
#[derive(Clone)]
pub struct Table {
    width: usize,
    rows: u64,
    /// `[[1,"a"],[2,"b"]`: what is written so far.
    json: String,
    /// Bytes of each cell.
    cells: Vec<usize>,
    /// Where canonical JSON is another, in order.
    apart: Vec<Apart>,
}

/// A piece of a cell that canonical JSON writes another way.
#[derive(Debug, Clone)]
struct Apart {
    cell: usize,
    /// From which byte of the cell, and how many.
    start: usize,
    length: usize,
    canonical: Box<[u8]>,
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
        Cells {
            json: &self.json,
            lengths: &self.cells,
            places: Places::new(self.width),
            cell: 0,
        }
    }

    /// The cells of the rows in about half of the bytes, and those of the others.
    #[must_use]
    pub fn halves(&self) -> (Cells<'_>, Cells<'_>) {
        let (mut first, mut second) = (self.cells(), self.cells());
        for length in &self.cells {
            if second.places.column == 0 && second.places.at >= self.json.len() / 2 {
                break;
            }
            second.places.next(*length);
            second.cell += 1;
        }
        (first.lengths, second.lengths) = self.cells.split_at(second.cell);
        (first, second)
    }

    /// Replaces those of the cells at `places`, in order, that `look` gives another value for; it is called as
    /// [`Cells::each`] calls.
    pub fn revise(&mut self, places: &[usize], mut look: impl FnMut(usize, &str) -> Option<Value>) {
        let mut changes = Vec::new();
        let mut places = places.iter().peekable();
        if places.peek().is_some() {
            self.cells().each(|cell, column, json| {
                if places.next_if_eq(&&cell).is_some()
                    && let Some(value) = look(column, json)
                {
                    changes.push((cell, value));
                }
            });
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
            let canonical = super::canonical(value);
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
    pub(crate) fn write_canonical(&self, out: &mut impl Write) -> Result<()> {
        let json = self.json.as_bytes();
        let mut written = 0;
        if !self.apart.is_empty() {
            let mut apart = self.apart.iter().peekable();
            let mut places = Places::new(self.width);
            for (cell, length) in self.cells.iter().enumerate() {
                let (_, start) = places.next(*length);
                while let Some(piece) = apart.next_if(|piece| piece.cell == cell) {
                    let from = start + piece.start;
                    out.write_all(json.get(written..from).unwrap_or_default())?;
                    out.write_all(&piece.canonical)?;
                    written = from + piece.length;
                }
            }
        }
        out.write_all(json.get(written..).unwrap_or_default())?;
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

/// Cells of whole rows.
#[derive(Clone)]
pub struct Cells<'t> {
    json: &'t str,
    lengths: &'t [usize],
    places: Places,
    /// The number of the first.
    cell: usize,
}

impl Cells<'_> {
    /// Calls `each` with every cell in order: its number in the table, that of its column, and its JSON.
    pub fn each(self, mut each: impl FnMut(usize, usize, &str)) {
        let mut places = self.places;
        for (cell, length) in (self.cell..).zip(self.lengths) {
            let (column, start) = places.next(*length);
            each(cell, column, self.json.get(start..places.at).unwrap_or_default());
        }
    }
}

impl fmt::Debug for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("count", &self.lengths.len())
            .finish_non_exhaustive()
    }
}

/// Where cells are: after the bracket of their row and the commas between them.
#[derive(Clone)]
struct Places {
    width: usize,
    column: usize,
    /// One after the last cell.
    at: usize,
}

impl Places {
    fn new(width: usize) -> Self {
        Self {
            width: width.max(1),
            column: 0,
            at: 0,
        }
    }

    /// The column and the start of the next cell of so many bytes.
    fn next(&mut self, length: usize) -> (usize, usize) {
        let column = self.column;
        // `[[` before the first of all, `],[` before the first of a row, `,` before another.
        let start = match (column, self.at) {
            (0, 0) => 2,
            (0, at) => at + 3,
            (_, at) => at + 1,
        };
        self.column = if column + 1 == self.width { 0 } else { column + 1 };
        self.at = start + length;
        (column, start)
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
            self.table.json.push(']');
            self.table.rows += 1;
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
