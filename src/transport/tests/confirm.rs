//! Asking the caller's own person, in both eras.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Request, Server};

fn forms() -> Value {
    json!({"elicitation": {"form": {}}})
}

fn ask(token: &str, arguments: &Value, capabilities: &Value) -> Request {
    let params = json!({"name": "ask", "arguments": arguments});
    Request::modern(token, "tools/call", params, capabilities)
}

fn retry(token: &str, arguments: &Value, state: &str, answer: &Value) -> Request {
    let params = json!({
        "name": "ask",
        "arguments": arguments,
        "requestState": state,
        "inputResponses": {"confirm": answer},
    });
    Request::modern(token, "tools/call", params, &forms())
}

fn yes() -> Value {
    json!({"action": "accept", "content": {"confirm": true}})
}

fn code(result: &Value) -> &str {
    result["structuredContent"]["refusal"]["code"]
        .as_str()
        .unwrap_or("none")
}

async fn question(server: &Server, token: &str, arguments: &Value) -> String {
    let result = server.send(&ask(token, arguments, &forms())).await.result();
    assert_eq!(result["resultType"], json!("input_required"), "{result}");
    result["requestState"].as_str().unwrap().to_owned()
}

fn is_question(result: &Value) -> bool {
    result["resultType"] == json!("input_required") && result.get("structuredContent").is_none()
}

#[tokio::test]
async fn the_newest_revision_hands_the_question_to_the_client_and_takes_one_answer() {
    let mut server = Server::start().await;
    let result = server
        .send(&ask("ann", &json!({"n": 1}), &forms()))
        .await
        .result();
    server.entered().await;
    assert!(is_question(&result), "{result}");
    let request = &result["inputRequests"]["confirm"];
    assert_eq!(request["method"], json!("elicitation/create"));
    assert_eq!(request["params"]["mode"], json!("form"));
    assert_eq!(request["params"]["message"], json!("Allow it?"));
    let schema = &request["params"]["requestedSchema"];
    assert_eq!(schema["required"], json!(["confirm"]));
    assert_eq!(schema["properties"]["confirm"]["type"], json!("boolean"));
    assert_eq!(schema["properties"]["confirm"]["default"], json!(false));
    let state = result["requestState"].as_str().unwrap();

    let confirmed = server
        .send(&retry("ann", &json!({"n": 1}), state, &yes()))
        .await
        .result();
    let call = server.entered().await.call_id;
    assert_eq!(confirmed["structuredContent"]["data"], json!("confirmed"));
    assert_eq!(
        server.accepted().await,
        call,
        "the question itself is no answer, so nothing came before"
    );
    let again = server
        .send(&retry("ann", &json!({"n": 1}), state, &yes()))
        .await
        .result();
    assert!(is_question(&again), "an answer counts once: {again}");
    assert_ne!(again["requestState"].as_str(), Some(state));
}

#[tokio::test]
async fn an_answer_counts_only_for_its_own_call() {
    let server = Server::start().await;
    let n = json!({"n": 9_007_199_254_740_993_u64});
    for (token, arguments) in [
        ("bob", n.clone()),
        ("ann@other", n.clone()),
        ("ann", json!({"n": 9_007_199_254_740_992_u64})),
        ("ann", json!({})),
    ] {
        let state = question(&server, "ann", &n).await;
        let result = server
            .send(&retry(token, &arguments, &state, &yes()))
            .await
            .result();
        assert!(is_question(&result), "{token} {arguments}: {result}");
    }
    for forged in ["", "0", &"0".repeat(64), "../..", &"x".repeat(10_000)] {
        let result = server.send(&retry("ann", &n, forged, &yes())).await.result();
        assert!(is_question(&result), "{forged}");
    }
    let state = question(&server, "ann", &n).await;
    server.world.advance(Duration::from_mins(5));
    assert!(
        is_question(&server.send(&retry("ann", &n, &state, &yes())).await.result()),
        "too late"
    );
}

#[tokio::test]
async fn only_a_ticked_yes_is_a_yes() {
    let server = Server::start().await;
    let n = json!({"n": 1});
    for answer in [
        json!({"action": "decline"}),
        json!({"action": "cancel"}),
        json!({"action": "cancel", "content": {"confirm": true}}),
        json!({"action": "accept"}),
        json!({"action": "accept", "content": {}}),
        json!({"action": "accept", "content": {"confirm": false}}),
        json!({"action": "accept", "content": {"confirm": "true"}}),
    ] {
        let state = question(&server, "ann", &n).await;
        let result = server.send(&retry("ann", &n, &state, &answer)).await.result();
        assert_eq!(code(&result), "approval_denied", "{answer}: {result}");
    }
    for answer in [json!({}), json!("yes"), json!({"action": "ok"}), json!(null)] {
        let state = question(&server, "ann", &n).await;
        let result = server.send(&retry("ann", &n, &state, &answer)).await.result();
        assert!(is_question(&result), "no answer at all: {answer}");
    }
}

#[tokio::test]
async fn who_cannot_show_a_form_is_not_asked() {
    let server = Server::start().await;
    for capabilities in [
        json!({}),
        json!({"elicitation": {"url": {}}}),
        json!({"sampling": {}}),
    ] {
        let result = server.send(&ask("ann", &json!({}), &capabilities)).await.result();
        assert_eq!(code(&result), "approval_unavailable", "{capabilities}");
        let session = server.session("ann", &capabilities).await;
        let result = server
            .send(&Request::older_call("ann", &session, 1, "ask"))
            .await
            .result();
        assert_eq!(code(&result), "approval_unavailable", "{capabilities}");
    }
    let empty_means_forms = json!({"elicitation": {}});
    assert!(is_question(
        &server
            .send(&ask("ann", &json!({}), &empty_means_forms))
            .await
            .result()
    ));
}

/// Sends the call and gives the connection and the id of the question that came back on it.
async fn asked(server: &Server, session: &str, id: u64) -> (Client, Value) {
    let mut client = server.connect().await;
    client.send(&Request::older_call("ann", session, id, "ask")).await;
    assert_eq!(client.head().await.status, 200);
    let request = client.event().await.unwrap();
    assert_eq!(request["method"], json!("elicitation/create"), "{request}");
    assert_eq!(request["params"]["message"], json!("Allow it?"));
    (client, request["id"].clone())
}

#[tokio::test]
async fn the_older_era_asks_on_the_calls_own_stream_and_waits() {
    let server = Server::start().await;
    let session = server.session("ann", &json!({"elicitation": {}})).await;
    for (n, (answer, outcome)) in [
        (yes(), "none"),
        (json!({"action": "decline"}), "approval_denied"),
        (json!({"action": "cancel"}), "approval_denied"),
        (json!({"action": "accept", "content": {}}), "approval_denied"),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut client, id) = asked(&server, &session, n as u64).await;
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": answer});
        let thief = server.send(&Request::older("bob", &session, &answer)).await;
        assert_eq!(thief.status, 404, "nobody else answers");
        assert_eq!(
            server
                .send(&Request::older("ann", &session, &answer))
                .await
                .status,
            202
        );
        let result = client.event().await.unwrap()["result"].clone();
        assert_eq!(code(&result), outcome, "{answer}");
    }
    let (mut client, id) = asked(&server, &session, 90).await;
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}});
    assert_eq!(
        server.send(&Request::older("ann", &session, &error)).await.status,
        202
    );
    let result = client.event().await.unwrap()["result"].clone();
    assert_eq!(code(&result), "approval_unavailable");
}

#[tokio::test]
async fn in_the_older_era_silence_is_a_no() {
    let server = Server::start_with(|spec| spec.confirm_within = Duration::from_millis(1)).await;
    let session = server.session("ann", &json!({"elicitation": {}})).await;
    let (mut client, _) = asked(&server, &session, 1).await;
    let result = loop {
        let message = client.event().await.unwrap();
        if message.get("result").is_some() {
            break message["result"].clone();
        }
        assert_eq!(
            message["method"],
            json!("notifications/cancelled"),
            "the question is taken back"
        );
    };
    assert_eq!(code(&result), "approval_denied");
}

#[tokio::test]
async fn a_question_for_a_cancelled_call_is_taken_back() {
    let server = Server::start().await;
    let session = server.session("ann", &json!({"elicitation": {}})).await;
    let mut stream = server.connect().await;
    let listen = Request::get("/mcp")
        .with("Authorization", "Bearer ann")
        .with("Accept", "text/event-stream")
        .with("Mcp-Session-Id", &session);
    stream.send(&listen).await;
    assert_eq!(stream.head().await.status, 200);
    let (_client, id) = asked(&server, &session, 1).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(
        server
            .send(&Request::older("ann", &session, &cancel))
            .await
            .status,
        202
    );
    let note = stream.event().await.unwrap();
    assert_eq!(note["method"], json!("notifications/cancelled"));
    assert_eq!(note["params"]["requestId"], id);
}
