//! Schemas that put a classified value where only its mask should be.

use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value;

use super::super::pool::Pool;
use super::super::{MaskStyle, Spec};
use super::fixture::{self, LIMITS, Still};

fn told(schema: &str, columns: &[(&str, &str)], statement: &str) -> Result<Vec<Vec<Value>>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    Connection::open(&path).unwrap().execute_batch(schema).unwrap();
    let spec = Spec {
        columns: columns
            .iter()
            .map(|(c, class)| ((*c).to_owned(), (*class).to_owned()))
            .collect(),
        classes: [
            ("card".to_owned(), MaskStyle::Last4),
            ("email".to_owned(), MaskStyle::Constant),
        ]
        .into(),
        ..fixture::spec(path)
    };
    let pool = Pool::open(spec, Arc::new(Still::default())).unwrap();
    fixture::ask(&pool, fixture::request(statement), &[], LIMITS)
        .map(|(_, answer)| answer.rows.rows)
        .map_err(|refusal| format!("{refusal:?}"))
}

/// Rows that look the same in a partial mask are not told apart by the type of what is masked.
#[test]
fn the_type_of_a_partly_masked_value_does_not_order_rows() {
    let columns = [("t.k", "email"), ("t.card", "card"), ("t.v", "public")];
    let with = |first: &str, second: &str| {
        let schema = format!(
            "CREATE TABLE t (k INTEGER PRIMARY KEY, card, v); INSERT INTO t VALUES (1, {first}, 'a'), (2, {second}, 'b')"
        );
        told(&schema, &columns, "SELECT card, v FROM t").unwrap()
    };
    assert_eq!(with("11112222", "'99992222'"), with("'99992222'", "11112222"));
}

/// A value longer than the engine may make is masked like any other.
#[test]
fn the_length_of_a_constantly_masked_value_is_not_told() {
    let columns = [("t.id", "public"), ("t.email", "email"), ("t.v", "public")];
    let with = |value: &str| {
        let schema = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, email, v); INSERT INTO t VALUES (1, {value}, 'a'), (2, 'x', 'b')"
        );
        [
            "SELECT * FROM t",
            "SELECT * FROM t ORDER BY v DESC",
            "SELECT count(email), max(v) FROM t",
            "SELECT DISTINCT email FROM t",
            "SELECT a.email FROM t a JOIN t b ON a.email = b.email",
        ]
        .map(|sql| told(&schema, &columns, sql))
    };
    assert_eq!(with("'x'"), with("zeroblob(3000000)"));
    assert!(with("'x'").iter().all(Result::is_ok));
}
