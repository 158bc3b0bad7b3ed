//! For `crate::fuzzing`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Known, Mode, check, define};
use crate::call::Code;
use crate::resource::sql::MaskStyle;
use crate::resource::sql::postgres::catalog::{Catalog, Column, Function, Relation, RelationKind, Type};

/// `pg_type.oid`.
const TEXT: u32 = 25;
const LONG: u32 = 20;

fn relation(oid: u32, name: &str, classified: &[(&str, MaskStyle)]) -> ((String, String), Relation) {
    let column = |(at, column): (usize, &str)| Column {
        number: i16::try_from(at + 1).unwrap_or(i16::MAX),
        name: column.to_owned(),
        declared_type: if column == "id" { "bigint" } else { "text" }.to_owned(),
        type_oid: if column == "id" { LONG } else { TEXT },
        not_null: false,
        primary_key: column == "id",
        references: None,
        class: classified
            .iter()
            .find(|(name, _)| *name == column)
            .map(|(name, style)| ((*name).to_owned(), *style)),
        granted: true,
    };
    let columns = ["id", "name", "email", "card"].into_iter().enumerate();
    let relation = Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        columns: columns.map(column).collect(),
    };
    (("public".to_owned(), name.to_owned()), relation)
}

fn catalog() -> Catalog {
    let own = |name: &str| ("pg_catalog".to_owned(), name.to_owned());
    let function = |(name, many, aggregate): (&str, usize, bool)| {
        let one = Function {
            oid: 0,
            arguments: vec![TEXT; many],
            allowed: true,
            aggregate,
            takes_rows: false,
        };
        (own(name), vec![one])
    };
    let functions = [
        ("lower", 1, false),
        ("count", 1, true),
        ("max", 1, true),
        ("substr", 2, false),
    ];
    let types = [("text", TEXT), ("int8", LONG)];
    Catalog {
        path: vec!["public".to_owned()],
        relations: BTreeMap::from([
            relation(
                20_001,
                "customers",
                &[("email", MaskStyle::Constant), ("card", MaskStyle::Last4)],
            ),
            relation(20_002, "products", &[]),
        ]),
        functions: functions.into_iter().map(function).collect(),
        types: types
            .map(|(name, oid)| (own(name), Type { oid, allowed: true }))
            .into(),
        ..Catalog::default()
    }
}

/// Reads a statement that an agent sends. What would be sent of a query names the table with classified columns
/// nowhere but within its masks, and no statement is our own fault.
pub(in crate::resource::sql::postgres) fn statement(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let catalog = catalog();
    let nothing = BTreeSet::new();
    let plain = check(
        "SELECT 1 FROM customers AS c",
        &[],
        &catalog,
        &nothing,
        Mode::Query,
    );
    let plain = plain.map(|checked| checked.sql).unwrap_or_default();
    let mask = plain.strip_prefix("SELECT 1 FROM ").unwrap_or_default();
    let mask = mask.rsplit_once(')').map_or("", |(mask, _)| mask);
    assert!(mask.contains("customers") && mask.contains("***"), "{plain}");
    let known = Known {
        catalog: &catalog,
        listed: &BTreeMap::new(),
        has_functions: true,
        indexes: &BTreeMap::new(),
    };
    match define(&text, known) {
        Err(refusal) => assert_ne!(refusal.code, Code::Internal, "{text}\n{refusal:?}"),
        Ok(definition) => {
            let again = define(&definition.sql, known).map(|again| again.sql);
            assert_eq!(again.ok().as_ref(), Some(&definition.sql), "{text}");
        }
    }
    for mode in [Mode::Query, Mode::Change] {
        match check(&text, &[], &catalog, &nothing, mode) {
            Err(refusal) => assert_ne!(refusal.code, Code::Internal, "{text}\n{refusal:?}"),
            Ok(checked) if mode == Mode::Query => {
                let rest = checked.sql.replace(mask, "(");
                let spelled = [
                    "public.customers",
                    "\"public\".\"customers\"",
                    "public.\"customers\"",
                ];
                let raw = spelled.iter().any(|name| rest.contains(name));
                // In a literal, or as a column of a table that an agent named so.
                let said = text.to_lowercase().contains("public");
                assert!(!raw || said, "{}", checked.sql);
            }
            Ok(checked) => assert!(checked.target.is_some(), "{}", checked.sql),
        }
    }
}
