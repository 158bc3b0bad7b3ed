//! Looking up a value: the server makes its token, which stands in the statement as a parameter.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::guard::Checked;
use super::link::Link;
use super::{Spec, tokens};
use crate::call::request::SqlQuery;
use crate::call::{ClassifiedColumn, Refusal};
use crate::resource::sql::{lookup, pages};

/// The column that a query looks a value up in; none where it looks nothing up.
///
/// # Errors
/// `statement_refused`: not a column with tokens, or `:lookup` stands anywhere but beside it.
pub(super) fn column<'c>(
    query: &SqlQuery,
    checked: &'c Checked,
    spec: &Spec,
) -> Result<Option<&'c ClassifiedColumn>, Refusal> {
    let Some(asked) = &query.lookup else {
        return Ok(None);
    };
    let column = lookup::column(asked, &checked.classified, &spec.classes)?;
    let supposed = lookup::with(query, "")?;
    let names = pages::names(supposed.parameters.as_ref());
    let number = names.iter().position(|name| name == lookup::NAME);
    let number = number.and_then(|at| i64::try_from(at).ok()).map(|at| at + 1);
    let places = number.and_then(|number| checked.compared.get(&number));
    let right = |places: &Option<BTreeSet<String>>| {
        let name = lookup::bare(&asked.column);
        places
            .as_ref()
            .is_some_and(|places| places.iter().all(|place| place == name))
    };
    match places.is_some_and(right) {
        true => Ok(Some(column)),
        false => Err(lookup::misplaced(asked)),
    }
}

/// The query with the token bound, made by the server in the link's transaction. Who may see the column as it is
/// compares the value itself.
///
/// # Errors
/// As [`column`]; `target_failed` when the server makes none.
pub(super) async fn bound<'q>(
    link: &mut Link,
    query: &'q SqlQuery,
    checked: &Checked,
    reveal: &BTreeSet<String>,
    spec: &Spec,
) -> Result<Cow<'q, SqlQuery>, Refusal> {
    let (Some(column), Some(asked)) = (column(query, checked, spec)?, &query.lookup) else {
        return Ok(Cow::Borrowed(query));
    };
    if reveal.contains(&column.column) {
        return lookup::with(query, &asked.value);
    }
    let token = tokens::made(link, spec, &column.class, &asked.value).await?;
    lookup::with(query, &token)
}
