//! `sql_schema`: names and types of what exists for an agent. Defaults, checks, comments and index expressions are
//! not told: they are free text, and may hold values.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Column, Relation};
use crate::call::answer::{ColumnSchema, Schema, TableSchema};
use crate::call::request::SqlSchema;
use crate::call::{ClassifiedColumn, Limits, Refusal};
use crate::resource::sql::pages;

/// The classified columns a description would name.
pub(super) fn classified(catalog: &Catalog, table: Option<&str>) -> BTreeSet<ClassifiedColumn> {
    let relations = wanted(catalog, table).into_iter();
    relations
        .flat_map(|relation| catalog.classified(relation))
        .collect()
}

/// Describes the relations. A mask of this kind is in the database: nobody is shown more.
///
/// # Errors
/// `not_found` for a table that is not there or not exposed; `limit_exceeded` for a schema larger than an answer
/// may be.
pub(super) fn answer(catalog: &Catalog, request: &SqlSchema, limits: Limits) -> Result<Schema, Refusal> {
    let relations = wanted(catalog, request.table.as_deref());
    if let (Some(name), true) = (&request.table, relations.is_empty()) {
        return Err(Refusal::not_found(name));
    }
    pages::described(relations.into_iter().map(describe).collect(), limits)
}

fn wanted<'c>(catalog: &'c Catalog, table: Option<&str>) -> Vec<&'c Relation> {
    match table {
        None => catalog.relations.values().collect(),
        Some(table) => {
            let plain = table
                .strip_prefix(&format!("{}.", catalog.database))
                .unwrap_or(table);
            catalog.relation(plain).into_iter().collect()
        }
    }
}

fn describe(relation: &Relation) -> TableSchema {
    let column = |column: &Column| ColumnSchema {
        name: column.name.clone(),
        declared_type: column.declared_type.clone(),
        primary_key: column.primary_key,
        masked: column.class.as_ref().map(|(_, style)| style.as_str().to_owned()),
        references: column.references.clone(),
    };
    TableSchema {
        name: relation.name.clone(),
        kind: if relation.view { "view" } else { "table" }.to_owned(),
        columns: relation.columns.iter().map(column).collect(),
    }
}
