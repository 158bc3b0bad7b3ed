//! A caller that gives up ends its statement in the engine, not only its wait.
//!
//! A database runs eight statements at once and gives a place back only when the engine is done. Eight
//! endless statements take all places; what is answered afterwards was answered because they ended.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::audit::list::Listed;

use crate::support::agent::Agent;
use crate::support::process::{phase, wait_for};
use crate::support::site::{Server, Site, envelope};
use crate::support::until;

/// Places of one database.
const PLACES: usize = 8;

fn endless() -> Value {
    json!({ "resource": "shop", "statement":
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c" })
}

async fn start() -> (Site, Server, Agent) {
    let mut site = Site::new().await;
    site.allow_long_statements();
    let server = site.serve().await;
    let agent = Agent::new(&site, "ana", &["analyst"]);
    (site, server, agent)
}

/// Each of the endless calls is recorded as cancelled, and the places are free again.
async fn all_cancelled(site: &Site, agent: &Agent) {
    let refusals = wait_for(site, "refusal", PLACES).await;
    let codes = |records: &[Listed]| -> Vec<String> {
        let codes = records.iter().filter_map(|record| record.code.clone());
        codes.collect()
    };
    assert_eq!(codes(&refusals), vec!["cancelled"; PLACES]);
    let one = json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" });
    for _ in 0..PLACES {
        // Were the engine still at work there would be no place, and no answer within the hour.
        let result = until("an answer", async || {
            Some(agent.call("sql_query", one.clone()).await)
        })
        .await;
        assert_eq!(envelope(&result)["data"]["rows"], json!([[8000]]), "{result}");
    }
    assert_eq!(
        phase(site, "refusal").await.len(),
        PLACES,
        "nothing else was refused"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_newest_revision_that_closes_its_request_stops_the_engine() {
    let (site, server, agent) = start().await;
    let mut calls = JoinSet::new();
    for _ in 0..PLACES {
        let params = json!({ "name": "sql_query", "arguments": endless() });
        calls.spawn(agent.modern("tools/call", params, &json!({})).send());
    }
    wait_for(&site, "intent", PLACES).await;
    calls.shutdown().await; // drops the requests, which closes their connections
    all_cancelled(&site, &agent).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_of_the_older_era_stops_the_engine() {
    let (site, server, agent) = start().await;
    let session = agent.open(&json!({})).await;
    let mut calls = JoinSet::new();
    for id in 0..PLACES as u64 {
        let call = agent.older_call(&session, 10 + id, "sql_query", &endless());
        calls.spawn(call.send());
    }
    wait_for(&site, "intent", PLACES).await;
    for id in 0..PLACES as u64 {
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": { "requestId": 10 + id, "reason": "enough" } });
        assert_eq!(agent.older(&session, &note).send().await.unwrap().status(), 202);
    }
    all_cancelled(&site, &agent).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_of_the_older_era_does_not_cancel_and_the_end_of_its_session_does() {
    let (site, server, agent) = start().await;
    let session = agent.open(&json!({})).await;
    let mut calls = JoinSet::new();
    for id in 0..PLACES as u64 {
        let call = agent.older_call(&session, 10 + id, "sql_query", &endless());
        calls.spawn(call.send());
    }
    wait_for(&site, "intent", PLACES).await;
    calls.shutdown().await;
    // A call that needs no place goes the same way after them, so their loss has been noticed by then.
    let listed = agent.call("list_resources", json!({})).await;
    assert_eq!(envelope(&listed)["status"], json!("ok"), "{listed}");
    assert_eq!(phase(&site, "refusal").await.len(), 0);
    agent.end(&session).await;
    all_cancelled(&site, &agent).await;
    server.stop().await;
}
