//! Answers of any length, and calls that end before their statements do.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;
use tollgate::call::request::SqlQuery;

use super::{Stand, code, query};
use crate::support::until;

/// Takes longer than any test.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

/// Statements that the server works at for us.
const ACTIVE: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active'";

async fn active(stand: &Stand, many: &str) {
    until("as many statements as there should be", async || {
        (stand.sql(ACTIVE) == many).then_some(())
    })
    .await;
}

/// Waits for the statement without an end itself: before it come short ones of the call's own.
async fn endless(stand: &Stand) {
    until("the statement is under way", async || {
        let found = format!("{ACTIVE} AND query LIKE 'FETCH%'"); // its rows are fetched through a cursor
        (stand.sql(&found) == "1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn pages_are_of_one_result_and_no_answer_is_longer_than_it_may_be() {
    let stand = Stand::with(
        "CREATE TABLE numbers AS SELECT n FROM generate_series(1, 200000) n",
        |spec| {
            spec.columns.insert("numbers.n".to_owned(), "public".to_owned());
            spec.limits.rows = 200_000;
            spec.limits.bytes = 20_000_000;
        },
    )
    .await;
    let statement = "SELECT n FROM numbers ORDER BY n";
    let all = stand.query(statement).await;
    assert_eq!(all["data"]["row_count"], json!(200_000));
    assert_eq!(all["truncated"], json!(null), "{}", all["truncated"]);
    assert_eq!(all["data"]["rows"][199_999], json!([200_000]));
    let mut cursor = None;
    for page in 0..3 {
        let asked = SqlQuery {
            lookup: None,
            limit: Some(700),
            cursor: cursor.clone(),
            ..query(statement)
        };
        let answer = stand.ask(asked).await;
        assert_eq!(answer["data"]["row_count"], json!(700));
        assert_eq!(answer["data"]["rows"][0], json!([page * 700 + 1]));
        assert_eq!(answer["truncated"], json!(true));
        cursor = answer["next_cursor"].as_str().map(str::to_owned);
        assert!(cursor.is_some());
    }
    let exact = SqlQuery {
        lookup: None,
        limit: Some(3),
        ..query("SELECT id FROM orders ORDER BY id")
    };
    assert_eq!(
        stand.ask(exact).await["truncated"],
        json!(null),
        "there is no more"
    );
    let past = SqlQuery {
        lookup: None,
        cursor: cursor.clone().map(|cursor| cursor.replacen("2100", "999999", 1)),
        ..query(statement)
    };
    assert_eq!(stand.ask(past).await["data"]["row_count"], json!(0));
    let other = SqlQuery {
        lookup: None,
        cursor,
        ..query("SELECT n FROM numbers ORDER BY n DESC")
    };
    assert_eq!(code(&stand.ask(other).await), "invalid_arguments");
    let wide = stand
        .query("SELECT repeat('x', 9000000) FROM numbers LIMIT 5")
        .await;
    assert_eq!(wide["data"]["row_count"], json!(2), "as many as fit");
    assert_eq!(
        code(&stand.query("SELECT repeat('x', 21000000)").await),
        "limit_exceeded"
    );
    // No more connections than calls at a time.
    let calls = (0..40).map(|_| stand.rows("SELECT count(*) FROM orders"));
    for rows in futures::future::join_all(calls).await {
        assert_eq!(rows, json!([[3]]));
    }
    let connections: u32 = stand
        .sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'")
        .parse()
        .unwrap();
    assert!(connections <= 8, "{connections}");
}

#[tokio::test]
async fn a_call_that_ends_takes_its_statement_with_it() {
    let mut stand = Stand::new("").await;
    stand.rows("SELECT 1").await;
    let stand_ref = &stand;
    // Cancelled.
    let cancel = CancellationToken::new();
    let request = || Request::SqlQuery(query(ENDLESS));
    let (answer, ()) = tokio::join!(stand_ref.call(&["analyst"], request(), &cancel), async {
        endless(stand_ref).await;
        cancel.cancel();
    });
    assert_eq!(code(&answer), "cancelled");
    active(stand_ref, "0").await;
    // Nobody waits any more: the future is dropped.
    let never = CancellationToken::new();
    tokio::select! {
        answer = stand_ref.call(&["analyst"], request(), &never) => panic!("{answer}"),
        () = endless(stand_ref) => {}
    }
    active(stand_ref, "0").await;
    assert_eq!(stand.rows("SELECT 1").await, json!([[1]]));
    // The server goes away under a statement, and comes back.
    let shared = Arc::new(CancellationToken::new());
    let lost = {
        let call = stand.call(&["analyst"], request(), &shared);
        let kill = async {
            endless(&stand).await;
            stand.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'");
        };
        tokio::join!(call, kill).0
    };
    assert_eq!(code(&lost), "target_failed", "{lost}");
    assert_eq!(lost["refusal"]["retry"], json!(true), "{lost}");
    for hard in [true, false] {
        assert_eq!(
            stand.rows("SELECT id FROM orders WHERE id = 10").await,
            json!([[10]])
        );
        stand.server.stop(hard);
        let away = stand.query("SELECT id FROM orders WHERE id = 10").await;
        assert_eq!(code(&away), "target_failed", "{away}");
        assert_eq!(away["refusal"]["retry"], json!(true), "{away}");
        stand.server.again().await;
        assert_eq!(
            stand.rows("SELECT id FROM orders WHERE id = 10").await,
            json!([[10]])
        );
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let stand = Stand::with("", |spec| spec.limits.seconds = 1).await;
    let answer = stand.query(ENDLESS).await;
    assert_eq!(code(&answer), "limit_exceeded", "{answer}");
    active(&stand, "0").await;
    assert_eq!(stand.rows("SELECT 1").await, json!([[1]]));
}
