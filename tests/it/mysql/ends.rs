//! Answers of any length, and calls that end before their statements do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::json;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;
use tollgate::call::request::SqlQuery;

use super::{Stand, code, query};
use crate::support::mysql::is_mysql;
use crate::support::until;

/// Takes longer than any test.
const ENDLESS: &str = "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n + c.n = 7";

const NUMBERS: &str =
    "CREATE TABLE numbers (n int PRIMARY KEY); INSERT INTO numbers SELECT seq FROM seq_1_to_20000";

/// Statements that the server works at for us.
const ACTIVE: &str = "SELECT count(*) FROM information_schema.processlist WHERE user = 'reader' AND command IN ('Query', 'Execute')";

async fn stand(seconds: u64) -> Stand {
    Stand::with(NUMBERS, |spec| {
        spec.columns.insert("numbers.n".to_owned(), "public".to_owned());
        spec.limits.rows = 20_000;
        spec.limits.bytes = 2_000_000;
        spec.limits.seconds = seconds;
    })
    .await
}

async fn active(stand: &Stand, many: &str) {
    until("as many statements as there should be", async || {
        (stand.sql(ACTIVE) == many).then_some(())
    })
    .await;
}

/// The connection that works at the statement without an end, once one does: before it come short ones of the call's own.
async fn endless(stand: &Stand) -> String {
    let id = "SELECT id FROM information_schema.processlist WHERE user = 'reader' AND command = 'Execute' AND info LIKE '%numbers%'";
    until("the statement is under way", async || {
        Some(stand.sql(id)).filter(|id| !id.is_empty())
    })
    .await
}

#[tokio::test]
async fn pages_are_of_one_result_and_no_answer_is_longer_than_it_may_be() {
    let stand = stand(30).await;
    let statement = "SELECT n FROM numbers ORDER BY n";
    let all = stand.query(statement).await;
    assert_eq!(all["data"]["row_count"], json!(20_000), "{}", all["refusal"]);
    assert_eq!(all["truncated"], json!(null));
    assert_eq!(all["data"]["rows"][19_999], json!([20_000]));
    let mut cursor = None;
    for page in 0..3 {
        let asked = SqlQuery {
            lookup: None,
            limit: Some(700),
            cursor: cursor.clone(),
            ..query(statement)
        };
        let answer = stand.ask(asked).await;
        assert_eq!(answer["data"]["row_count"], json!(700), "{answer}");
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
        cursor: cursor.clone().map(|cursor| cursor.replacen("2100", "99999", 1)),
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
        .query("SELECT REPEAT('x', 900000) AS x FROM numbers LIMIT 5")
        .await;
    assert_eq!(
        wide["data"]["row_count"],
        json!(2),
        "as many as fit: {}",
        wide["refusal"]
    );
    let wider = stand
        .query("SELECT REPEAT('x', 2100000) AS x FROM numbers LIMIT 5")
        .await;
    assert_eq!(code(&wider), "limit_exceeded");
    // No more connections than calls at a time, and what was left of a page is ended.
    let calls = (0..40).map(|_| stand.rows("SELECT count(*) FROM orders"));
    for rows in futures::future::join_all(calls).await {
        assert_eq!(rows, json!([[3]]));
    }
    until("few connections, and all of them idle", async || {
        let many = "SELECT count(*) FROM information_schema.processlist WHERE user = 'reader'";
        let many: u32 = stand.sql(many).parse().unwrap();
        (many <= 8 && stand.sql(ACTIVE) == "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_ends_takes_its_statement_with_it() {
    let mut stand = stand(300).await;
    stand.rows("SELECT count(*) FROM orders").await;
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
        _ = endless(stand_ref) => {}
    }
    active(stand_ref, "0").await;
    // The server goes away under a statement, and comes back.
    let lost = {
        let call = stand.call(&["analyst"], request(), &never);
        let kill = async {
            stand.sql(&format!("KILL {}", endless(&stand).await));
        };
        tokio::join!(call, kill).0
    };
    assert_eq!(code(&lost), "target_failed", "{lost}");
    assert_eq!(lost["refusal"]["retry"], json!(true), "{lost}");
    let one = "SELECT id FROM orders WHERE id = 10";
    for hard in [true, false] {
        assert_eq!(stand.rows(one).await, json!([[10]]));
        stand.server.stop(hard);
        let away = stand.query(one).await;
        assert_eq!(code(&away), "target_failed", "{away}");
        assert_eq!(away["refusal"]["retry"], json!(true), "{away}");
        stand.server.again().await;
        assert_eq!(stand.rows(one).await, json!([[10]]));
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let stand = stand(1).await;
    let answer = stand.query(ENDLESS).await;
    assert_eq!(code(&answer), "limit_exceeded", "{answer}");
    active(&stand, "0").await;
}

/// The driver asks for several statements in one text; what is prepared is one all the same.
#[tokio::test]
async fn a_prepared_text_is_one_statement() {
    let stand = stand(30).await;
    let answer = stand.query("SELECT 1 FROM orders; SELECT 2 FROM orders").await;
    assert_eq!(code(&answer), "statement_refused", "{answer}");
}

/// A way to a server that leads to another one from some moment on.
async fn relay(first: u16) -> (u16, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Arc::new(AtomicU16::new(first));
    let shared = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = ("127.0.0.1", shared.load(Ordering::SeqCst));
            let mut server = TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, target)
}

/// Behind a proxy the number of a connection may be that of another one.
#[tokio::test]
async fn nobody_else_s_statement_is_ended() {
    let (one, other) = tokio::join!(stand(300), stand(300));
    let port = |stand: &Stand| stand.spec.url.port().unwrap();
    let (way, target) = relay(port(&one)).await;
    for _ in 0..32 {
        one.sql("SELECT 1"); // its numbers run ahead of the other's
    }
    let mut spec = one.spec.clone();
    spec.url.set_port(Some(way)).unwrap();
    let through = Stand::bare(one.server, |own| *own = spec);
    let cancel = CancellationToken::new();
    let request = Request::SqlQuery(query(ENDLESS));
    let (answer, mut bystander) = tokio::join!(through.call(&["analyst"], request, &cancel), async {
        let number: u64 = endless(&through).await.parse().unwrap();
        // The same number on the other server, of the same account.
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(port(&other))
            .username("reader")
            .password(super::PASSWORD)
            .ssl_mode(match is_mysql() {
                true => MySqlSslMode::Required, // it asks for the password itself
                false => MySqlSslMode::Disabled,
            });
        let bystander = loop {
            let mut conn = options.connect().await.unwrap();
            let id: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()")
                .fetch_one(&mut conn)
                .await
                .unwrap();
            assert!(id <= number, "{id} of {number}");
            if id == number {
                break conn;
            }
        };
        target.store(port(&other), Ordering::SeqCst);
        cancel.cancel();
        bystander
    });
    assert_eq!(code(&answer), "cancelled", "{answer}");
    // The other server was asked who has the lock, and no connection was ended there.
    until("the other server is asked", async || {
        other.server.log().contains("IS_USED_LOCK").then_some(())
    })
    .await;
    bystander.ping().await.unwrap();
    assert!(!other.server.log().contains("KILL"), "{}", other.server.log());
}
