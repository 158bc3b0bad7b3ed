//! Calls that last: progress, cancellation, disconnection, delivery, and the end of the server.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::client::{Request, Server};
use super::door::Event;

fn hold(token: Option<&str>) -> Request {
    let mut params = json!({"name": "hold", "arguments": {"secret": "hunter2"}});
    if let Some(token) = token {
        params["_meta"] = json!({"progressToken": token});
    }
    Request::modern("ann", "tools/call", params, &json!({}))
}

fn older_hold(session: &str, id: u64, meta: &Value) -> Request {
    let params = json!({"name": "hold", "arguments": {}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    Request::older("ann", session, &body)
}

#[tokio::test]
async fn progress_says_that_we_are_there_and_nothing_else() {
    let mut server = Server::start_with(|spec| spec.progress_every = Duration::from_millis(1)).await;
    let session = server.session("ann", &json!({})).await;
    for request in [
        hold(Some("t")),
        older_hold(&session, 5, &json!({"progressToken": "t"})),
    ] {
        let mut client = server.connect().await;
        client.send(&request).await;
        server.entered().await;
        let head = client.head().await;
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        server.world.advance(Duration::from_secs(3));
        let mut last = 0.0;
        loop {
            let message = client.event().await.unwrap();
            assert_eq!(message["method"], json!("notifications/progress"));
            let params = message["params"].as_object().unwrap();
            let keys: BTreeSet<&str> = params.keys().map(String::as_str).collect();
            assert_eq!(keys, BTreeSet::from(["message", "progress", "progressToken"]));
            assert_eq!(params["progressToken"], json!("t"));
            assert!(params["progress"].as_f64().unwrap() > last, "it increases");
            last = params["progress"].as_f64().unwrap();
            if params["message"] == json!("still running, 3 s") {
                break;
            }
            assert_eq!(params["message"], json!("still running, 0 s"));
        }
        server.door.let_go.add_permits(1);
        let answer = loop {
            let message = client.event().await.unwrap();
            if message.get("id").is_some() {
                break message;
            }
        };
        assert_eq!(answer["result"]["structuredContent"]["data"], json!("let go"));
        assert!(client.event().await.is_none(), "the stream ends with the answer");
        server.accepted().await;
    }
}

#[tokio::test]
async fn who_asks_for_no_progress_gets_one_plain_answer() {
    let mut server = Server::start_with(|spec| spec.progress_every = Duration::from_millis(1)).await;
    let (mut plain, mut curious) = (server.connect().await, server.connect().await);
    plain.send(&hold(None)).await;
    server.entered().await;
    curious.send(&hold(Some("t"))).await;
    server.entered().await;
    assert_eq!(curious.head().await.status, 200);
    for _ in 0..3 {
        curious.event().await.unwrap(); // so many beats have passed for both
    }
    server.door.let_go.add_permits(2);
    let reply = plain.reply().await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call() {
    let mut server = Server::start_with(|spec| spec.progress_every = Duration::from_millis(1)).await;
    let mut client = server.connect().await;
    client.send(&hold(None)).await;
    let call = server.entered().await.call_id;
    drop(client);
    assert_eq!(server.cancelled().await, call);

    let mut client = server.connect().await;
    client.send(&hold(Some("t"))).await;
    let call = server.entered().await.call_id;
    assert_eq!(
        client.head().await.header("content-type"),
        Some("text/event-stream")
    );
    assert!(client.event().await.is_some(), "it was streaming");
    drop(client);
    assert_eq!(server.cancelled().await, call);
}

#[tokio::test]
async fn the_older_era_cancels_by_notification() {
    let mut server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    let mut client = server.connect().await;
    client.send(&older_hold(&session, 5, &json!({}))).await;
    let call = server.entered().await.call_id;
    let notification =
        |id: u64| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    assert_eq!(
        server
            .send(&Request::older("ann", &session, &notification(6)))
            .await
            .status,
        202
    );
    assert_eq!(
        server
            .send(&Request::older("ann", &session, &notification(5)))
            .await
            .status,
        202
    );
    assert_eq!(server.cancelled().await, call);
}

#[tokio::test]
async fn the_older_era_survives_a_lost_connection_and_ends_with_its_session() {
    // 2025-11-25, "Disconnection SHOULD NOT be interpreted as the client cancelling its request".
    let mut server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    let mut client = server.connect().await;
    client.send(&older_hold(&session, 5, &json!({}))).await;
    server.entered().await;
    assert_eq!(client.head().await.status, 200);
    drop(client);
    let mut echo = server.connect().await;
    assert_eq!(
        echo.exchange(&Request::older_call("ann", &session, 6, "echo"))
            .await
            .status,
        200
    );
    let echoed = server.entered().await.call_id;
    assert_eq!(
        server.accepted().await,
        echoed,
        "the lost one was not cancelled before"
    );
}

#[tokio::test]
async fn an_answer_counts_as_accepted_when_the_socket_took_all_of_it() {
    let mut server = Server::start_with(|spec| spec.progress_every = Duration::from_millis(1)).await;
    let session = server.session("ann", &json!({})).await;
    for request in [
        Request::call("ann", "echo", &json!({})),
        Request::older_call("ann", &session, 1, "echo"),
        Request::call("ann", "no", &json!({})),
        Request::call("ann", "large", &json!({})),
    ] {
        let reply = server.send(&request).await;
        assert_eq!(reply.status, 200);
        let call = server.entered().await.call_id;
        assert_eq!(server.accepted().await, call);
        assert_eq!(reply.result()["structuredContent"]["call_id"], json!(call));
    }
}

#[tokio::test]
async fn an_answer_that_nobody_took_was_not_accepted() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    client.send(&Request::call("ann", "large", &json!({}))).await;
    server.entered().await;
    assert_eq!(client.head().await.status, 200, "it was on its way");
    drop(client);
    assert_eq!(
        server
            .send(&Request::call("ann", "echo", &json!({})))
            .await
            .status,
        200
    );
    let echoed = server.entered().await.call_id;
    assert_eq!(server.accepted().await, echoed);
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    assert!(server.events.try_recv().is_err(), "not even at the end");
}

#[tokio::test]
async fn a_stopping_server_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    let mut stream = server.connect().await;
    let listen = Request::get("/mcp")
        .with("Authorization", "Bearer ann")
        .with("Accept", "text/event-stream")
        .with("Mcp-Session-Id", &session);
    stream.send(&listen).await;
    assert_eq!(stream.head().await.status, 200);
    let mut idle = server.connect().await;
    assert_eq!(idle.exchange(&Request::get("/healthz")).await.status, 200);
    let (mut newer, mut older) = (server.connect().await, server.connect().await);
    newer.send(&hold(None)).await;
    server.entered().await;
    older.send(&older_hold(&session, 5, &json!({}))).await;
    server.entered().await;

    server.shutdown.cancel();
    assert!(idle.closed().await);
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens");
    server.door.let_go.add_permits(2);
    for client in [&mut newer, &mut older] {
        assert_eq!(
            client.reply().await.result()["structuredContent"]["data"],
            json!("let go")
        );
    }
    server.accepted().await;
    server.accepted().await;
    while stream.event().await.is_some() {}
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopping_server_does_not_wait_for_ever() {
    let mut server = Server::start_with(|spec| spec.drain_within = Duration::from_millis(1)).await;
    let session = server.session("ann", &json!({})).await;
    let (mut newer, mut older) = (server.connect().await, server.connect().await);
    newer.send(&hold(None)).await;
    server.entered().await;
    older.send(&older_hold(&session, 5, &json!({}))).await;
    server.entered().await;
    server.shutdown.cancel();
    for _ in 0..2 {
        assert!(
            matches!(server.event().await, Event::Cancelled(_)),
            "the calls are told"
        );
    }
    server.served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_of_both_eras_get_their_own_answers_and_each_is_accepted_once() {
    const CLIENTS: u64 = 16;
    const CALLS: u64 = 12;
    let mut server = Server::start().await;
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let token = format!("user{n}");
        let session = server.session(&token, &json!({})).await;
        let mut client = server.connect().await;
        clients.spawn(async move {
            let mut calls = BTreeSet::new();
            for id in 0..CALLS {
                let mark = json!({"mark": format!("{n}/{id}")});
                let request = if (n + id) % 2 == 0 {
                    Request::call(&token, "echo", &mark)
                } else {
                    let params = json!({"name": "echo", "arguments": mark});
                    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
                    Request::older(&token, &session, &body)
                };
                let content = client.exchange(&request).await.result()["structuredContent"].clone();
                assert_eq!(content["data"], mark);
                calls.insert(content["call_id"].as_str().unwrap().to_owned());
            }
            calls
        });
    }
    let mut answered = BTreeSet::new();
    while let Some(calls) = clients.join_next().await {
        answered.extend(calls.unwrap());
    }
    assert_eq!(answered.len() as u64, CLIENTS * CALLS, "no id twice");
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    let mut accepted = Vec::new();
    while let Ok(event) = server.events.try_recv() {
        if let Event::Accepted(call) = event {
            accepted.push(call.to_string());
        }
    }
    accepted.sort();
    assert_eq!(accepted, answered.into_iter().collect::<Vec<_>>());
}
