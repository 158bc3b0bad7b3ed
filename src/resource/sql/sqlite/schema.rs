//! `sql_schema`: names and declared types of what exists for an agent. Defaults, checks, comments
//! and index expressions are not told: they are free text, and may hold values.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Kind, Relation};
use crate::call::answer::{ColumnSchema, Schema, TableSchema};
use crate::call::request::SqlSchema;
use crate::call::{ClassifiedColumn, Code, Limits, Refusal};

/// The classified columns a description would name.
pub(super) fn classified(catalog: &Catalog, table: Option<&str>) -> BTreeSet<ClassifiedColumn> {
    let wanted = catalog
        .relations
        .values()
        .filter(|relation| is_wanted(relation, table));
    wanted.flat_map(|relation| relation.classified()).collect()
}

/// Describes the relations, as somebody sees them who is shown `reveal`.
///
/// # Errors
/// `not_found` for a table that is not there or not exposed; `limit_exceeded` for a schema larger
/// than an answer may be.
pub(super) fn answer(
    catalog: &Catalog,
    wanted: &SqlSchema,
    reveal: &BTreeSet<String>,
    limits: Limits,
) -> Result<Schema, Refusal> {
    let table = wanted.table.as_deref();
    let shown = catalog
        .relations
        .values()
        .filter(|relation| is_wanted(relation, table));
    let tables: Vec<TableSchema> = shown.map(|relation| describe(relation, reveal)).collect();
    if let (Some(name), true) = (table, tables.is_empty()) {
        return Err(Refusal::not_found(name));
    }
    let schema = Schema { tables };
    let bytes = serde_json::to_vec(&schema).map_or(u64::MAX, |json| json.len() as u64);
    if bytes > limits.bytes {
        return Err(Refusal::new(
            Code::LimitExceeded,
            format!(
                "The description has {bytes} bytes; an answer may have {}.",
                limits.bytes
            ),
            "Ask for one `table` at a time.",
        ));
    }
    Ok(schema)
}

fn is_wanted(relation: &Relation, table: Option<&str>) -> bool {
    table.is_none_or(|table| relation.name.eq_ignore_ascii_case(table))
}

fn describe(relation: &Relation, reveal: &BTreeSet<String>) -> TableSchema {
    let kind = match relation.kind {
        Kind::Table(_) => "table",
        Kind::View(_) => "view",
    };
    let column = |column: &super::catalog::Column| {
        let style = column.class.as_ref().map(|(_, style)| *style);
        ColumnSchema {
            name: column.name.clone(),
            declared_type: column.declared_type.clone(),
            primary_key: column.primary_key,
            masked: style
                .filter(|_| relation.hides(column, reveal))
                .map(|style| style.as_str().to_owned()),
            references: column.references.clone(),
        }
    };
    TableSchema {
        name: relation.name.clone(),
        kind: kind.to_owned(),
        columns: relation.columns.iter().map(column).collect(),
    }
}
