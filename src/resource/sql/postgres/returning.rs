//! The statement of a change, run once; and the rows it gives, as the server's own text of each value.

use futures::TryStreamExt;
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Column as _, Executor, Row, Statement, ValueRef};

use super::guard::Checked;
use super::link::Link;
use super::loader::Loaded;
use super::parameters;
use super::refusals::{self, Asked};
use super::{unmade, values};
use crate::call::answer::Rows;
use crate::call::request::SqlExecute;
use crate::call::{Limits, Refusal};
use crate::resource::sql::pages::cost;

/// Around a change that gives rows.
const MADE: &str = "\"tollgate made\"";

/// What is run, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) request: &'a SqlExecute,
    pub(super) limits: Limits,
    pub(super) checked: &'a Checked,
    pub(super) loaded: &'a Loaded,
    pub(super) measures: bool,
}

/// What the server did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) affected: u64,
    pub(super) returned: Option<Rows>,
    pub(super) truncated: bool,
}

/// Runs the checked text once.
///
/// # Errors
/// What the server says of the text, in the words of the agent's own statement; of all that depends on data, one
/// refusal.
pub(super) async fn execute(link: &mut Link, asking: &Asking<'_>, returns: bool) -> Result<Done, Refusal> {
    let statement = asking.request.statement.as_str();
    let place = |character: usize| place(asking.checked, statement, character);
    let asked = Asked {
        statement,
        place: &place,
    };
    // Which rows a LIMIT inside of it takes must not tell of masked values either.
    let opened = asking
        .loaded
        .may_open(&asking.checked.relations, &asking.checked.facts.functions);
    asking.loaded.hide_order(link, opened.as_ref()).await?;
    let sql = asking.checked.sql.clone();
    // Reading a text depends on nothing that is stored, so its mistakes may be told.
    let text = sqlx::SqlSafeStr::into_sql_str(sqlx::AssertSqlSafe(sql.clone()));
    let prepared = link.conn()?.prepare(text).await;
    let prepared = prepared.map_err(|error| refusals::running(&error, asked))?;
    let columns: Vec<(String, u32)> = prepared
        .columns()
        .iter()
        .map(|column| {
            (
                column.name().to_owned(),
                column.type_info().oid().map_or(0, |oid| oid.0),
            )
        })
        .collect();
    let given = (asking.request.parameters.as_ref(), asking.checked.parameters);
    let arguments = parameters::bind(link, &sql, asked, given, &asking.loaded.kinds).await?;
    if !returns {
        let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments).persistent(false);
        let done = query.execute(link.conn()?).await;
        let done = done.map_err(|error| unmade::failed(&error, asking.measures))?;
        return Ok(Done {
            affected: done.rows_affected(),
            returned: None,
            truncated: false,
        });
    }
    returned(link, asking, columns, arguments).await
}

/// From a character of what was sent to a byte of what the agent wrote.
fn place(checked: &Checked, statement: &str, character: usize) -> Option<usize> {
    let character = checked.places.at(character)?;
    let mut characters = statement.char_indices();
    characters.nth(character.checked_sub(1)?).map(|(byte, _)| byte)
}

/// Rows come in an order that may tell of masked values (that of an index), so they are given in the order of what
/// they show; and which of them fit must not depend on their order either: too many give none.
async fn returned(
    link: &mut Link,
    asking: &Asking<'_>,
    columns: Vec<(String, u32)>,
    arguments: PgArguments,
) -> Result<Done, Refusal> {
    let names: Vec<String> = (1..=columns.len()).map(|at| format!("\"{at}\"")).collect();
    let texts = names.iter().map(|name| {
        // As the server itself writes a value of any type; a cast to text would write some of them otherwise.
        format!("CASE pg_catalog.num_nulls({name}) WHEN 0 THEN pg_catalog.format('%s', {name}) END")
    });
    let text = format!(
        "WITH {MADE} ({}) AS ({}) SELECT {} FROM {MADE}",
        names.join(", "),
        asking.checked.sql,
        texts.collect::<Vec<_>>().join(", ")
    );
    let failed = |error: sqlx::Error| unmade::failed(&error, asking.measures);
    let query = sqlx::query_with(sqlx::AssertSqlSafe(text), arguments).persistent(false);
    let mut rows = query.fetch(link.conn()?);
    let mut kept: Vec<(String, Vec<Value>)> = Vec::new();
    let (mut affected, mut spent, mut truncated) = (0, 0_u64, false);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        affected += 1;
        if truncated {
            continue;
        }
        let cells = cells(&row, &columns, asking.loaded)?;
        spent = spent.saturating_add(2 + cells.iter().map(cost).sum::<u64>());
        if spent > asking.limits.bytes || kept.len() as u64 >= asking.limits.rows {
            truncated = true;
            kept = Vec::new();
        } else {
            kept.push((Value::from(cells.clone()).to_string(), cells));
        }
    }
    kept.sort_by(|one, other| one.0.cmp(&other.0));
    let rows: Vec<Vec<Value>> = kept.into_iter().map(|(_, cells)| cells).collect();
    let row_count = rows.len() as u64;
    Ok(Done {
        affected,
        returned: Some(Rows {
            types: columns
                .iter()
                .map(|(_, kind)| values::name(*kind, &asking.loaded.kinds))
                .collect(),
            columns: columns.into_iter().map(|(name, _)| name).collect(),
            rows,
            row_count,
        }),
        truncated,
    })
}

fn cells(row: &PgRow, columns: &[(String, u32)], loaded: &Loaded) -> Result<Vec<Value>, Refusal> {
    let broken = || Refusal::internal("postgres: a row that is none");
    let mut cells = Vec::with_capacity(columns.len());
    for (at, (_, kind)) in columns.iter().enumerate() {
        let raw = row.try_get_raw(at).map_err(|_| broken())?;
        cells.push(match raw.is_null() {
            true => Value::Null,
            false => values::render(raw.as_bytes().map_err(|_| broken())?, *kind, &loaded.kinds),
        });
    }
    Ok(cells)
}
