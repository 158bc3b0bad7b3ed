//! Looking up a value that somebody knows: its token stands in the statement as `:lookup`.
//!
//! Whoever could see the token of a value of their choice could keep it, and find its owner in every later answer.
//! So it may only be compared, `column = :lookup`: what that says is whether there is such a row, and no more.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::MaskStyle;
use super::tokens::LONGEST;
use crate::call::request::{Lookup, Parameters, SqlQuery};
use crate::call::{ClassifiedColumn, Code, Refusal};

/// The parameter's name.
pub(super) const NAME: &str = "lookup";

/// A query with a value in the place of `:lookup`; as it is, where it looks nothing up.
///
/// # Errors
/// `invalid_arguments`: parameters without names, one of that name, a value that has no token.
pub(super) fn with<'q>(query: &'q SqlQuery, value: &str) -> Result<Cow<'q, SqlQuery>, Refusal> {
    let Some(lookup) = &query.lookup else {
        return Ok(Cow::Borrowed(query));
    };
    let mut named = match &query.parameters {
        None => serde_json::Map::new(),
        Some(Parameters::Named(named)) => named.clone(),
        Some(Parameters::Positional(_)) => {
            return Err(invalid(
                "`lookup` is bound to :lookup, and `parameters` is a list.",
                "Send `parameters` as an object, name to value, and write :name in the statement.",
            ));
        }
    };
    if named
        .insert(NAME.to_owned(), Value::String(value.to_owned()))
        .is_some()
    {
        return Err(invalid(
            "`parameters` has a `lookup` of its own.",
            "Give that parameter another name.",
        ));
    }
    if lookup.value.len() > LONGEST || lookup.value.contains('\0') {
        return Err(invalid(
            "The value of `lookup` is longer than a value that has a token, or has a NUL character.",
            "Send the value as the column holds it.",
        ));
    }
    Ok(Cow::Owned(SqlQuery {
        parameters: Some(Parameters::Named(named)),
        ..query.clone()
    }))
}

/// The column that is meant: of a relation in the statement, and one that is shown as tokens.
///
/// # Errors
/// `statement_refused`.
pub(super) fn column<'c>(
    lookup: &Lookup,
    classified: &'c BTreeSet<ClassifiedColumn>,
    classes: &BTreeMap<String, MaskStyle>,
) -> Result<&'c ClassifiedColumn, Refusal> {
    let token = |column: &&ClassifiedColumn| matches!(classes.get(&column.class), Some(MaskStyle::Token(_)));
    let mut fitting = classified.iter().filter(token);
    if let Some(column) = fitting.clone().find(|column| column.column == lookup.column) {
        return Ok(column);
    }
    let there = fitting.next().map_or_else(
        || {
            "The statement has no column that is shown as tokens; call sql_schema to see which are."
                .to_owned()
        },
        |column| {
            format!(
                "Name a column of the statement that is shown as tokens, such as `{}`.",
                column.column
            )
        },
    );
    Err(Refusal::new(
        Code::StatementRefused,
        "`lookup.column` is not a token column of a table in the statement.",
        there,
    ))
}

/// The column's own name: what stands before `= :lookup`.
pub(super) fn bare(column: &str) -> &str {
    column.rsplit('.').next().unwrap_or_default()
}

/// `:lookup` stands where it may not.
pub(super) fn misplaced(lookup: &Lookup) -> Refusal {
    let name = bare(&lookup.column);
    Refusal::new(
        Code::StatementRefused,
        "`:lookup` may only be compared with its column, by `=`, and is written nowhere else.",
        format!(
            "Write `{name} = :lookup`, the column on the left, and nothing after it but AND, OR, or the end."
        ),
    )
}

fn invalid(message: &str, suggestion: &str) -> Refusal {
    Refusal::new(Code::InvalidArguments, message, suggestion)
}
