//! Statements that want the engine's stack, or its time where it does not run yet.

use super::super::text::{MAX_DEPTH, MAX_SELECTS};
use super::fixture::{self, LIMITS, Twin};
use crate::call::{Code, Refusal};

/// Runs on a thread with the stack that blocking work has.
fn on_a_small_stack(statement: String) -> Result<(), Refusal> {
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            let shop = fixture::shop(Twin::First);
            fixture::ask(&shop.pool, fixture::request(&statement), &[], LIMITS).map(drop)
        })
        .unwrap()
        .join()
        .unwrap()
}

fn nested(opening: &str, closing: &str, levels: usize) -> String {
    format!("{}SELECT 1{}", opening.repeat(levels), closing.repeat(levels))
}

fn chained(levels: usize) -> String {
    let mut sql = "WITH a0 AS (SELECT 1 AS x)".to_owned();
    for k in 1..=levels {
        sql.push_str(&format!(",a{k} AS(SELECT x FROM a{})", k - 1));
    }
    sql + &format!(" SELECT x FROM a{levels}")
}

#[test]
fn no_nesting_overflows_the_stack() {
    let refused = |sql: String| on_a_small_stack(sql).unwrap_err().code;
    for sql in [
        nested("SELECT*FROM(", ")", 7_500),
        nested("WITH a AS(", ")SELECT*FROM a", 3_500),
        nested("SELECT 1 IN(", ")", 7_500),
        nested("SELECT EXISTS(", ")", 7_000),
        nested("SELECT*FROM(SELECT 1)JOIN(", ")", 3_500),
        format!("SELECT {}1{}", "(".repeat(49_000), ")".repeat(49_000)),
        chained(3_500),
    ] {
        assert_eq!(
            refused(sql.clone()),
            Code::StatementRefused,
            "{}",
            sql.get(..40).unwrap()
        );
    }
}

#[test]
fn what_is_nested_as_deep_as_it_may_be_runs() {
    let depth = usize::try_from(MAX_DEPTH).unwrap();
    on_a_small_stack(nested("SELECT*FROM(", ")", depth)).unwrap();
    on_a_small_stack(chained(MAX_SELECTS - 10)).unwrap();
}

#[test]
fn a_statement_that_grows_while_it_is_prepared_is_refused_before() {
    let shop = fixture::shop(Twin::First);
    for (levels, mentions) in [(14, 2), (40, 2), (3, 30)] {
        for quote in ["", "\"", "'"] {
            let mut sql = "WITH a0 AS (SELECT 1 AS x)".to_owned();
            for k in 1..=levels {
                let from: Vec<String> = (0..mentions)
                    .map(|n| format!("{quote}a{}{quote} t{n}", k - 1))
                    .collect();
                sql.push_str(&format!(", a{k} AS (SELECT t0.x FROM {})", from.join(", ")));
            }
            sql.push_str(&format!(" SELECT 1 FROM a{levels} LIMIT 1"));
            assert_eq!(
                fixture::refusal(&shop.pool, &sql).code,
                Code::StatementRefused,
                "{sql}"
            );
        }
    }
}
