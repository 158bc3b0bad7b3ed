//! Cells of whole rows, and where they are.

use std::fmt;
use std::io::{Result, Write};

/// A place between two rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Cells before it.
    pub(super) cell: usize,
    /// One after the last of them, in bytes of the table.
    pub(super) at: usize,
}

/// A piece of a cell that canonical JSON writes another way.
#[derive(Debug, Clone)]
pub(super) struct Apart {
    pub(super) cell: usize,
    /// From which byte of the cell, and how many.
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) canonical: Box<[u8]>,
}

/// Cells of whole rows.
#[derive(Clone)]
pub struct Cells<'t> {
    /// From `before` on, as far as the last of them or further.
    json: &'t str,
    before: usize,
    lengths: &'t [usize],
    /// Where canonical JSON is another in them, in order.
    apart: &'t [Apart],
    places: Places,
    /// The number of the first.
    cell: usize,
}

impl<'t> Cells<'t> {
    /// Those of so many bytes after `mark`, which `json` begins behind, in rows of `width`.
    pub(super) fn new(
        json: &'t str,
        (lengths, apart): (&'t [usize], &'t [Apart]),
        width: usize,
        mark: Mark,
    ) -> Self {
        Self {
            json,
            before: mark.at,
            lengths,
            apart,
            places: Places {
                at: mark.at,
                ..Places::new(width)
            },
            cell: mark.cell,
        }
    }

    /// Calls `each` with every cell in order: its number in the table, that of its column, and its JSON.
    pub fn each(self, mut each: impl FnMut(usize, usize, &str)) {
        let mut places = self.places;
        for (cell, length) in (self.cell..).zip(self.lengths) {
            let (column, start) = places.next(*length);
            let place = start.wrapping_sub(self.before)..places.at.wrapping_sub(self.before);
            each(cell, column, self.json.get(place).unwrap_or_default());
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// How many columns there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.places.width
    }

    /// Their bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.json.len()
    }

    /// The same by themselves.
    pub(super) fn copied(&self) -> Copied {
        Copied {
            json: self.json.to_owned(),
            lengths: self.lengths.to_vec(),
            apart: self.apart.to_vec(),
            width: self.places.width,
            mark: Mark {
                cell: self.cell,
                at: self.before,
            },
        }
    }

    /// Writes them as canonical JSON, with what stands before and between them.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write_canonical(&self, out: &mut impl Write) -> Result<()> {
        let json = self.json.as_bytes();
        let mut written = 0;
        if !self.apart.is_empty() {
            let (mut apart, mut places) = (self.apart.iter().peekable(), self.places.clone());
            for (cell, length) in (self.cell..).zip(self.lengths) {
                let (_, start) = places.next(*length);
                while let Some(piece) = apart.next_if(|piece| piece.cell == cell) {
                    let from = (start + piece.start).wrapping_sub(self.before);
                    out.write_all(json.get(written..from).unwrap_or_default())?;
                    out.write_all(&piece.canonical)?;
                    written = from.wrapping_add(piece.length);
                }
            }
        }
        out.write_all(json.get(written..).unwrap_or_default())
    }

    /// The first so many of them, whole rows; the others stay.
    pub(super) fn split_off_front(&mut self, count: usize) -> Self {
        let mut first = self.clone();
        (first.lengths, self.lengths) = self.lengths.split_at(count.min(self.lengths.len()));
        for length in first.lengths {
            self.places.next(*length);
        }
        self.cell += first.lengths.len();
        let apart = first.apart.partition_point(|piece| piece.cell < self.cell);
        (first.apart, self.apart) = first.apart.split_at(apart);
        let bytes = self.places.at - self.before;
        (first.json, self.json) = self.json.split_at_checked(bytes).unwrap_or((self.json, ""));
        self.before = self.places.at;
        first
    }
}

impl fmt::Debug for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("count", &self.lengths.len())
            .finish_non_exhaustive()
    }
}

/// Cells that were copied, since more are written behind them.
pub(super) struct Copied {
    json: String,
    lengths: Vec<usize>,
    apart: Vec<Apart>,
    width: usize,
    mark: Mark,
}

impl Copied {
    pub(super) fn cells(&self) -> Cells<'_> {
        Cells::new(&self.json, (&self.lengths, &self.apart), self.width, self.mark)
    }
}

/// Where cells are: after the bracket of their row and the commas between them.
#[derive(Clone)]
pub(super) struct Places {
    width: usize,
    column: usize,
    /// One after the last cell.
    pub(super) at: usize,
}

impl Places {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width: width.max(1),
            column: 0,
            at: 0,
        }
    }

    /// The column and the start of the next cell of so many bytes.
    pub(super) fn next(&mut self, length: usize) -> (usize, usize) {
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
