//! One statement: inspected, then run in one transaction under its bounds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rusqlite::Statement;
use serde_json::{Value, json};

use super::check::{self, Checked};
use super::guard::Mode;
use super::link::{Key, Link};
use super::pool::Pool;
use super::values::{self, invalid};
use super::watch::{self, MEMORY, Watch};
use super::{Expected, refusals};
use crate::call::answer::Rows;
use crate::call::request::SqlQuery;
use crate::call::{ClassifiedColumn, Code, Hash, Limits, MaskCounts, RawOutput, Refusal};

/// What is to be run, and within which bounds.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) request: SqlQuery,
    pub(super) limits: Limits,
    /// `table.column` shown raw.
    pub(super) reveal: BTreeSet<String>,
    /// Whose tokens they are; empty where they are everybody's.
    pub(super) session: String,
    pub(super) expected: Expected,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) rows: Rows,
    pub(super) truncated: bool,
    pub(super) next_cursor: Option<String>,
    pub(super) masks: MaskCounts,
    /// Classes that the permit reveals.
    pub(super) shown: BTreeSet<String>,
}

impl Answer {
    pub(super) fn into_output(self) -> RawOutput {
        let mut raw = RawOutput::of_rows(self.rows);
        raw.truncated = self.truncated;
        raw.next_cursor = self.next_cursor;
        raw.source_masks = self.masks;
        raw.shown = self.shown;
        raw
    }
}

/// What a statement would touch, and on which version of the schema.
///
/// # Errors
/// See [`super::Database::inspect`].
pub(super) fn inspect(
    pool: &Pool,
    statement: &str,
    stop: &Arc<AtomicBool>,
) -> Result<(Arc<Checked>, i64), Refusal> {
    let watch = Watch::new(&pool.world, stop, pool.spec().limits.seconds, MEMORY);
    let mut link = pool.lease(&Key::default())?;
    let version = link.catalog.version;
    let checked = watched(&mut link, &watch, |link| check::check(link, statement, &watch));
    pool.give_back(link);
    Ok((checked?, version))
}

/// Runs a statement that was inspected.
///
/// # Errors
/// See [`super::Database::run`].
pub(super) fn run(pool: &Pool, order: &Order, stop: &Arc<AtomicBool>) -> Result<Answer, Refusal> {
    let watch = Watch::new(&pool.world, stop, order.limits.seconds, MEMORY);
    if let Some(why) = watch.ended() {
        return Err(refusals::ended(why));
    }
    let mut key = Key {
        reveal: order
            .expected
            .classified
            .iter()
            .map(|c| c.column.clone())
            .collect(),
        unordered: false,
        session: order.session.clone(),
    };
    key.reveal.retain(|column| order.reveal.contains(column));
    // The second time, indexes that tell the order of masked values are out of reach.
    for unordered in [false, true] {
        key.unordered = unordered;
        let mut link = pool.take(&key)?;
        let outcome = watched(&mut link, &watch, |link| in_transaction(link, order, &watch));
        pool.give_back(link);
        if let Some(answer) = outcome? {
            return Ok(answer);
        }
    }
    Err(Refusal::internal(
        "sqlite: a plan without such indexes still uses one",
    ))
}

fn watched<T>(
    link: &mut Link,
    watch: &Watch,
    work: impl FnOnce(&mut Link) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let watching = watch.over(&link.conn);
    let outcome = watching
        .map_err(|_| Refusal::internal("sqlite: no progress handler"))
        .and_then(|()| work(link));
    watch::off(&link.conn);
    outcome
}

/// `None` when the plan would tell the order of masked values.
fn in_transaction(link: &mut Link, order: &Order, watch: &Watch) -> Result<Option<Answer>, Refusal> {
    link.ours("BEGIN")
        .map_err(|error| refusals::running(&error, watch))?;
    let outcome = checked_rows(link, order, watch);
    if link.ours("ROLLBACK").is_err() {
        // Not back in autocommit: `give_back` closes the connection, which ends the transaction.
        tracing::warn!("a read transaction could not be ended; its connection is closed");
    }
    outcome
}

fn checked_rows(link: &mut Link, order: &Order, watch: &Watch) -> Result<Option<Answer>, Refusal> {
    let version = link.version().map_err(|error| refusals::running(&error, watch))?;
    order.expected.matches_version(version)?;
    order.expected.matches_version(link.catalog.version)?;
    let checked = check::check(link, &order.request.statement, watch)?;
    order.expected.matches(&checked)?;
    if checked.tells_order {
        return Ok(None);
    }
    link.guard.enter(Mode::Agent);
    let mut statement = link
        .conn
        .prepare_cached(&order.request.statement)
        .map_err(|error| refusals::running(&error, watch))?;
    values::bind(&mut statement, order.request.parameters.as_ref())?;
    let page = Page::of(order)?;
    let mut answer = collect(&mut statement, &page, watch)?;
    for column in masked(&checked, &order.reveal) {
        // A mask in a predicate is told even if no row came of it.
        answer
            .masks
            .add(&column.column, &column.class, answer.rows.row_count.max(1));
    }
    let shown = checked.classified.iter();
    let shown = shown.filter(|column| order.reveal.contains(&column.column));
    answer.shown = shown.map(|column| column.class.clone()).collect();
    Ok(Some(answer))
}

fn masked<'c>(
    checked: &'c Checked,
    reveal: &'c BTreeSet<String>,
) -> impl Iterator<Item = &'c ClassifiedColumn> {
    checked
        .named
        .iter()
        .filter(|column| !reveal.contains(&column.column))
}

/// Which rows of the result are asked for.
struct Page {
    first: u64,
    rows: u64,
    bytes: u64,
    /// Ties a cursor to its statement.
    tag: String,
}

impl Page {
    fn of(order: &Order) -> Result<Self, Refusal> {
        let request = &order.request;
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
            rows: request.limit.unwrap_or(u64::MAX).min(order.limits.rows),
            bytes: order.limits.bytes,
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

/// Takes rows until the page is full. Only one row is held beside the answer.
fn collect(statement: &mut Statement<'_>, page: &Page, watch: &Watch) -> Result<Answer, Refusal> {
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let types = values::types(statement);
    let width = columns.len();
    let mut spent = values::head(&columns, &types);
    let mut answer = Answer {
        rows: Rows {
            columns,
            types,
            rows: Vec::new(),
            row_count: 0,
        },
        truncated: false,
        next_cursor: None,
        masks: MaskCounts::default(),
        shown: BTreeSet::new(),
    };
    let failed = |error: rusqlite::Error| refusals::running(&error, watch);
    let mut rows = statement.raw_query();
    for _ in 0..page.first {
        if rows.next().map_err(failed)?.is_none() {
            return Ok(answer);
        }
    }
    while let Some(row) = rows.next().map_err(failed)? {
        let mut cost = 2;
        for at in 0..width {
            cost += values::cost(row.get_ref(at).map_err(failed)?);
        }
        let full = spent.saturating_add(cost) > page.bytes;
        if full && answer.rows.row_count == 0 {
            return Err(row_too_large(page.bytes));
        }
        if full || answer.rows.row_count >= page.rows {
            answer.truncated = true;
            answer.next_cursor = Some(page.cursor(answer.rows.row_count));
            break;
        }
        spent += cost;
        let mut cells: Vec<Value> = Vec::with_capacity(width);
        for at in 0..width {
            cells.push(values::render(row.get_ref(at).map_err(failed)?));
        }
        answer.rows.rows.push(cells);
        answer.rows.row_count += 1;
    }
    Ok(answer)
}

fn row_too_large(bytes: u64) -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!("One row takes more than the {bytes} bytes an answer may have."),
        "Select fewer columns, or substr() of the large ones.",
    )
}
