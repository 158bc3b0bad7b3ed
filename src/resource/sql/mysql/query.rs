//! One statement: prepared, so that it is one, and run in one transaction under its bounds. Its rows are taken as they
//! come; only one is held beside the answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{Stream, TryStreamExt};
use sqlx::mysql::{MySqlColumn, MySqlRow};
use sqlx::{Column, Executor, Row, SqlSafeStr, Statement, TypeInfo};

use super::guard::Checked;
use super::link::{Link, comment};
use super::values::{self, Kind};
use super::{parameters, refusals, written};
use crate::call::request::SqlQuery;
use crate::call::{CallId, ClassifiedColumn, Limits, LookAhead, MaskCounts, RawOutput, Refusal};
use crate::resource::sql::pages::{Head, Page, Writing};
use crate::resource::sql::streams::unwatched;

/// What is to be run, and within which bounds.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) request: &'a SqlQuery,
    pub(super) limits: Limits,
    /// Looks at rows while more of them come.
    pub(super) lookahead: Option<&'a Arc<dyn LookAhead>>,
    pub(super) call: &'a CallId,
}

/// Runs what was checked, in the transaction of the link.
///
/// # Errors
/// See [`super::Database::run`].
pub(super) async fn run(link: &mut Link, order: &Order<'_>, checked: &Checked) -> Result<RawOutput, Refusal> {
    let page = Page::of(order.request, order.limits)?;
    let arguments = parameters::bind(checked, order.request.parameters.as_ref())?;
    let text = format!("{} {}", comment(order.call), checked.sql);
    let statement = order.request.statement.as_str();
    let mut answer = Writing::new(&page, order.lookahead);
    link.busy = true;
    let query = sqlx::query_with(sqlx::AssertSqlSafe(text.clone()), arguments);
    let conn = link.conn()?;
    let ended = collect(unwatched(|| query.fetch(conn)), &mut answer, page.first).await?;
    link.busy = matches!(ended, Ended::Full);
    if let Ended::Failed(error) = ended {
        return Err(refusals::running(&error, statement));
    }
    if !answer.has_head() {
        answer.begin(columns(link, text, statement).await?);
    }
    Ok(output(answer, &checked.named))
}

/// How rows came to their end.
enum Ended {
    /// There are no more.
    Here,
    /// There is no room for more.
    Full,
    /// The server gave an error in their place.
    Failed(sqlx::Error),
}

/// Takes rows until the page is full, `first` of them passed over.
async fn collect(
    mut rows: impl Stream<Item = Result<MySqlRow, sqlx::Error>> + Unpin,
    answer: &mut Writing<'_>,
    first: u64,
) -> Result<Ended, Refusal> {
    let mut passed = 0;
    let mut kinds = Vec::new();
    loop {
        match rows.try_next().await {
            Ok(None) => return Ok(Ended::Here),
            Err(error) => return Ok(Ended::Failed(error)),
            Ok(Some(_)) if passed < first => passed += 1,
            Ok(Some(row)) => {
                take(answer, &mut kinds, &row)?;
                if answer.truncated {
                    return Ok(Ended::Full);
                }
            }
        }
    }
}

/// One row, if there is room for it. How each column is written is found out with the first.
fn take(answer: &mut Writing<'_>, kinds: &mut Vec<Kind>, row: &MySqlRow) -> Result<(), Refusal> {
    if !answer.has_head() {
        answer.begin(head(row.columns()));
        *kinds = Kind::of_columns(row);
    }
    answer.take(row.len(), |at, out| {
        let kind = kinds.get(at).ok_or_else(values::unreadable)?;
        written::cell(row, at, *kind, out)
    })
}

fn head(columns: &[MySqlColumn]) -> Head {
    let each = |column: &MySqlColumn| {
        let kind = column.type_info().name().to_lowercase();
        (column.name().to_owned(), kind)
    };
    columns.iter().map(each).unzip()
}

fn output(answer: Writing<'_>, named: &BTreeSet<ClassifiedColumn>) -> RawOutput {
    let mut masks = MaskCounts::default();
    for column in named {
        // A mask in a predicate is told even if no row came of it.
        masks.add(&column.column, &column.class, answer.row_count().max(1));
    }
    let mut raw = answer.output();
    raw.source_masks = masks;
    raw
}

/// The columns of a statement that gave no row.
async fn columns(link: &mut Link, text: String, statement: &str) -> Result<Head, Refusal> {
    let described = link
        .conn()?
        .prepare(sqlx::AssertSqlSafe(text).into_sql_str())
        .await;
    let described = described.map_err(|error| refusals::running(&error, statement))?;
    Ok(head(described.columns()))
}
