//! Looking up a value: its token is made here, and stands in the statement as a parameter.

use std::collections::BTreeSet;

use super::{Spec, text};
use crate::call::request::SqlQuery;
use crate::call::{ClassifiedColumn, Refusal};
use crate::resource::sql::lookup;

/// Whether a query looks up what may be looked up, and where it may stand.
///
/// # Errors
/// `statement_refused`: not a column with tokens, or `:lookup` stands anywhere but beside it. `invalid_arguments`.
pub(super) fn fits<'c>(
    query: &SqlQuery,
    classified: &'c BTreeSet<ClassifiedColumn>,
    spec: &Spec,
) -> Result<Option<&'c ClassifiedColumn>, Refusal> {
    let Some(asked) = &query.lookup else {
        return Ok(None);
    };
    lookup::with(query, "")?;
    let column = lookup::column(asked, classified, &spec.classes)?;
    match text::compared(&query.statement, lookup::NAME, lookup::bare(&asked.column))? {
        true => Ok(Some(column)),
        false => Err(lookup::misplaced(asked)),
    }
}

/// The query with the token bound. Who may see the column as it is compares the value itself.
///
/// # Errors
/// As [`fits`].
pub(super) fn bound(
    query: SqlQuery,
    classified: &BTreeSet<ClassifiedColumn>,
    reveal: &BTreeSet<String>,
    session: &str,
    spec: &Spec,
) -> Result<SqlQuery, Refusal> {
    let (Some(column), Some(asked)) = (fits(&query, classified, spec)?, &query.lookup) else {
        return Ok(query);
    };
    if reveal.contains(&column.column) {
        return Ok(lookup::with(&query, &asked.value)?.into_owned());
    }
    let key = spec.tokens.as_ref();
    let key = key.ok_or_else(|| Refusal::internal("sqlite: there is no key for tokens"))?;
    let token = key.token(session, &column.class, asked.value.as_bytes());
    Ok(lookup::with(&query, &token)?.into_owned())
}
