//! For `crate::fuzzing`.

use std::collections::{BTreeMap, BTreeSet};

use super::text::parse_ours;
use super::tree::Tree;
use super::verify::same;
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

/// The tree of a text of ours.
fn read(text: &str) -> Tree {
    let tree = parse_ours(text);
    assert!(tree.is_ok(), "{text}\n{tree:?}");
    tree.unwrap_or(Tree::Nothing)
}

/// Whether a tree names the table with classified columns as a relation, anywhere but in the very queries of its masks.
fn reaches(tree: &Tree, masks: &[Tree]) -> bool {
    match tree {
        Tree::List(items) => items.iter().any(|item| reaches(item, masks)),
        Tree::Node(node)
            if node.kind == "RangeSubselect" && masks.iter().any(|mask| same(node.get("subquery"), mask)) =>
        {
            false
        }
        Tree::Node(node) if node.kind == "RangeVar" => {
            node.text("relname") == "customers" && !node.text("schemaname").is_empty()
        }
        Tree::Node(node) => node.fields.iter().any(|(_, value)| reaches(value, masks)),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => false,
    }
}

/// Reads a statement that an agent sends. What would be sent of a query names the table with classified columns
/// nowhere but within its masks, and no statement is our own fault.
pub(in crate::resource::sql::postgres) fn statement(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let catalog = catalog();
    let nothing = BTreeSet::new();
    let masks = [
        "SELECT 1 FROM customers AS c",
        "SELECT 1 FROM ONLY customers AS c",
    ];
    let masks = masks.map(|plain| {
        let checked = check(plain, &[], &catalog, &nothing, Mode::Query);
        let sent = checked.map(|checked| checked.sql).unwrap_or_default();
        assert!(sent.contains("customers") && sent.contains("***"), "{sent}");
        let tree = read(&sent);
        let from = tree.node().and_then(|select| select.list("from_clause").first());
        let mask = from.and_then(|item| item.of_kind("RangeSubselect"));
        let mask = mask.map(|item| item.get("subquery").clone());
        assert!(mask.is_some(), "{sent}");
        mask.unwrap_or(Tree::Nothing)
    });
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
                let raw = reaches(&read(&checked.sql), &masks);
                assert!(!raw, "{}", checked.sql);
            }
            Ok(checked) => assert!(checked.target.is_some(), "{}", checked.sql),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check has something to find: the table as it is, in every place where a relation may stand.
    #[test]
    fn a_table_that_is_not_behind_its_masks_is_found_whatever_else_is_named_so() {
        let masks = [read("SELECT 1 AS id FROM public.customers")];
        for raw in [
            "SELECT 1 FROM public.customers",
            "SELECT 1 FROM \"public\".\"customers\" public",
            "SELECT (SELECT max(email) FROM public.customers), 'public.customers'",
            "WITH public AS (TABLE public.customers) SELECT 1 FROM public",
            "SELECT 1 FROM (SELECT 2 AS id FROM public.customers) c",
        ] {
            assert!(reaches(&read(raw), &masks), "{raw}");
        }
        for masked in [
            "SELECT public.customers, 'public.customers' FROM (SELECT 1 AS id FROM public.customers) public",
            "WITH customers AS (SELECT 1) SELECT 1 FROM customers AS public",
            "SELECT 1 FROM public.products",
        ] {
            assert!(!reaches(&read(masked), &masks), "{masked}");
        }
    }
}
