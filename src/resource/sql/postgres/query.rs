//! One statement: run in one transaction under its bounds, its rows taken a few at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::postgres::{PgColumn, PgRow};
use sqlx::{Column, Either, Executor, Row, Statement, ValueRef};

use super::guard::Checked;
use super::link::Link;
use super::loader::{Kind, Loaded};
use super::parameters;
use super::refusals::{self, Asked};
use super::values;
use super::written::Form;
use crate::call::request::SqlQuery;
use crate::call::{ClassifiedColumn, Limits, LookAhead, MaskCounts, RawOutput, Refusal};
use crate::resource::sql::pages::{Head, Page, Writing};
use crate::resource::sql::streams::unwatched;

/// Before the checked text. A cursor gives each value as the server's own text, whatever its type, as many rows
/// at a time as we want, and takes parameters; and one statement alone can be in it, which must be a query.
const CURSOR: &str = "DECLARE tollgate NO SCROLL CURSOR WITHOUT HOLD FOR ";
/// Rows per round trip, at first and at most, and how many times as many with each. They come as they are read, so that many
/// take no more memory than few; but what a full page has no room for is still sent.
const FIRST: u64 = 64;
const MOST: u64 = 16_384;
const MORE: u64 = 16;
/// Relations that the server has opened in this transaction.
const OPENED: &str = "SELECT l.relation::pg_catalog.int8 FROM pg_catalog.pg_locks l
        JOIN pg_catalog.pg_class c ON c.oid = l.relation
     WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND l.relation >= 16384
        AND c.relkind IN ('r','p','v','m','f')
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

/// What is to be run, and within which bounds.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) request: &'a SqlQuery,
    pub(super) limits: Limits,
    /// Looks at rows while more of them come.
    pub(super) lookahead: Option<&'a Arc<dyn LookAhead>>,
    /// `table.column` shown raw.
    pub(super) reveal: &'a BTreeSet<String>,
}

/// Runs what was checked, in the transaction of the link.
///
/// # Errors
/// See [`super::Database::run`].
pub(super) async fn run(
    link: &mut Link,
    order: &Order<'_>,
    loaded: &Loaded,
    checked: &Checked,
) -> Result<RawOutput, Refusal> {
    let page = Page::of(order.request, order.limits)?;
    let place = |character: usize| place(checked, &order.request.statement, character);
    let asked = Asked {
        statement: &order.request.statement,
        place: &place,
    };
    let expected = loaded.may_open(&checked.relations, &checked.facts.functions);
    loaded.hide_order(link, expected.as_ref()).await?;
    open(link, order, loaded, checked, asked).await?;
    second_opinion(link, expected.as_ref()).await?;
    let begun = Writing::new(&page, order.lookahead);
    let mut answer = collect(link, loaded, begun, asked, expected.as_ref()).await?;
    if !answer.has_head() {
        answer.begin(describe(link, &loaded.kinds, asked).await?);
    }
    let mut masks = MaskCounts::default();
    for column in masked(&checked.named, order.reveal) {
        // A mask in a predicate is told even if no row came of it.
        masks.add(&column.column, &column.class, answer.row_count().max(1));
    }
    let shown = checked.classified.iter();
    let shown = shown.filter(|column| order.reveal.contains(&column.column));
    let shown = shown.map(|column| column.class.clone()).collect();
    let mut raw = answer.output();
    raw.source_masks = masks;
    raw.shown = shown;
    Ok(raw)
}

fn masked<'c>(
    named: &'c BTreeSet<ClassifiedColumn>,
    reveal: &'c BTreeSet<String>,
) -> impl Iterator<Item = &'c ClassifiedColumn> {
    named.iter().filter(|column| !reveal.contains(&column.column))
}

/// From a character of what was sent to a byte of what the agent wrote.
fn place(checked: &Checked, statement: &str, character: usize) -> Option<usize> {
    let character = checked
        .places
        .at(character.checked_sub(CURSOR.chars().count())?)?;
    let mut characters = statement.char_indices();
    characters.nth(character.checked_sub(1)?).map(|(byte, _)| byte)
}

/// Opens the cursor.
async fn open(
    link: &mut Link,
    order: &Order<'_>,
    loaded: &Loaded,
    checked: &Checked,
    asked: Asked<'_>,
) -> Result<(), Refusal> {
    let text = format!("{CURSOR}{}", checked.sql);
    let parameters = (order.request.parameters.as_ref(), checked.parameters);
    let arguments = parameters::bind(link, &text, asked, parameters, &loaded.kinds).await?;
    let query = sqlx::query_with(sqlx::AssertSqlSafe(text), arguments).persistent(false);
    let opened = query.execute(link.conn()?).await;
    opened.map_err(|error| refusals::running(&error, asked))?;
    Ok(())
}

/// What the server has opened for the plan: nothing but what is `expected`, which is what the check found and what
/// that is made of. Locks stay until the transaction ends. `None`: a function that the operator listed reads what
/// it reads.
///
/// # Errors
/// `internal`: the server read the statement another way than we did.
async fn second_opinion(link: &mut Link, expected: Option<&BTreeSet<u32>>) -> Result<(), Refusal> {
    if expected.is_none() {
        return Ok(());
    }
    // Nothing is bound to it, so it is sent in one round trip instead of two.
    let opened = sqlx::raw_sql(OPENED).fetch_all(link.conn()?).await;
    let opened = opened.map_err(|error| refusals::away(&error))?;
    opened.iter().try_for_each(|row| vouched(row, expected))
}

/// One relation that the server has opened.
fn vouched(row: &PgRow, expected: Option<&BTreeSet<u32>>) -> Result<(), Refusal> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let oid: i64 = row.try_get(0).map_err(|error| refusals::away(&error))?;
    match u32::try_from(oid).is_ok_and(|oid| expected.contains(&oid)) {
        true => Ok(()),
        false => Err(Refusal::internal(format!(
            "postgres: the server opened the relation {oid}, of which the check knows nothing"
        ))),
    }
}

/// Takes rows until the page is full. Only one row is held beside the answer. What the server has opened is looked at
/// once more after the last: what is called opens relations only while it runs. The first batch brings that with it,
/// since it mostly is the last.
async fn collect<'p>(
    link: &mut Link,
    loaded: &Loaded,
    mut answer: Writing<'p>,
    asked: Asked<'_>,
    expected: Option<&BTreeSet<u32>>,
) -> Result<Writing<'p>, Refusal> {
    let page = answer.page();
    if page.first > 0 {
        let skip = format!("MOVE FORWARD {} FROM tollgate", page.first.min(i32::MAX as u64));
        let skipped = sqlx::raw_sql(sqlx::AssertSqlSafe(skip))
            .execute(link.conn()?)
            .await;
        skipped.map_err(|error| refusals::running(&error, asked))?;
    }
    let mut forms = Vec::new();
    let mut batch = FIRST;
    loop {
        // One more than there is room for tells whether there are more.
        let room = page.rows.saturating_sub(answer.row_count()).saturating_add(1);
        let want = batch.min(room).min(answer.likely());
        let first = batch == FIRST;
        let fetch = match first {
            true => format!("FETCH FORWARD {want} FROM tollgate; {OPENED}"),
            false => format!("FETCH FORWARD {want} FROM tollgate"),
        };
        let (mut given, mut fetched) = (0, false);
        let conn = link.conn()?;
        let mut rows = unwatched(|| sqlx::raw_sql(sqlx::AssertSqlSafe(fetch)).fetch_many(conn));
        loop {
            let next = rows.try_next().await;
            match next.map_err(|error| refusals::running(&error, asked))? {
                None => break,
                Some(Either::Left(_)) => fetched = true, // the end of one of the two
                Some(Either::Right(row)) if fetched => vouched(&row, expected)?,
                Some(Either::Right(row)) => {
                    given += 1;
                    take(&mut answer, &mut forms, &row, loaded)?; // what is left of a batch of a full page is passed over
                }
            }
        }
        if !fetched {
            return Err(unreadable());
        }
        drop(rows);
        if answer.truncated || given < want {
            if !first {
                second_opinion(link, expected).await?;
            }
            return Ok(answer);
        }
        batch = batch.saturating_mul(MORE).min(MOST);
    }
}

/// The columns of a cursor that gave no row.
async fn describe(link: &mut Link, kinds: &BTreeMap<u32, Kind>, asked: Asked<'_>) -> Result<Head, Refusal> {
    let text = sqlx::SqlSafeStr::into_sql_str("FETCH FORWARD 0 FROM tollgate");
    let described = link.conn()?.prepare(text).await;
    let described = described.map_err(|error| refusals::running(&error, asked))?;
    Ok(head(described.columns(), kinds))
}

fn oid(column: &PgColumn) -> u32 {
    column.type_info().oid().map_or(0, |oid| oid.0)
}

fn head(columns: &[PgColumn], kinds: &BTreeMap<u32, Kind>) -> Head {
    let head = columns
        .iter()
        .map(|column| (column.name().to_owned(), values::name(oid(column), kinds)));
    head.unzip()
}

/// One row, if there is room for it. How each column is written is found out with the first.
fn take(
    answer: &mut Writing<'_>,
    forms: &mut Vec<Form>,
    row: &PgRow,
    loaded: &Loaded,
) -> Result<(), Refusal> {
    if !answer.has_head() {
        let columns = row.columns();
        answer.begin(head(columns, &loaded.kinds));
        forms.extend(columns.iter().map(|column| Form::of(oid(column), &loaded.kinds)));
    }
    answer.take(row.len(), |at, out| {
        let cell = row.try_get_raw(at).map_err(|_| unreadable())?;
        let form = *forms.get(at).ok_or_else(unreadable)?;
        let text = match cell.is_null() {
            true => None,
            false => Some(cell.as_bytes().map_err(|_| unreadable())?),
        };
        Ok(form.write(text, &loaded.kinds, out))
    })
}

fn unreadable() -> Refusal {
    Refusal::internal("postgres: a row that is none")
}
