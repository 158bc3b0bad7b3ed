//! A replica that is killed (`kill -9`) in the middle of it: the other goes on, and nothing happens twice.

use serde_json::json;
use sqlx::{Connection, Executor};

use super::Two;
use crate::effects::{RAISE, change, dan, pending, prices, ran, wait};
use crate::support::agent::Agent;
use crate::support::postgres::PASSWORD;
use crate::support::process::verify;
use crate::support::site::envelope;
use crate::support::until;

async fn status(agent: &Agent, number: usize) -> String {
    let asked = json!({ "resource": "shop", "statement": format!("SELECT {number}") });
    let answer = agent.call("sql_query", asked).await;
    envelope(&answer)["status"].as_str().unwrap().to_owned()
}

/// The head of the journal is locked by whoever writes to it: held here in the midst of that.
#[tokio::test(flavor = "multi_thread")]
async fn killed_with_the_journals_lock_a_replica_holds_nobody_up_and_leaves_no_half_record() {
    let mut two = Two::new(0).await;
    let (here, _there) = (two.serve_here().await, two.serve_there().await);
    let agent = dan(two.site());
    let other = two.there(&agent);
    assert_eq!(
        (status(&agent, 1).await, status(&other, 2).await),
        ("ok".into(), "ok".into())
    );
    let url = two.pg.url("postgres", "gate");
    let url = url.replacen("postgres@", &format!("postgres:{PASSWORD}@"), 1);
    let mut holds = sqlx::PgConnection::connect(&url).await.unwrap();
    let lock = "BEGIN; LOCK TABLE tollgate.journal IN SHARE MODE";
    holds.execute(sqlx::raw_sql(lock)).await.unwrap();
    let broken = tokio::spawn(async move {
        agent
            .call(
                "sql_query",
                json!({ "resource": "shop", "statement": "SELECT 3" }),
            )
            .await
    });
    until("it has the head and waits for the journal", async || {
        let waits = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE a.usename = 'tollgate' AND NOT l.granted AND l.relation = 'tollgate.journal'::regclass";
        let free = "SELECT count(*) FROM (SELECT 1 FROM tollgate.head FOR UPDATE SKIP LOCKED) free";
        (two.sql(waits) != "0" && two.sql(free) == "0").then_some(())
    })
    .await;
    here.kill();
    assert!(broken.await.is_err(), "nobody answered");
    holds.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
    until("the other is heard", async || {
        (status(&other, 4).await == "ok").then_some(())
    })
    .await;
    let report = verify(two.site(), &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
    let kept =
        two.sql("SELECT count(*) FROM tollgate.journal WHERE convert_from(record, 'UTF8') LIKE '%SELECT 3%'");
    assert_eq!(kept, "0", "what was not committed is not there");
    // And it comes back.
    let _here = two.serve_here().await;
    assert_eq!(status(&dan(two.site()), 5).await, "ok");
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}

/// What was approved was under way: nobody knows what came of it, and nobody makes it again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_carries_out_an_approval_a_replica_leaves_it_unknown_and_never_made_again() {
    let mut two = Two::new(0).await;
    let shop = || rusqlite::Connection::open(two.site().dir.path().join("shop.db")).unwrap();
    // With a rollback journal a commit waits until nobody reads: the place to be killed at.
    let reader = shop();
    reader
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))
        .unwrap();
    let before = prices(two.site());
    let (here, _there) = (two.serve_here().await, two.serve_there().await);
    let agent = dan(two.site());
    let other = two.there(&agent);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let [lea, lea_there] = two.person("lea", &["dba"]);
    lea.approve(&lea.asked().await).await;
    reader.execute_batch("BEGIN").unwrap();
    let read = |sql| reader.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(read("SELECT count(*) FROM orders") > 0);
    let running = {
        let id = id.clone();
        tokio::spawn(async move { agent.call("approval_wait", wait(&id)).await })
    };
    let spent =
        format!("SELECT count(*) FROM tollgate.approval_event WHERE word = 'spent' AND approval = '{id}'");
    until("the approval is spent", async || {
        (two.sql(&spent) == "1").then_some(())
    })
    .await;
    here.kill();
    running.abort();
    drop(reader);
    // Perhaps it lives: the other neither makes it nor says what became of it.
    let answer = other.call("approval_wait", wait(&id)).await;
    assert_ne!(envelope(&answer)["status"], "ok", "{answer}");
    assert_eq!(prices(two.site()), before, "the file's own journal took it back");
    two.sql("UPDATE tollgate.replica SET seen_at = seen_at - 100000 WHERE boot IN (SELECT boot FROM tollgate.open_call)");
    until("it is buried", async || {
        let answer = other.call("approval_wait", wait(&id)).await;
        (envelope(&answer)["refusal"]["code"] == "outcome_unknown").then_some(())
    })
    .await;
    let answer = other.call("approval_wait", wait(&id)).await;
    assert_eq!(
        envelope(&answer)["refusal"]["code"],
        "outcome_unknown",
        "{answer}"
    );
    assert_eq!(lea_there.show(&id).await["state"], json!("unknown"));
    assert_eq!(two.sql(&spent), "1");
    assert_eq!(prices(two.site()), before);
    assert!(ran(two.site(), "sql_execute").await.is_empty());
    let report = verify(two.site(), &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}
