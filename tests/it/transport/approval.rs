//! A call that waits for people, through the whole path: held, pending, waited for, refused, expired,
//! left alone, sent again, as a task. Each ends right, and what was approved runs once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::approval::review::{Choice, State};
use tollgate::call::ApprovalId;

use crate::support::agent::{Agent, Events, last};
use crate::support::people::{People, holding, runs};
use crate::support::process::{phase, verify, wait_for};
use crate::support::site::{Site, envelope};

const HOUR: Duration = Duration::from_secs(3600);

fn count() -> Value {
    json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" })
}

fn ana(site: &Site) -> Agent {
    Agent::new(site, "ana", &["analyst"])
}

fn wait(id: &ApprovalId) -> Value {
    json!({ "approval_id": id })
}

fn pending(result: &Value) -> ApprovalId {
    assert_eq!(result["isError"], json!(false), "{result}");
    assert_eq!(envelope(result)["status"], "approval_pending", "{result}");
    ApprovalId(envelope(result)["approval"]["id"].as_str().unwrap().to_owned())
}

fn counted(result: &Value) {
    assert_eq!(envelope(result)["data"]["rows"], json!([[8000]]), "{result}");
    assert_eq!(result["isError"], json!(false));
}

fn code(result: &Value) -> &str {
    envelope(result)["refusal"]["code"].as_str().unwrap_or("none")
}

fn intact(site: &Site) {
    let report = verify(site, &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn decided_within_the_hold_the_call_just_takes_longer_and_says_why() {
    let (mut site, people) = People::site(holding(HOUR)).await;
    let agent = ana(&site);
    let params = json!({ "name": "sql_query", "arguments": count(), "_meta": { "progressToken": 1 } });
    let request = agent.modern("tools/call", params, &json!({}));
    let mut events = Events::new(request.send().await.unwrap());
    let progress = events.next().await.unwrap();
    let words = progress["params"]["message"].as_str().unwrap();
    assert!(words.starts_with("waiting for approval"), "{words}");
    let id = people.asked(1).await;
    people.approve(&id).await;
    let answer = loop {
        let message = events.next().await.unwrap();
        if message.get("result").is_some() {
            break message["result"].clone();
        }
    };
    counted(&answer);
    assert_eq!(people.state(&id).await, State::Spent);
    let runs = runs(&site).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(
        runs[0]["approval"]["approvers"],
        json!(["test#dora"]),
        "{}",
        runs[0]
    );
    people.stop(&mut site).await;
    intact(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_hold_it_is_pending_and_whoever_waits_gets_the_result_as_often_as_they_ask() {
    let (mut site, people) = People::site(holding(Duration::ZERO)).await;
    let agent = ana(&site);
    let result = agent.call("sql_query", count()).await;
    let id = pending(&result);
    let told = &envelope(&result)["approval"];
    assert_eq!(
        told["url"],
        json!(format!("http://control.example/approvals/{id}"))
    );
    assert_eq!(told["next"], "call approval_wait with approval_id");
    assert!(told["expires_at"].as_str().unwrap().ends_with('Z'), "{told}");

    let again = agent.call("sql_query", count()).await;
    assert_eq!(pending(&again), id, "the identical call is the same request");
    let waited = agent.call("approval_wait", wait(&id)).await;
    assert_eq!(pending(&waited), id);
    assert!(runs(&site).await.is_empty());

    people.approve(&id).await;
    assert!(
        runs(&site).await.is_empty(),
        "approved, and nobody waits: nothing runs"
    );
    let first = agent.call("approval_wait", wait(&id)).await;
    counted(&first);
    for result in [
        agent.call("approval_wait", wait(&id)).await,
        agent.call("sql_query", count()).await,
    ] {
        counted(&result);
        assert_eq!(envelope(&result)["data"], envelope(&first)["data"]);
    }
    assert_eq!(runs(&site).await.len(), 1);
    people.stop(&mut site).await;
    intact(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_carries_the_reviewers_reason_and_says_not_to_come_again() {
    let (_site, people) = People::site(holding(Duration::ZERO)).await;
    let agent = ana(&_site);
    let id = pending(&agent.call("sql_query", count()).await);
    let why = Choice::Refuse("Ask for one day only.".to_owned());
    people.decide(&id, why).await.unwrap();
    for result in [
        agent.call("approval_wait", wait(&id)).await,
        agent.call("sql_query", count()).await,
    ] {
        assert_eq!(code(&result), "approval_denied", "{result}");
        assert_eq!(result["isError"], json!(true));
        let refusal = &envelope(&result)["refusal"];
        assert!(
            refusal["message"]
                .as_str()
                .unwrap()
                .contains("Ask for one day only.")
        );
        assert!(refusal["try"].as_str().unwrap().contains("Do not send it again"));
        assert_eq!(refusal["retry"], json!(false));
    }
    assert!(runs(&_site).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_refusal_and_so_is_an_approval_that_nobody_came_back_for() {
    let (site, people) = People::site(holding(Duration::ZERO)).await;
    let agent = ana(&site);
    let id = pending(&agent.call("sql_query", count()).await);
    people.world.advance(HOUR);
    let result = agent.call("approval_wait", wait(&id)).await;
    assert_eq!(code(&result), "approval_expired", "{result}");

    let id = pending(&agent.call("sql_query", count()).await); // the same call opens a new request
    people.approve(&id).await;
    people.world.advance(HOUR);
    let result = agent.call("approval_wait", wait(&id)).await;
    assert_eq!(code(&result), "approval_expired", "{result}");
    assert!(runs(&site).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_finds_the_request_as_it_was_and_nothing_ran_meanwhile() {
    let (mut site, people) = People::site(holding(HOUR)).await;
    let agent = ana(&site);
    let params = json!({ "name": "sql_query", "arguments": count() });
    let request = agent.modern("tools/call", params, &json!({}));
    let held = tokio::spawn(request.send());
    let id = people.asked(1).await;
    held.abort();
    let left = wait_for(&site, "refusal", 1).await;
    assert_eq!(left[0].code.as_deref(), Some("cancelled"));
    assert_eq!(people.state(&id).await, State::Pending);
    people.approve(&id).await;
    assert_eq!(people.state(&id).await, State::Granted);
    assert!(runs(&site).await.is_empty(), "nothing runs unattended");
    counted(&agent.call("approval_wait", wait(&id)).await);
    assert_eq!(runs(&site).await.len(), 1);
    people.stop(&mut site).await;
    intact(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_wait_for_one_request_get_one_run() {
    let (site, people) = People::site(holding(HOUR)).await;
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let agent = ana(&site);
        calls.spawn(async move {
            match number % 2 {
                0 => agent.call("sql_query", count()).await,
                _ => {
                    let session = agent.open(&json!({})).await;
                    let call = agent.older_call(&session, 1, "sql_query", &count());
                    last(call.send().await.unwrap()).await["result"].clone()
                }
            }
        });
    }
    let id = people.asked(1).await;
    people.approve(&id).await;
    let agent = ana(&site);
    while let Some(result) = calls.join_next().await {
        let mut result = result.unwrap();
        while envelope(&result)["status"] == "approval_pending" {
            // Who lost the race for the one approval is told so, and fetches what the winner got.
            result = agent.call("approval_wait", wait(&id)).await;
        }
        counted(&result);
    }
    assert_eq!(runs(&site).await.len(), 1, "{:?}", phase(&site, "result").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_request_does_not_exist() {
    let (site, people) = People::site(holding(Duration::ZERO)).await;
    let id = pending(&ana(&site).call("sql_query", count()).await);
    people.approve(&id).await;
    let bea = Agent::new(&site, "bea", &["analyst"]);
    let (stranger, invented) = (
        bea.call("approval_wait", wait(&id)).await,
        bea.call("approval_wait", wait(&ApprovalId("0".repeat(32)))).await,
    );
    assert_eq!(code(&stranger), "not_found");
    assert_eq!(code(&invented), "not_found");
    let words = |result: &Value| result["content"][0]["text"].as_str().unwrap().replace(&id.0, "…");
    assert_eq!(
        words(&stranger).lines().next(),
        words(&invented).replace(&"0".repeat(32), "…").lines().next()
    );
    assert_eq!(people.state(&id).await, State::Granted);
    assert!(runs(&site).await.is_empty());
}

fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

async fn about(agent: &Agent, method: &str, id: &str) -> Value {
    let request = agent.modern(method, json!({ "taskId": id }), &tasks());
    let response = request.header("mcp-name", id).send().await.unwrap();
    last(response).await
}

async fn task(agent: &Agent) -> Value {
    let params = json!({ "name": "sql_query", "arguments": count() });
    let response = agent.modern("tools/call", params, &tasks()).send().await.unwrap();
    let created = last(response).await["result"].clone();
    assert_eq!(created["resultType"], "task", "{created}");
    created
}

async fn ended(agent: &Agent, id: &str) -> Value {
    crate::support::until("the end of the task", async || {
        let task = about(agent, "tasks/get", id).await["result"].clone();
        (task["status"] != "working").then_some(task)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_the_server_and_runs_once_when_its_client_asks() {
    let (mut site, people) = People::site(holding(HOUR)).await;
    let agent = ana(&site);
    let created = task(&agent).await;
    let id = ApprovalId(created["taskId"].as_str().unwrap().to_owned());
    assert!(
        created["statusMessage"]
            .as_str()
            .unwrap()
            .contains("http://control.example/approvals/")
    );
    people.stop(&mut site).await;

    let people = People::serve(&mut site, holding(HOUR)).await;
    assert_eq!(
        about(&agent, "tasks/get", &id.0).await["result"]["status"],
        "working"
    );
    people.approve(&id).await;
    assert!(runs(&site).await.is_empty(), "nobody asks");
    let polls = (0..8).map(|_| ended(&agent, &id.0));
    for task in futures::future::join_all(polls).await {
        assert_eq!(task["status"], "completed", "{task}");
        counted(&task["result"]);
    }
    assert_eq!(runs(&site).await.len(), 1);
    counted(&ended(&agent, &id.0).await["result"]);
    assert_eq!(runs(&site).await.len(), 1, "the stored answer");
    let bea = Agent::new(&site, "bea", &["analyst"]);
    let unknown = json!({ "code": -32602, "message": "Unknown task" });
    for method in ["tasks/get", "tasks/cancel"] {
        assert_eq!(about(&bea, method, &id.0).await["error"], unknown);
        assert_eq!(about(&agent, method, &"0".repeat(32)).await["error"], unknown);
    }
    people.stop(&mut site).await;
    intact(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_task_completes_with_the_reason_and_a_cancelled_one_asks_nobody_any_more() {
    let (site, people) = People::site(holding(HOUR)).await;
    let agent = ana(&site);
    let id = ApprovalId(task(&agent).await["taskId"].as_str().unwrap().to_owned());
    let why = Choice::Refuse("Not on a Friday.".to_owned());
    people.decide(&id, why).await.unwrap();
    let refused = ended(&agent, &id.0).await;
    assert_eq!(refused["status"], "completed");
    assert_eq!(code(&refused["result"]), "approval_denied");
    assert!(
        refused["result"].to_string().contains("Not on a Friday."),
        "{refused}"
    );

    let bea = Agent::new(&site, "bea", &["analyst"]);
    let id = ApprovalId(task(&bea).await["taskId"].as_str().unwrap().to_owned());
    assert!(about(&bea, "tasks/cancel", &id.0).await.get("result").is_some());
    assert_eq!(ended(&bea, &id.0).await["status"], "cancelled");
    assert_eq!(people.state(&id).await, State::Cancelled);
    assert!(people.decide(&id, Choice::Approve).await.is_err());
    assert!(runs(&site).await.is_empty());
}
