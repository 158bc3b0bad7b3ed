//! Rows are looked at while more of them come: whoever waits for a database has time for what is done with each row
//! afterwards, and the answer is through sooner. What was seen is used when the answer is masked, and only then.

use std::fmt;
use std::sync::Arc;

use super::cells::{Apart, Cells, Copied, Mark};
use crate::beside::Beside;
use crate::packed;

/// So many bytes are looked at at once.
const PART: usize = 64 * 1024;
/// A row that makes a part larger than this is not copied.
const COPIED: usize = 1024 * 1024;

/// Looks at cells before the answer that they are in is masked.
pub trait LookAhead: Send + Sync + fmt::Debug {
    /// What is to be done about them.
    fn look_ahead(&self, cells: Cells<'_>) -> Seen;
}

/// What was seen in cells of whole rows.
pub struct Seen {
    /// How many they are.
    pub cells: usize,
    /// Those that have to be read as values, by their number in the table.
    pub dubious: Vec<usize>,
    /// Their lines of the text form, where none is dubious.
    pub lines: Option<String>,
    /// What the journal will keep of them, where that is known already.
    pub(crate) packed: Option<Arc<packed::Part>>,
}

impl Seen {
    /// What is to be done about so many cells.
    pub(crate) fn new(cells: usize, dubious: Vec<usize>, lines: Option<String>) -> Self {
        Self {
            cells,
            dubious,
            lines,
            packed: None,
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("cells", &self.cells)
            .field("dubious", &self.dubious.len())
            .finish_non_exhaustive()
    }
}

/// Marks where parts end, in order.
#[derive(Debug, Default)]
pub(super) struct Ends(Vec<Mark>);

impl Ends {
    /// There are whole rows as far as `end`. True where that is the end of a part.
    pub(super) fn grown(&mut self, end: Mark) -> bool {
        let is_part = end.at >= self.0.last().map_or(0, |last| last.at) + PART;
        if is_part {
            self.0.push(end);
        }
        is_part
    }
}

/// Rows as far as they are there.
#[derive(Clone, Copy)]
pub(super) struct Rows<'t> {
    pub(super) json: &'t str,
    pub(super) lengths: &'t [usize],
    pub(super) apart: &'t [Apart],
    pub(super) ends: &'t Ends,
}

/// One who looks at rows as they come.
pub(super) struct Ahead {
    eye: Arc<dyn LookAhead>,
    beside: Beside<Copied, Seen>,
    width: usize,
    /// How many parts are told, and where the last of them ends.
    told: usize,
    from: Mark,
}

impl Ahead {
    pub(super) fn new(eye: Arc<dyn LookAhead>, width: usize) -> Self {
        let its = Arc::clone(&eye);
        let look = move |copied: Copied, helped: bool| {
            let cells = copied.cells();
            let mut seen = its.look_ahead(cells.clone());
            if helped && seen.dubious.is_empty() {
                seen.packed = pack(&cells); // whoever waits leaves that to who keeps it
            }
            seen
        };
        Self {
            eye,
            beside: Beside::new(look),
            width,
            told: 0,
            from: Mark::default(),
        }
    }

    /// There is another part. What there is no room for is told later.
    pub(super) fn grown(&mut self, rows: Rows<'_>) {
        while self.beside.has_room() && self.tell(rows) {}
    }

    /// Tells of the next part; false if there is none.
    fn tell(&mut self, rows: Rows<'_>) -> bool {
        let Some(to) = rows.ends.0.get(self.told).copied() else {
            return false;
        };
        self.told += 1;
        let cells = self.take(rows, to);
        match cells.bytes() > COPIED {
            true => self.beside.have(self.eye.look_ahead(cells)),
            false => self.beside.put(cells.copied()),
        }
        true
    }

    /// The cells as far as `to`, of those that nobody was told of.
    fn take<'t>(&mut self, rows: Rows<'t>, to: Mark) -> Cells<'t> {
        let from = std::mem::replace(&mut self.from, to);
        let before = |mark: Mark| rows.apart.partition_point(|piece| piece.cell < mark.cell);
        let json = rows.json.get(from.at..to.at).unwrap_or_default();
        let lengths = rows.lengths.get(from.cell..to.cell).unwrap_or_default();
        let apart = rows.apart.get(before(from)..before(to)).unwrap_or_default();
        Cells::new(json, (lengths, apart), self.width, from)
    }

    /// Whether any part was told of.
    pub(super) fn has_begun(&self) -> bool {
        self.told > 0
    }

    /// What is seen in all rows, part by part, now that there are no more; nothing if a look ended in a panic.
    pub(super) fn all(mut self, rows: Rows<'_>, end: Mark) -> Option<Vec<Seen>> {
        while self.tell(rows) {
            while !self.beside.has_room() && self.beside.help() {}
        }
        if self.from != end {
            let cells = self.take(rows, end);
            self.beside.have(self.eye.look_ahead(cells));
        }
        self.beside.end()
    }
}

/// Compresses cells as they will be kept, if nothing of them is masked.
fn pack(cells: &Cells<'_>) -> Option<Arc<packed::Part>> {
    let mut canonical = Vec::with_capacity(cells.bytes());
    cells.write_canonical(&mut canonical).ok()?;
    packed::part(&canonical).ok().map(Arc::new)
}
