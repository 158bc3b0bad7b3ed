//! Sessions of the older era belong to the principal that opened them, and are few.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{MODERN, Request, Server};

fn ping(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "ping"})
}

fn bare(method: &'static str, token: &str, session: &str) -> Request {
    let mut request = Request::get("/mcp")
        .with("Authorization", &format!("Bearer {token}"))
        .with("Accept", "text/event-stream")
        .with("Mcp-Session-Id", session);
    request.method = method;
    request
}

#[tokio::test]
async fn a_session_of_somebody_else_looks_like_none() {
    let server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    let invented = server.send(&Request::older("bob", "invented", &ping(1))).await;
    assert_eq!(invented.status, 404);
    for thief in ["bob", "ann@another-client"] {
        for request in [
            Request::older(thief, &session, &ping(1)),
            Request::older_call(thief, &session, 1, "echo"),
            Request::older(
                thief,
                &session,
                &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
            ),
            Request::older(thief, &session, &json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
            bare("GET", thief, &session),
            bare("DELETE", thief, &session),
        ] {
            let reply = server.send(&request).await;
            assert_eq!(
                (reply.status, &reply.body),
                (404, &invented.body),
                "{thief}: {request:?}"
            );
        }
    }
    assert_eq!(
        server
            .send(&Request::older("ann", &session, &ping(1)))
            .await
            .status,
        200,
        "still ann's"
    );
}

#[tokio::test]
async fn no_mixture_of_eras_leads_into_somebody_elses_session() {
    let mut server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    // The newest revision has no sessions: the header is ignored and the call is bob's own.
    let modern = Request::call("bob", "echo", &json!({})).with("Mcp-Session-Id", &session);
    assert_eq!(server.send(&modern).await.status, 200);
    assert_eq!(server.entered().await.principal.user.subject, "bob");
    // An initialize that names the newest revision is of the older era: it must not join ann's session.
    let mut smuggled = Request::initialize("bob", &json!({}))
        .with("Mcp-Session-Id", &session)
        .with("MCP-Protocol-Version", MODERN)
        .with("Mcp-Method", "initialize");
    smuggled.body = smuggled.body.map(|body| body.replace("2025-06-18", MODERN));
    let reply = server.send(&smuggled).await;
    let own = reply.header("mcp-session-id").expect("a session of bob's own");
    assert_ne!(own, session);
    let both = Request::older("bob", "invented", &ping(1)).with("Mcp-Session-Id", &session);
    assert_eq!(server.send(&both).await.status, 400);
}

#[tokio::test]
async fn a_session_that_was_ended_is_gone_and_a_request_without_one_is_told_what_to_do() {
    let server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    assert_eq!(server.send(&bare("DELETE", "ann", &session)).await.status, 204);
    let reply = server.send(&Request::older("ann", &session, &ping(1))).await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("initialize"));
    let without = Request::older("ann", "x", &ping(1)).without("Mcp-Session-Id");
    let reply = server.send(&without).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("initialize"));
}

#[tokio::test]
async fn a_persons_longest_unused_session_makes_room_for_their_newest() {
    let server = Server::start_with(|spec| spec.max_sessions_per_person = 2).await;
    let other = server.session("bob", &json!({})).await;
    let first = server.session("ann", &json!({})).await;
    server.world.advance(Duration::from_secs(1));
    let second = server.session("ann@editor", &json!({})).await;
    server.world.advance(Duration::from_secs(1));
    assert_eq!(
        server.send(&Request::older("ann", &first, &ping(1))).await.status,
        200,
        "used again"
    );
    server.world.advance(Duration::from_secs(1));
    let third = server.session("ann", &json!({})).await;
    for (token, session, status) in [
        ("ann", &first, 200),
        ("ann@editor", &second, 404),
        ("ann", &third, 200),
        ("bob", &other, 200),
    ] {
        assert_eq!(
            server
                .send(&Request::older(token, session, &ping(2)))
                .await
                .status,
            status,
            "{token}"
        );
    }
}

#[tokio::test]
async fn a_session_in_use_makes_no_room_and_a_full_server_says_so() {
    let mut server = Server::start_with(|spec| spec.max_sessions = 1).await;
    let session = server.session("ann", &json!({})).await;
    let mut client = server.connect().await;
    client
        .send(&Request::older_call("ann", &session, 1, "hold"))
        .await;
    server.entered().await;
    for token in ["ann", "bob"] {
        let reply = server.send(&Request::initialize(token, &json!({}))).await;
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (503, Some("2")),
            "{token}"
        );
    }
    server.door.let_go.add_permits(1);
    assert_eq!(
        client.reply().await.result()["structuredContent"]["data"],
        json!("let go")
    );
    assert_eq!(
        server.send(&Request::initialize("bob", &json!({}))).await.status,
        503,
        "ann's is hers"
    );
    assert_eq!(
        server.send(&Request::initialize("ann", &json!({}))).await.status,
        200
    );
    let server = Server::start_with(|spec| spec.max_sessions_per_person = 0).await;
    assert_eq!(
        server.send(&Request::initialize("ann", &json!({}))).await.status,
        503
    );
    assert_eq!(
        server
            .send(&Request::call("ann", "echo", &json!({})))
            .await
            .status,
        200
    );
}
