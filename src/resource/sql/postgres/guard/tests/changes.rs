//! Changes: which are taken, what is sent, and what is told of them.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{cases, change, wrong};
use crate::resource::sql::postgres::guard::{self, Mode};

const CHANGES: &str = include_str!("../../../../../../tests/it/postgres/data/changes.sql");

#[test]
fn changes_that_read_nothing_classified_are_taken_and_others_are_not() {
    let mut found = BTreeMap::new();
    for (expected, statement) in cases(CHANGES) {
        let (is, said) = match change(statement) {
            Ok(checked) if checked.oracle => ("oracle", checked.sql),
            Ok(checked) => ("write", checked.sql),
            Err(refusal) if refusal.code == crate::call::Code::Internal => {
                ("internal", format!("{refusal:?}"))
            }
            Err(refusal) => ("refused", refusal.message),
        };
        if is != expected {
            found.insert(statement, format!("{expected} {is} {said}"));
        }
    }
    wrong(&found);
}

#[test]
fn what_returning_gives_is_masked() {
    let checked =
        change("UPDATE customers c SET status = $1 WHERE id = $2 RETURNING id, email, c.phone AS p").unwrap();
    assert_eq!(
        checked.sql,
        "UPDATE \"public\".\"customers\" c SET status = $1 WHERE id = $2 RETURNING \"c\".\"id\" AS \"id\", \
         '***'::pg_catalog.text AS \"email\", NULL::pg_catalog.\"text\" AS \"p\""
    );
    assert_eq!(checked.facts.kind, "update");
    let target = checked.target.unwrap();
    assert_eq!(
        (target.written, target.conditions),
        (BTreeSet::from([5]), BTreeSet::from([1]))
    );
    assert_eq!(checked.named.len(), 2);
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
    assert!(irreversible(
        "DELETE FROM products USING categories c WHERE c.id = 1"
    ));
    assert!(!irreversible(
        "DELETE FROM products WHERE EXISTS (SELECT 1 FROM departments WHERE products.id = 1)"
    ));
    assert!(!irreversible("UPDATE products SET name = sku WHERE id = 1"));
    assert!(!irreversible("INSERT INTO departments (id) VALUES (1)"));
}

#[test]
fn parameters_for_classified_columns_are_told() {
    let checked = change("UPDATE customers SET email = $3, name = $1 WHERE id = $2").unwrap();
    assert_eq!(checked.target.unwrap().parameters, BTreeSet::from([3]));
}

#[test]
fn an_operator_of_the_databases_own_decides_no_change() {
    let mut catalog = super::world::catalog();
    catalog.operators = BTreeSet::from(["=".to_owned(), "<=".to_owned()]);
    let check = |statement: &str| guard::check(statement, &[], &catalog, &BTreeSet::new(), Mode::Change);
    for filter in [
        "id = 1",
        "id IN (1)",
        "id IN (SELECT id FROM products)",
        "id BETWEEN 1 AND 2",
        "CASE id WHEN 1 THEN true END",
        "id > (SELECT max(id) FROM products JOIN categories USING (id))",
    ] {
        assert!(
            check(&format!("DELETE FROM departments WHERE {filter}")).is_err(),
            "{filter}"
        );
    }
    assert!(check("DELETE FROM departments WHERE id > 1").is_ok());
    assert!(check("DELETE FROM departments WHERE id OPERATOR(pg_catalog.=) 1").is_ok());
}

#[test]
fn names_of_parameters_become_numbers() {
    let names = ["day".to_owned(), "limit".to_owned()];
    let check = |statement: &str| {
        guard::check(
            statement,
            &names,
            &super::world::catalog(),
            &BTreeSet::new(),
            Mode::Query,
        )
    };
    let checked =
        check("SELECT path[1:2], ':day' FROM categories WHERE name = :day::text LIMIT :limit").unwrap();
    assert!(
        checked.sql.ends_with("WHERE name = $1::text LIMIT $2"),
        "{}",
        checked.sql
    );
    assert_eq!(checked.parameters, 2);
    for wrong in [
        "SELECT :day",
        "SELECT :day, :limit, :other",
        "SELECT :day, :limit, $1",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
