//! Queries: what is sent for them.

use std::collections::BTreeMap;

use super::world::{cases, names, query, wrong};
use crate::call::Code;

const READS: &str = include_str!("../../../../../../tests/it/mysql/data/reads.sql");

fn sent(statement: &str) -> String {
    query(statement)
        .unwrap_or_else(|refusal| panic!("{statement}\n{refusal:?}"))
        .sql
}

#[test]
fn what_analysts_ask_is_taken() {
    let mut found = BTreeMap::new();
    for (expected, statement) in cases(READS) {
        match query(statement) {
            Ok(checked) if checked.classified.is_empty() == (expected == "masked") => {
                found.insert(statement, checked.sql);
            }
            Ok(_) => {}
            Err(refusal) => {
                found.insert(statement, format!("{refusal:?}"));
            }
        }
    }
    wrong(&found);
}

#[test]
fn what_is_sent_has_full_names_and_nothing_else_is_changed() {
    for (statement, expected) in [
        (
            "select c.name , `o`.total from customers c join shop.orders o on o.customer_id=c.id where c.name = \"O'Neil \\\\\"",
            "SELECT c.name, `o`.total FROM `shop_masked`.`customers` c JOIN `shop_masked`.`orders` o ON o.customer_id \
             = c.id WHERE c.name = 'O''Neil \\\\'",
        ),
        (
            "WITH customers AS (SELECT id FROM customers) SELECT customers.id, a.id FROM customers, customers a, orders",
            "WITH `with1` AS (SELECT id FROM `shop_masked`.`customers`) SELECT customers.id, a.id FROM `with1` AS \
             `customers`, `with1` a, `shop_masked`.`orders`",
        ),
        (
            "SELECT shop.orders.id FROM shop.orders",
            "SELECT `shop_masked`.`orders`.id FROM `shop_masked`.`orders`",
        ),
        ("SELECT 1 FROM DUAL -- nothing", "SELECT 1 FROM DUAL"),
    ] {
        assert_eq!(sent(statement), expected);
    }
}

#[test]
fn what_policy_hears_is_what_the_statement_names() {
    let checked = query("SELECT name, upper(c.email) FROM customers c WHERE EXISTS (SELECT 1 FROM orders WHERE customer_id = c.id)").unwrap();
    assert_eq!(names(&checked.facts.tables), ["customers", "orders"]);
    assert_eq!(
        names(&checked.facts.columns),
        [
            "customers.email",
            "customers.id",
            "customers.name",
            "orders.customer_id"
        ]
    );
    assert_eq!(names(&checked.facts.functions), ["upper"]);
    assert_eq!(
        (checked.facts.kind.as_str(), checked.facts.has_where),
        ("select", true)
    );
    let classified: Vec<&str> = checked
        .named
        .iter()
        .map(|column| column.column.as_str())
        .collect();
    assert_eq!(classified, ["customers.email"]);
    assert_eq!(checked.classified.len(), 8);
    let all = query("SELECT * FROM orders").unwrap();
    assert_eq!((all.facts.columns.len(), all.facts.has_where), (8, false));
    let unknown = query("SELECT x.email FROM orders o").unwrap();
    assert_eq!(unknown.facts.columns.len(), 8, "a name of nowhere is all columns");
}

#[test]
fn parameters_are_told_in_the_order_of_their_places() {
    let names = ["day".to_owned(), "most".to_owned()];
    let check = |statement: &str| {
        let catalog = super::world::catalog();
        super::super::check(statement, &names, &catalog, super::super::Mode::Query)
    };
    let checked =
        check("SELECT ':day', id FROM events WHERE id < :most AND DATE(at) = :day LIMIT :most").unwrap();
    assert_eq!(checked.order, [1, 0, 1]);
    assert!(
        checked.sql.ends_with("WHERE id < ? AND DATE(at) = ? LIMIT ?"),
        "{}",
        checked.sql
    );
    for wrong in [
        "SELECT :day",
        "SELECT :day, :most, :other",
        "SELECT :day, :most, ?",
        "SELECT :day := :most",
    ] {
        assert_eq!(check(wrong).unwrap_err().code, Code::StatementRefused, "{wrong}");
    }
}

const BYPASS: &str = include_str!("../../../../../../tests/it/mysql/data/bypass.sql");

/// The characters that a line spells.
fn spelled(line: &str) -> String {
    let hidden = ['\u{200b}', '\u{202e}', '\u{feff}', '\u{a0}'];
    let mut text = line.replace("\\\\", "\u{1}").replace("\\n", "\n");
    for c in hidden {
        text = text.replace(&format!("\\u{:04x}", u32::from(c)), &c.to_string());
    }
    text.replace('\u{1}', "\\")
}

#[test]
fn nothing_but_a_read_is_a_query() {
    let mut found = BTreeMap::new();
    for (_, statement) in cases(BYPASS) {
        match query(&spelled(statement)) {
            Ok(checked) => found.insert(statement, checked.sql),
            Err(refusal) if refusal.code == Code::Internal => found.insert(statement, format!("{refusal:?}")),
            Err(refusal) if refusal.message.is_empty() || refusal.suggestion.is_empty() => {
                found.insert(statement, "no way out".to_owned())
            }
            Err(_) => None,
        };
    }
    wrong(&found);
}
