//! Tasks of the newest revision, and what they are not for the others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Request, Server};
use super::door::Event;
use crate::approval::review::State;
use crate::call::refusal::Code;

const ANN: &str = "r-ann-cli";

fn tasks() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
}

fn change(token: &str) -> Request {
    let params = json!({"name": "change", "arguments": {}});
    Request::modern(token, "tools/call", params, &tasks())
}

fn about(token: &str, method: &str, id: &str) -> Request {
    let request = Request::modern(token, method, json!({"taskId": id}), &tasks());
    request.with("Mcp-Name", id)
}

async fn get(server: &Server, token: &str, id: &str) -> Value {
    server.send(&about(token, "tasks/get", id)).await.result()
}

/// Asks until the task is at an end.
async fn end(server: &Server, token: &str, id: &str) -> Value {
    loop {
        let task = get(server, token, id).await;
        if task["status"] != "working" {
            return task;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_that_waits_for_people_becomes_a_task_that_runs_once_when_it_is_polled() {
    let server = Server::start().await;
    let created = server.send(&change("ann")).await.result();
    assert_eq!(created["resultType"], json!("task"), "{created}");
    assert_eq!(created["taskId"], json!(ANN), "the request's own id");
    assert_eq!(created["status"], json!("working"));
    assert_eq!(created["ttlMs"], json!(7_200_000), "not before the deadline");
    assert_eq!(created["pollIntervalMs"], json!(2_000));
    assert_eq!(created["createdAt"], json!("2026-01-01T00:00:00.000Z"));
    let message = created["statusMessage"].as_str().unwrap();
    assert!(
        message.contains("http://control/approvals/r-ann-cli"),
        "{message}"
    );

    assert_eq!(get(&server, "ann", ANN).await["status"], "working");
    assert_eq!(
        server.door.people.waited.load(Ordering::Relaxed),
        0,
        "asking starts nothing"
    );
    server.door.people.decide(ANN, State::Granted);
    for _ in 0..5 {
        assert_eq!(get(&server, "ann", ANN).await["status"], "working");
    }
    server.door.let_go.add_permits(9);
    for _ in 0..3 {
        let ended = end(&server, "ann", ANN).await;
        assert_eq!(ended["status"], "completed");
        assert_eq!(ended["result"]["structuredContent"]["data"], json!("ran"));
        assert_eq!(ended["result"]["isError"], json!(false));
        assert_eq!(ended["resultType"], json!("complete"));
    }
    assert_eq!(server.door.people.ran.load(Ordering::Relaxed), 1, "once");
}

#[tokio::test]
async fn a_running_task_tells_its_news_and_the_answer_counts_as_accepted() {
    let mut server = Server::start().await;
    server.send(&change("ann")).await;
    server.door.people.decide(ANN, State::Granted);
    let news = loop {
        let task = get(&server, "ann", ANN).await;
        let message = task["statusMessage"].as_str().unwrap().to_owned();
        if message.contains("line 1") {
            break message;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(news, "line 1 of the command");
    server.door.let_go.add_permits(1);
    let ended = end(&server, "ann", ANN).await;
    let call = &ended["result"]["structuredContent"]["call_id"];
    loop {
        if let Event::Accepted(accepted) = server.event().await
            && json!(accepted) == *call
        {
            return;
        }
    }
}

#[tokio::test]
async fn somebody_elses_task_and_an_invented_one_are_the_same_unknown() {
    let server = Server::start().await;
    server.send(&change("ann")).await;
    server.door.people.decide(ANN, State::Granted);
    for (token, id) in [
        ("bob", ANN),
        ("ann@other", ANN),
        ("ann", "r-bob-cli"),
        ("ann", ""),
        ("ann", "../../etc"),
    ] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let mut request = about(token, method, id);
            if method == "tasks/update" {
                let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
                let mut params = body["params"].clone();
                params["inputResponses"] = json!({});
                request = Request::modern(token, method, params, &tasks()).with("Mcp-Name", id);
            }
            let error = server.send(&request).await.message()["error"].clone();
            assert_eq!(
                error,
                json!({"code": -32602, "message": "Unknown task"}),
                "{token} {method} {id}"
            );
        }
    }
    assert_eq!(
        server.door.people.waited.load(Ordering::Relaxed),
        0,
        "nothing was started"
    );
    server.door.let_go.add_permits(1);
    assert_eq!(
        end(&server, "ann", ANN).await["status"],
        "completed",
        "nor withdrawn"
    );
}

#[tokio::test]
async fn what_people_said_or_did_not_say_is_the_tasks_end() {
    for (state, code) in [
        (State::Refused, Code::ApprovalDenied),
        (State::Expired, Code::ApprovalExpired),
        (State::Unknown, Code::OutcomeUnknown),
    ] {
        let server = Server::start().await;
        server.send(&change("ann")).await;
        server.door.people.decide(ANN, state);
        let ended = get(&server, "ann", ANN).await;
        assert_eq!(
            ended["status"], "completed",
            "an answer, if no happy one: {ended}"
        );
        assert_eq!(ended["result"]["isError"], json!(true));
        assert_eq!(
            ended["result"]["structuredContent"]["refusal"]["code"],
            json!(code)
        );
        assert_eq!(server.door.people.ran.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_cancelled_task_does_not_run_and_a_running_one_is_told_to_stop() {
    let server = Server::start().await;
    server.send(&change("ann")).await;
    let acknowledged = server.send(&about("ann", "tasks/cancel", ANN)).await.result();
    assert_eq!(acknowledged["resultType"], json!("complete"));
    assert_eq!(get(&server, "ann", ANN).await["status"], "cancelled");
    assert_eq!(server.door.people.waited.load(Ordering::Relaxed), 0);

    server.send(&change("bob")).await;
    server.door.people.decide("r-bob-cli", State::Granted);
    get(&server, "bob", "r-bob-cli").await;
    while server.door.people.waited.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    server
        .send(&about("bob", "tasks/cancel", "r-bob-cli"))
        .await
        .result();
    let ended = end(&server, "bob", "r-bob-cli").await;
    assert_ne!(ended["status"], "working", "{ended}");
    assert_eq!(server.door.people.ran.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_execution_that_spends_nothing_is_not_tried_at_every_poll() {
    let server = Server::start().await;
    server.send(&change("ann")).await;
    *server.door.people.instead.lock().unwrap() = Some(Code::NotPermitted);
    server.door.people.decide(ANN, State::Granted);
    for _ in 0..3 {
        let ended = end(&server, "ann", ANN).await;
        assert_eq!(
            ended["result"]["structuredContent"]["refusal"]["code"],
            json!("not_permitted")
        );
    }
    assert_eq!(server.door.people.waited.load(Ordering::Relaxed), 1);
    // What it read is noted for the session it ran in: another one of the same person walks the path itself.
    let elsewhere = end(&server, "ann/2", ANN).await;
    assert_eq!(elsewhere["status"], "completed");
    assert_eq!(server.door.people.waited.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn who_did_not_declare_tasks_gets_none() {
    let server = Server::start().await;
    // The newest revision without the extension: held, and here decided at once.
    let plain = Request::call("ann", "change", &json!({}));
    let mut held = server.connect().await;
    held.send(&plain).await;
    while server
        .door
        .people
        .standing(
            &super::door::principal("ann").unwrap(),
            &crate::call::ApprovalId(ANN.to_owned()),
        )
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    server.door.people.decide(ANN, State::Granted);
    let result = held.reply().await.result();
    assert_eq!(result["structuredContent"]["data"], json!("ran"), "{result}");
    let poll = Request::modern("ann", "tasks/get", json!({"taskId": ANN}), &json!({})).with("Mcp-Name", ANN);
    assert_eq!(server.send(&poll).await.error_code(), -32021);

    // The older era, even from a client that declares the extension in `initialize`.
    let opened = server.send(&Request::initialize("ann", &tasks())).await;
    assert_eq!(opened.result()["capabilities"], json!({"tools": {}}));
    let session = opened.header("mcp-session-id").unwrap();
    let reply = server
        .send(&Request::older_call("ann", session, 1, "change"))
        .await;
    assert_eq!(reply.result()["structuredContent"]["data"], json!("ran"));
    for method in [
        "tasks/get",
        "tasks/cancel",
        "tasks/update",
        "tasks/list",
        "tasks/result",
    ] {
        let params = json!({"taskId": ANN, "inputResponses": {}});
        let body = json!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params});
        let reply = server.send(&Request::older("ann", session, &body)).await;
        assert_eq!(reply.error_code(), -32601, "{method}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_client_that_left_ends_the_wait_and_the_request_stays() {
    for older in [false, true] {
        let mut server = Server::start().await;
        let request = if older {
            let session = server.session("ann", &json!({})).await;
            Request::older_call("ann", &session, 1, "change")
        } else {
            Request::call("ann", "change", &json!({}))
        };
        let mut leaving = server.connect().await;
        leaving.send(&request).await;
        if older {
            leaving.head().await; // its stream is open
        }
        server.entered().await;
        drop(leaving);
        server.door.people.cancelled.notified().await;
        let ann = super::door::principal("ann").unwrap();
        let id = crate::call::ApprovalId(ANN.to_owned());
        let standing = server.door.people.standing(&ann, &id).unwrap();
        assert_eq!(standing.state, State::Pending);
        server.door.people.decide(ANN, State::Granted);
        assert_eq!(server.door.people.ran.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_call_of_the_older_era_that_runs_is_not_left_half_way() {
    let mut server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    let mut leaving = server.connect().await;
    leaving
        .send(&Request::older_call("ann", &session, 1, "hold"))
        .await;
    leaving.head().await;
    server.entered().await;
    drop(leaving);
    server.send(&Request::call("ann", "echo", &json!({}))).await;
    server.entered().await;
    server.accepted().await;
    assert!(server.events.try_recv().is_err(), "nobody cancelled it");
    server.door.let_go.add_permits(1);
}

#[tokio::test]
async fn a_stopping_server_stops_what_polls_started() {
    let server = Server::start().await;
    server.send(&change("ann")).await;
    server.door.people.decide(ANN, State::Granted);
    get(&server, "ann", ANN).await;
    while server.door.people.waited.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    let ann = super::door::principal("ann").unwrap();
    let standing = server
        .door
        .people
        .standing(&ann, &crate::call::ApprovalId(ANN.to_owned()));
    assert!(standing.unwrap().settled, "it was told, and it settled");
}

#[tokio::test]
async fn progress_tells_what_is_waited_for_and_the_news_at_most_so_often() {
    let server = Server::start_with(|spec| {
        spec.progress_every = Duration::from_millis(1);
        spec.news_apart = Duration::ZERO;
    })
    .await;
    let params = json!({"name": "change", "arguments": {}, "_meta": {"progressToken": "t"}});
    let mut client = server.connect().await;
    client
        .send(&Request::modern("ann", "tools/call", params, &json!({})))
        .await;
    client.head().await;
    let mut words = String::new();
    while !words.starts_with("waiting for approval by 2 dba, ") {
        let message = client.event().await.unwrap();
        words = message["params"]["message"].as_str().unwrap().to_owned();
    }
    server.door.people.decide(ANN, State::Refused);
    let answer = loop {
        let message = client.event().await.unwrap();
        if message.get("result").is_some() {
            break message;
        }
    };
    assert_eq!(
        answer["result"]["structuredContent"]["refusal"]["code"],
        json!("approval_denied")
    );
    assert_eq!(client.event().await, None, "nothing after the answer");
}

#[tokio::test]
async fn of_news_that_comes_too_fast_the_newest_is_told() {
    let server = Server::start_with(|spec| {
        spec.progress_every = Duration::from_secs(3_600);
        spec.news_apart = Duration::from_secs(3_600);
    })
    .await;
    let params = json!({"name": "news", "arguments": {}, "_meta": {"progressToken": "t"}});
    let mut client = server.connect().await;
    client
        .send(&Request::modern("ann", "tools/call", params, &json!({})))
        .await;
    client.head().await;
    let first = client.event().await.unwrap();
    assert_eq!(
        first["params"]["message"],
        json!("three"),
        "the pieces before it were overtaken"
    );
    server.door.let_go.add_permits(1);
    let next = client.event().await.unwrap();
    assert_eq!(
        next["result"]["structuredContent"]["data"],
        json!("told"),
        "{next}"
    );
}
