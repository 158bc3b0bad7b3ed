//! The database goes away and comes back: meanwhile every call is refused, nothing that was answered is lost, nothing
//! happens twice.

use futures::future::join_all;
use serde_json::{Value, json};

use super::Two;
use crate::effects::{RAISE, change, changed, dan, pending, prices, ran, wait};
use crate::support::agent::Agent;
use crate::support::process::verify;
use crate::support::site::envelope;
use crate::support::until;

async fn status(agent: &Agent, number: usize) -> String {
    let asked = json!({ "resource": "shop", "statement": format!("SELECT {number}") });
    let answer = agent.call("sql_query", asked).await;
    envelope(&answer)["status"].as_str().unwrap().to_owned()
}

async fn works_again(agent: &Agent) {
    until("calls are taken again", async || {
        (status(agent, 0).await == "ok").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_replica_refuses_and_with_it_goes_on() {
    let mut two = Two::new(0).await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let agent = dan(two.site());
    let other = two.there(&agent);
    let before = prices(two.site());
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let lea = two.all.person("lea", &["dba"]);
    let asked = lea.asked().await;
    lea.approve(&asked).await;
    // And one that nobody has decided: it waits through both outages.
    let other_change = "UPDATE products SET price_cents = price_cents + 100 WHERE id = 9";
    let waiting = pending(&agent.call("sql_execute", change(other_change)).await);
    for hard in [true, false] {
        assert_eq!(status(&agent, 1).await, "ok");
        assert_eq!(status(&other, 2).await, "ok");
        two.pg.stop(hard);
        for agent in [&agent, &other] {
            assert_eq!(status(agent, 3).await, "refused");
        }
        for id in [&id, &waiting] {
            for agent in [&agent, &other] {
                let answer = agent.call("approval_wait", wait(id)).await;
                assert_eq!(envelope(&answer)["status"], "refused", "{answer}");
            }
        }
        // Nobody decides either, and is told so.
        let (status, why) = lea.try_approve(&asked).await;
        assert_eq!(status, 503, "{why}");
        assert_eq!(prices(two.site()), before, "nothing without the journal");
        two.pg.again().await;
        works_again(&agent).await;
        works_again(&other).await;
    }
    changed(&other.call("approval_wait", wait(&id)).await, 3);
    let again = other.call("approval_wait", wait(&id)).await;
    assert!(envelope(&again)["repeats"].is_string(), "{again}");
    assert_eq!(prices(two.site()), before + 300, "once");
    assert_eq!(ran(two.site(), "sql_execute").await.len(), 1);
    let answer = other.call("approval_wait", wait(&waiting)).await;
    assert_eq!(pending(&answer), waiting, "it waits as before");
    lea.approve(&lea.asked().await).await;
    changed(&agent.call("approval_wait", wait(&waiting)).await, 1);
    assert_eq!(prices(two.site()), before + 400, "and this once");
    let report = verify(two.site(), &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}

/// Whatever was answered before, during and after a crash of the database is on record as it was answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_load_loses_no_answer() {
    let mut two = Two::new(0).await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let agent = dan(two.site());
    let other = two.there(&agent);
    let call = async |number: usize| -> Value {
        let agent = if number.is_multiple_of(2) { &agent } else { &other };
        let asked = json!({ "resource": "shop", "statement": format!("SELECT {number}") });
        agent.call("sql_query", asked).await
    };
    let load = join_all((0..60).map(async |number| {
        let mut answers = Vec::new();
        for round in 0..3 {
            answers.push(call(number * 10 + round).await);
        }
        answers
    }));
    let crash = async {
        until("some are on record", async || {
            let count = two.pg.sql("gate", "SELECT size FROM tollgate.head");
            (count.parse::<u64>().unwrap() > 30).then_some(())
        })
        .await;
        two.pg.stop(true);
        two.pg.again().await;
    };
    let (answers, ()) = tokio::join!(load, crash);
    works_again(&agent).await;
    works_again(&other).await;
    let mut told = 0;
    for answer in answers.into_iter().flatten() {
        if envelope(&answer)["status"] == "ok" {
            crate::support::process::assert_on_record(two.site(), &answer).await;
            told += 1;
        }
    }
    assert!(told > 0);
    let report = verify(two.site(), &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}

/// A database put back to an earlier state under a running replica is noticed: it takes no more calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_went_back_is_not_continued() {
    let mut two = Two::new(0).await;
    let _here = two.serve_here().await;
    let agent = dan(two.site());
    two.sql("CREATE TABLE kept AS SELECT * FROM tollgate.head");
    assert_eq!(status(&agent, 1).await, "ok");
    two.sql(
        "BEGIN; ALTER TABLE tollgate.journal DISABLE TRIGGER ALL; ALTER TABLE tollgate.checkpoint DISABLE TRIGGER ALL; \
         DELETE FROM tollgate.journal WHERE seq >= (SELECT size FROM kept); UPDATE tollgate.head h SET size = k.size, \
         last_leaf = k.last_leaf, frontier = k.frontier FROM kept k; COMMIT",
    );
    assert_eq!(status(&agent, 2).await, "refused");
    assert_eq!(status(&agent, 3).await, "refused");
    let log = std::fs::read_to_string(two.site().dir.path().join("serve.log")).unwrap();
    assert!(log.contains("put back to an earlier state"), "{log}");
}
