//! An answer under way whose rows are written as they are read.

use std::sync::Arc;

use super::{Head, Page, row_too_large};
use crate::call::{LookAhead, RawOutput, Refusal, Row, Table};

/// Rows as they come, as long as there is room for them.
#[derive(Debug)]
pub(in crate::resource::sql) struct Writing<'p> {
    page: &'p Page,
    lookahead: Option<&'p Arc<dyn LookAhead>>,
    spent: u64,
    head: Option<Head>,
    table: Table,
    pub(in crate::resource::sql) truncated: bool,
    next_cursor: Option<String>,
}

impl<'p> Writing<'p> {
    pub(in crate::resource::sql) fn new(page: &'p Page, lookahead: Option<&'p Arc<dyn LookAhead>>) -> Self {
        Self {
            page,
            lookahead,
            spent: 0,
            head: None,
            table: Table::new(0),
            truncated: false,
            next_cursor: None,
        }
    }

    #[cfg(feature = "postgres")]
    pub(in crate::resource::sql) fn page(&self) -> &'p Page {
        self.page
    }

    pub(in crate::resource::sql) fn row_count(&self) -> u64 {
        self.table.row_count()
    }

    /// Whether the names of the columns are known.
    pub(in crate::resource::sql) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// What the columns are called.
    pub(in crate::resource::sql) fn begin(&mut self, head: Head) {
        self.spent = head
            .0
            .iter()
            .chain(&head.1)
            .map(|name| name.len() as u64 + 3)
            .sum();
        self.table = Table::looked_at_by(head.0.len(), self.lookahead.cloned());
        self.head = Some(head);
    }

    /// Takes a row of `width` cells if there is room for it; `cell` writes one and says what it costs.
    ///
    /// # Errors
    /// `limit_exceeded` for a first row that does not fit; what `cell` says; `internal` for a row of another width.
    pub(in crate::resource::sql) fn take(
        &mut self,
        width: usize,
        mut cell: impl FnMut(usize, &mut Row<'_>) -> Result<u64, Refusal>,
    ) -> Result<(), Refusal> {
        if self.truncated {
            return Ok(());
        }
        let first = self.row_count() == 0;
        if self.row_count() >= self.page.rows {
            self.full();
            return Ok(());
        }
        let mut row = self.table.row();
        let mut cost = 2;
        for at in 0..width {
            cost += cell(at, &mut row)?;
            if cost > self.page.bytes {
                break; // no more of it is needed
            }
        }
        if self.spent.saturating_add(cost) > self.page.bytes {
            drop(row);
            self.full();
            return if first {
                Err(row_too_large(self.page.bytes))
            } else {
                Ok(())
            };
        }
        self.spent += cost;
        match row.keep() {
            true => Ok(()),
            false => Err(Refusal::internal("a row with more or fewer cells than columns")),
        }
    }

    /// About how many rows there is still room for, if they are like those before; one more than that tells whether
    /// there are more.
    #[cfg(feature = "postgres")]
    pub(in crate::resource::sql) fn likely(&self) -> u64 {
        let left = self.page.bytes.saturating_sub(self.spent);
        let each = self.spent.checked_div(self.row_count());
        each.map_or(u64::MAX, |each| (left / each.max(1)).saturating_add(1))
    }

    fn full(&mut self) {
        self.truncated = true;
        self.next_cursor = Some(self.page.cursor(self.row_count()));
    }

    /// What came of it.
    pub(in crate::resource::sql) fn output(self) -> RawOutput {
        let mut raw = RawOutput::of_table(self.head.unwrap_or_default(), self.table);
        raw.truncated = self.truncated;
        raw.next_cursor = self.next_cursor;
        raw
    }
}
