//! `sql_schema`: names and types of what exists for an agent. Defaults, checks, comments and index expressions
//! are not told: they are free text, and may hold values.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Column, Relation, RelationKind};
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

/// Describes the relations, as somebody sees them who is shown `reveal`.
///
/// # Errors
/// `not_found` for a table that is not there or not exposed; `limit_exceeded` for a schema larger
/// than an answer may be.
pub(super) fn answer(
    catalog: &Catalog,
    request: &SqlSchema,
    reveal: &BTreeSet<String>,
    limits: Limits,
) -> Result<Schema, Refusal> {
    let relations = wanted(catalog, request.table.as_deref());
    if let (Some(name), true) = (&request.table, relations.is_empty()) {
        return Err(Refusal::not_found(name));
    }
    let tables = relations.into_iter();
    let tables = tables
        .map(|relation| describe(catalog, relation, reveal))
        .collect();
    pages::described(tables, limits)
}

/// By the name that is shown, or with its schema.
fn wanted<'c>(catalog: &'c Catalog, table: Option<&str>) -> Vec<&'c Relation> {
    let is_wanted = |relation: &&Relation| {
        table.is_none_or(|table| {
            let whole = format!("{}.{}", relation.schema, relation.name);
            table == catalog.shown(relation) || table == whole
        })
    };
    let mut relations: Vec<&Relation> = catalog.relations.values().filter(is_wanted).collect();
    relations.sort_by_key(|relation| catalog.shown(relation));
    relations
}

fn describe(catalog: &Catalog, relation: &Relation, reveal: &BTreeSet<String>) -> TableSchema {
    let kind = match relation.kind {
        RelationKind::View | RelationKind::Materialized => "view",
        RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign => "table",
    };
    let column = |column: &Column| {
        let style = column.class.as_ref().map(|(_, style)| *style);
        let hidden = !reveal.contains(&catalog.shown_column(relation, column));
        ColumnSchema {
            name: column.name.clone(),
            declared_type: column.declared_type.clone(),
            primary_key: column.primary_key,
            masked: style.filter(|_| hidden).map(|style| style.as_str().to_owned()),
            references: column.references.clone(),
        }
    };
    TableSchema {
        name: catalog.shown(relation),
        kind: kind.to_owned(),
        columns: relation.columns.iter().map(column).collect(),
    }
}
