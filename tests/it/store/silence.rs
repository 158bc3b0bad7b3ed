//! A server that vanishes without a word: no reset, no answer, nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tollgate::secret::Secret;
use tollgate::store::rows::Rows;
use tollgate::store::{Store, StoreError, Tuning};

use super::{SECRET, Two, server};
use crate::effects::dan;
use crate::support::process::verify;
use crate::support::proxy::Proxy;
use crate::support::site::envelope;
use crate::support::until;

fn tuning(answer: Duration) -> Tuning {
    Tuning {
        password: Some(Arc::new(Secret::new(SECRET.to_owned()))),
        answer,
        ..Tuning::default()
    }
}

async fn write(rows: &Rows) -> Result<(), StoreError> {
    let mut tx = rows.write().await?;
    tx.client_used("nobody", 1).await?;
    tx.commit().await
}

#[tokio::test]
async fn nothing_is_waited_for_longer_than_the_bound() {
    let pg = server().await;
    let direct = Store::open(&pg.url("tollgate", "gate"), &tuning(Duration::from_secs(15)))
        .await
        .unwrap();
    let proxy = Proxy::to(pg.address()).await;
    let url = format!("postgres://tollgate@{}/gate", proxy.address());
    let store = Store::open(&url, &tuning(Duration::from_secs(2))).await.unwrap();
    let rows = Rows::new(store.clone());
    let changes = store.changes();
    let others = Rows::new(direct);
    let hears = async || {
        let mut changed = std::pin::pin!(changes.next());
        until("a change is heard", async || {
            write(&others).await.unwrap();
            futures::poll!(&mut changed).is_ready().then_some(())
        })
        .await;
    };
    hears().await;
    write(&rows).await.unwrap();
    let mut reader = store.reader().await.unwrap();
    let mut half = rows.write().await.unwrap();
    proxy.vanish();
    let error = half.client_used("nobody", 2).await.unwrap_err().to_string();
    assert!(error.contains("has not answered"), "{error}");
    // What was not answered is not asked a second time on the same connection, whoever is back.
    proxy.come_back();
    let error = half.commit().await.unwrap_err().to_string();
    assert!(error.contains("given up"), "{error}");
    let error = reader.head().await.unwrap_err().to_string();
    assert!(error.contains("has not answered"), "{error}");
    // Its lock went with it once the server knows; what it wrote did not happen.
    until("rows are written again", async || write(&rows).await.ok()).await;
    hears().await;
    proxy.vanish();
    assert!(write(&rows).await.is_err());
}

/// The server has committed, and its answer is lost: the call is not answered, the record is there once, and the replica
/// goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_makes_no_record_twice() {
    let mut two = Two::new(0).await;
    let proxy = Proxy::to(two.pg.address()).await;
    let text = std::fs::read_to_string(two.site().config()).unwrap();
    let through = text.replace(&two.pg.address(), proxy.address());
    assert_ne!(through, text);
    std::fs::write(two.site().config(), through).unwrap();
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let agent = dan(two.site());
    let other = two.there(&agent);
    let read = || json!({ "resource": "shop", "statement": "SELECT 1" });
    assert_eq!(envelope(&agent.call("sql_query", read()).await)["status"], "ok");
    // The journal also writes what no call waits for, and that may be the COMMIT that is lost.
    until("the lost answer is one that a call waits for", async || {
        proxy.swallow_the_next_commit();
        let answer = agent.call("sql_query", read()).await;
        (envelope(&answer)["status"] == "refused").then_some(())
    })
    .await;
    assert!(proxy.has_swallowed());
    until("calls are taken again", async || {
        let other = other.call("sql_query", read()).await;
        assert_eq!(envelope(&other)["status"], "ok", "the other goes on: {other}");
        let answer = agent.call("sql_query", read()).await;
        (envelope(&answer)["status"] == "ok").then_some(())
    })
    .await;
    let twice = "SELECT count(*) FROM (SELECT 1 FROM tollgate.journal WHERE call_id IS NOT NULL GROUP BY call_id, \
                 phase HAVING count(*) > 1) t";
    assert_eq!(two.sql(twice), "0");
    assert_eq!(two.sql("SELECT count(*) FROM tollgate.open_call"), "0");
    let report = verify(two.site(), &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}

/// The database is gone for as long as it takes to notice, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_refused_while_the_server_is_silent_and_taken_when_it_is_back() {
    let mut two = Two::new(0).await;
    let proxy = Proxy::to(two.pg.address()).await;
    let text = std::fs::read_to_string(two.site().config()).unwrap();
    std::fs::write(
        two.site().config(),
        text.replace(&two.pg.address(), proxy.address()),
    )
    .unwrap();
    let here = two.serve_here().await;
    let agent = dan(two.site());
    let read = || json!({ "resource": "shop", "statement": "SELECT 1" });
    assert_eq!(envelope(&agent.call("sql_query", read()).await)["status"], "ok");
    proxy.vanish();
    let answer = agent.call("sql_query", read()).await;
    assert_eq!(envelope(&answer)["status"], "refused", "{answer}");
    assert_eq!(
        envelope(&answer)["refusal"]["code"],
        "audit_unavailable",
        "{answer}"
    );
    proxy.come_back();
    until("calls are taken again", async || {
        let answer = agent.call("sql_query", read()).await;
        (envelope(&answer)["status"] == "ok").then_some(())
    })
    .await;
    here.terminate();
    assert!(here.exit().await.success());
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}
