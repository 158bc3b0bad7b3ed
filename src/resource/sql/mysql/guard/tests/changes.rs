//! Changes: which are taken, what is sent, and what is told of them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Which;
use super::world::{cases, change, wrong};
use crate::call::Code;

const CHANGES: &str = include_str!("../../../../../../tests/it/mysql/data/changes.sql");

#[test]
fn changes_that_read_nothing_classified_are_taken_and_others_are_not() {
    let mut found = BTreeMap::new();
    for (expected, statement) in cases(CHANGES) {
        let (is, said) = match change(statement) {
            Ok(checked) => ("write", checked.sql),
            Err(refusal) if refusal.code == Code::Internal => ("internal", format!("{refusal:?}")),
            Err(refusal) => ("refused", refusal.message),
        };
        if is != expected {
            found.insert(statement, format!("{expected} {is} {said}"));
        }
    }
    wrong(&found);
}

#[test]
fn a_change_is_of_the_table_itself_and_reads_others_through_their_masks() {
    let checked = change(
        "UPDATE customers c SET status = ?, email = 'a' WHERE id IN (SELECT customer_id FROM orders WHERE customers.id = 1)",
    );
    assert!(checked.is_err(), "customers is not in scope by that name");
    let checked =
        change("UPDATE customers c SET status = ?, email = 'a' WHERE id IN (SELECT customer_id FROM orders)")
            .unwrap();
    assert_eq!(
        checked.sql,
        "UPDATE `shop`.`customers` c SET status = ?, email = 'a' WHERE id IN (SELECT customer_id FROM \
         `shop_masked`.`orders`)"
    );
    assert_eq!(checked.facts.kind, "update");
    let written = BTreeSet::from(["email".to_owned(), "status".to_owned()]);
    assert_eq!(checked.target, Some(("customers".to_owned(), written)));
    assert_eq!(checked.named.len(), 1, "what it gives a value to");
}

#[test]
fn the_rows_of_a_change_are_chosen_by_its_own_condition() {
    let chosen = |statement: &str| match change(statement).unwrap().which {
        Some(Which::There(chosen)) => (chosen.from, chosen.condition, chosen.skipped),
        other => panic!("{statement}: {other:?}"),
    };
    let is = |from: &str, condition: &str, skipped| (from.to_owned(), condition.to_owned(), skipped);
    assert_eq!(
        chosen(
            "UPDATE customers c SET status = ?, name = (SELECT name FROM categories WHERE id = ?) WHERE c.id IN (SELECT customer_id FROM orders WHERE id = ?) OR status = 'it''s WHERE'"
        ),
        is(
            "`shop`.`customers` c",
            "WHERE c.id IN (SELECT customer_id FROM `shop_masked`.`orders` WHERE id = ?) OR status = 'it''s WHERE'",
            2
        )
    );
    assert_eq!(
        chosen("DELETE FROM departments WHERE name = CONCAT('SET', ?)"),
        is("`shop`.`departments`", "WHERE name = CONCAT('SET', ?)", 0)
    );
    assert_eq!(
        chosen("DELETE FROM departments"),
        is("`shop`.`departments`", "", 0)
    );
    assert_eq!(
        chosen("UPDATE departments SET name = SUBSTRING(name FROM 2)"),
        is("`shop`.`departments`", "", 0)
    );
    assert_eq!(
        change("INSERT INTO departments (id) VALUES (1)").unwrap().which,
        Some(Which::New)
    );
    assert_eq!(
        change("INSERT INTO departments (id) VALUES (1) ON DUPLICATE KEY UPDATE name = 'x'")
            .unwrap()
            .which,
        Some(Which::Perhaps)
    );
}

#[test]
fn whether_a_change_excludes_any_row_is_told() {
    let irreversible = |statement: &str| change(statement).unwrap().facts.irreversible;
    assert!(irreversible("DELETE FROM products"));
    assert!(irreversible("DELETE FROM products WHERE 1 = 1"));
    assert!(irreversible("UPDATE products SET name = sku"));
    assert!(irreversible(
        "DELETE FROM products WHERE EXISTS (SELECT 1 FROM categories WHERE id = 1)"
    ));
    assert!(!irreversible(
        "DELETE FROM products WHERE EXISTS (SELECT 1 FROM departments WHERE products.id = 1)"
    ));
    assert!(!irreversible("UPDATE products SET name = sku WHERE id = 1"));
    assert!(!irreversible("INSERT INTO departments (id) VALUES (1)"));
}
