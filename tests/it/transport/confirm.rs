//! `@confirm` through the whole path: an administrator's own person is asked before addresses are
//! shown, in both eras.

use serde_json::{Value, json};

use crate::support::agent::{Agent, Events, last};
use crate::support::process::{assert_on_record, history, phase, wait_for};
use crate::support::site::{Site, envelope};

fn forms() -> Value {
    json!({ "elicitation": { "form": {} } })
}

fn addresses(id: u64) -> Value {
    let statement = format!("SELECT email FROM customers WHERE id = {id}");
    json!({ "resource": "shop", "statement": statement })
}

fn yes() -> Value {
    json!({ "action": "accept", "content": { "confirm": true } })
}

fn code(result: &Value) -> &str {
    envelope(result)["refusal"]["code"].as_str().unwrap_or("none")
}

fn shows_an_address(result: &Value) -> bool {
    let cell = &envelope(result)["data"]["rows"][0][0];
    cell.as_str().is_some_and(|cell| cell.contains("@example."))
}

/// The record says that the person confirmed it, and by which policy that was asked.
async fn confirmed_on_record(site: &Site, result: &Value) {
    let call = envelope(result)["call_id"].as_str().unwrap();
    let records = history(site, call).await["records"].clone();
    let policy = &records[1]["policy"];
    assert!(
        policy["satisfied"].to_string().contains("dba-confirms-customers"),
        "{records}"
    );
    assert_eq!(policy["self_confirmed"], json!(true), "{records}");
    assert_on_record(site, result).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_revision_carries_the_question_and_one_answer_for_one_call() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let (dora, dan) = (
        Agent::new(&site, "dora", &["dba"]),
        Agent::new(&site, "dan", &["dba"]),
    );
    let send = async |agent: &Agent, id: u64, reply: Option<(&Value, &Value)>| {
        let mut params = json!({ "name": "sql_query", "arguments": addresses(id) });
        if let Some((state, answer)) = reply {
            params["requestState"] = state.clone();
            params["inputResponses"] = json!({ "confirm": answer });
        }
        let response = agent.modern("tools/call", params, &forms()).send().await;
        last(response.unwrap()).await["result"].clone()
    };
    let ask = async |id: u64| {
        let question = send(&dora, id, None).await;
        assert_eq!(question["resultType"], json!("input_required"), "{question}");
        let words = question["inputRequests"]["confirm"]["params"]["message"]
            .as_str()
            .unwrap();
        assert!(
            words.contains("sql_query") && words.contains("shows customers' e-mail addresses"),
            "{words}"
        );
        question["requestState"].clone()
    };

    let state = ask(1).await;
    let shown = send(&dora, 1, Some((&state, &yes()))).await;
    assert!(shows_an_address(&shown), "{shown}");
    confirmed_on_record(&site, &shown).await;

    let is_question = |result: &Value| result["resultType"] == json!("input_required");
    assert!(
        is_question(&send(&dora, 1, Some((&state, &yes()))).await),
        "an answer counts once"
    );
    let state = ask(1).await;
    assert!(
        is_question(&send(&dora, 2, Some((&state, &yes()))).await),
        "for these arguments"
    );
    assert!(
        is_question(&send(&dora, 1, Some((&state, &yes()))).await),
        "and is spent by others"
    );
    let state = ask(1).await;
    assert!(
        is_question(&send(&dan, 1, Some((&state, &yes()))).await),
        "for this person"
    );
    for no in [
        json!({ "action": "decline" }),
        json!({ "action": "accept", "content": { "confirm": false } }),
    ] {
        let state = ask(1).await;
        let refused = send(&dora, 1, Some((&state, &no))).await;
        assert_eq!(code(&refused), "approval_denied", "{refused}");
    }
    let cannot = dora.call("sql_query", addresses(1)).await;
    assert_eq!(
        code(&cannot),
        "approval_unavailable",
        "who cannot be asked has not agreed"
    );
    server.stop().await;
    assert_eq!(
        phase(&site, "result").await.len(),
        1,
        "exactly one call was carried out"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_era_is_asked_on_the_calls_own_stream() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let dora = Agent::new(&site, "dora", &["dba"]);
    let session = dora.open(&json!({ "elicitation": {} })).await;
    let ask = async |id: u64| {
        let call = dora.older_call(&session, id, "sql_query", &addresses(id)).send();
        let mut events = Events::new(call.await.unwrap());
        let question = events.next().await.unwrap();
        assert_eq!(question["method"], json!("elicitation/create"), "{question}");
        (events, question["id"].clone())
    };
    let reply = async |id: &Value, answer: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": id, "result": answer });
        dora.older(&session, &body)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };

    let (mut events, id) = ask(1).await;
    let thief = Agent::new(&site, "dan", &["dba"]);
    let body = json!({ "jsonrpc": "2.0", "id": id, "result": yes() });
    assert_eq!(
        thief.older(&session, &body).send().await.unwrap().status(),
        404,
        "nobody else answers"
    );
    assert_eq!(phase(&site, "result").await.len(), 0, "and nothing ran");
    assert_eq!(reply(&id, yes()).await, 202);
    let shown = events.next().await.unwrap()["result"].clone();
    assert!(shows_an_address(&shown), "{shown}");
    confirmed_on_record(&site, &shown).await;

    for (call, no) in [
        (2, json!({ "action": "decline" })),
        (3, json!({ "action": "cancel" })),
        (4, json!({ "action": "accept" })),
    ] {
        let (mut events, id) = ask(call).await;
        assert_eq!(reply(&id, no).await, 202);
        let refused = events.next().await.unwrap()["result"].clone();
        assert_eq!(code(&refused), "approval_denied", "{refused}");
    }
    let (events, id) = ask(5).await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 } });
    assert_eq!(dora.older(&session, &cancel).send().await.unwrap().status(), 202);
    let refusals = wait_for(&site, "refusal", 4).await;
    assert_eq!(refusals[3].code.as_deref(), Some("cancelled"), "{refusals:?}");
    reply(&id, yes()).await; // too late: there is no such question any more
    drop(events);
    server.stop().await;
    assert_eq!(
        phase(&site, "result").await.len(),
        1,
        "exactly one call was carried out"
    );
}
