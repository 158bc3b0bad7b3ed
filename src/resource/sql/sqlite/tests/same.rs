//! On public columns the answers are those of plain SQLite over the raw file.

use serde_json::Value;

use super::super::values;
use super::fixture::{self, LIMITS, Twin};
use super::questions::QUESTIONS;

fn plain(conn: &rusqlite::Connection, sql: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let mut statement = conn.prepare(sql).unwrap();
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut rows = statement.query([]).unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        all.push(
            (0..names.len())
                .map(|at| values::render(row.get_ref(at).unwrap()))
                .collect(),
        );
    }
    (names, all)
}

#[test]
fn ordinary_questions_get_exactly_the_raw_rows_on_public_columns() {
    let shop = fixture::shop(Twin::First);
    let raw = rusqlite::Connection::open(shop.pool.spec().path.clone()).unwrap();
    let mut wrong = Vec::new();
    for sql in QUESTIONS {
        let (names, expected) = plain(&raw, sql);
        match fixture::ask(&shop.pool, fixture::request(sql), &[], LIMITS) {
            Ok((_, answer)) if answer.rows.rows == expected && answer.rows.columns == names => {}
            Ok((_, answer)) => wrong.push(format!(
                "{sql}\n  {:?}\n  {:?}\n  {expected:?}",
                answer.rows.columns, answer.rows.rows
            )),
            Err(refusal) => wrong.push(format!("{sql}\n  {refusal:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn there_are_at_least_60_questions() {
    assert!(QUESTIONS.len() >= 60, "{}", QUESTIONS.len());
}
