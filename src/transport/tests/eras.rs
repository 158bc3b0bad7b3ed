//! Both protocol eras on one endpoint.

use serde_json::{Value, json};

use super::client::{MODERN, Request, Server};
use crate::call::Transport;

#[tokio::test]
async fn the_newest_revision_discovers_lists_and_calls_without_a_session() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;

    let discovered = client
        .exchange(&Request::modern("ann", "server/discover", json!({}), &json!({})))
        .await;
    assert_eq!(discovered.status, 200, "{}", discovered.body);
    let result = discovered.result();
    assert_eq!(
        result["capabilities"],
        json!({"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}),
        "nothing that nothing sends"
    );
    let versions = result["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!(MODERN)) && versions.contains(&json!("2025-06-18")));
    assert!(result["instructions"].as_str().unwrap().contains("Masks:"));

    let reply = client
        .exchange(&Request::call("ann", "echo", &json!({"n": 1})))
        .await;
    assert_eq!(
        reply.header("content-type"),
        Some("application/json"),
        "nothing to stream"
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("mcp-session-id"), None);
    let result = reply.result();
    let seen = server.entered().await;
    assert_eq!(result["isError"], json!(false));
    assert_eq!(result["resultType"], json!("complete"));
    assert_eq!(result["content"], json!([{"type": "text", "text": "text form"}]));
    assert_eq!(result["structuredContent"]["call_id"], json!(seen.call_id));
    assert_eq!(result["structuredContent"]["data"], json!({"n": 1}));
    assert_eq!(seen.arguments, json!({"n": 1}));
    assert_eq!(seen.transport, Transport::Http);
    assert_eq!(seen.principal.user.subject, "ann");
    assert_eq!(
        seen.principal.agent.client_id, "cli",
        "from the token, not from the client"
    );
    assert_eq!(seen.principal.agent.claimed_name, "tester");
    assert_eq!(seen.principal.agent.claimed_version, "9.1");
}

#[tokio::test]
async fn the_older_era_opens_a_session_and_calls_in_it() {
    let mut server = Server::start().await;
    let opened = server.send(&Request::initialize("ann", &json!({}))).await;
    let result = opened.result();
    assert_eq!(result["protocolVersion"], json!("2025-06-18"));
    assert_eq!(result["serverInfo"]["name"], json!("tollgate"));
    assert_eq!(result["capabilities"], json!({"tools": {}}));
    let session = opened.header("mcp-session-id").unwrap();
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(
        server
            .send(&Request::older("ann", session, &initialized))
            .await
            .status,
        202
    );

    let reply = server.send(&Request::older_call("ann", session, 1, "echo")).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let seen = server.entered().await;
    assert_eq!(
        reply.result()["structuredContent"]["call_id"],
        json!(seen.call_id)
    );
    assert_eq!(reply.result().get("resultType"), None, "unknown to that era");
    assert_eq!(seen.principal.agent.claimed_name, "older");
    assert_eq!(seen.principal.agent.claimed_version, "0.1");
}

#[tokio::test]
async fn tools_are_listed_per_principal_private_annotated_and_the_same_every_time() {
    let server = Server::start().await;
    let list = |token: &'static str| Request::modern(token, "tools/list", json!({}), &json!({}));
    let first = server.send(&list("ann")).await.result();
    assert_eq!(first["cacheScope"], json!("private"));
    assert_eq!(first["ttlMs"], json!(5000));
    let tools = first["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["echo", "change", "send"], "the door's order");
    assert_eq!(tools[0]["title"], json!("Title of echo"));
    assert_eq!(tools[0]["outputSchema"]["required"], json!(["status", "call_id"]));
    let hints = |tool: &Value| {
        [
            "readOnlyHint",
            "destructiveHint",
            "idempotentHint",
            "openWorldHint",
        ]
        .map(|hint| tool["annotations"][hint].as_bool().unwrap())
    };
    assert_eq!(hints(&tools[0]), [true, false, true, false]);
    assert_eq!(hints(&tools[1]), [false, true, false, false]);
    assert_eq!(hints(&tools[2]), [false, true, false, true]);
    assert_eq!(server.send(&list("ann")).await.result(), first);
    assert_eq!(
        server.send(&list("bob")).await.result()["tools"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let session = server.session("bob", &json!({})).await;
    let older = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let older = server
        .send(&Request::older("bob", &session, &older))
        .await
        .result();
    assert_eq!(older["tools"].as_array().unwrap().len(), 1);

    let paged = Request::modern("ann", "tools/list", json!({"cursor": "x"}), &json!({}));
    assert_eq!(server.send(&paged).await.error_code(), -32602);
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_a_protocol_error_and_a_refusal_is_an_answer() {
    let server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    for request in [
        Request::call("ann", "invented", &json!({})),
        Request::older_call("ann", &session, 1, "invented"),
    ] {
        let error = server.send(&request).await.message()["error"].clone();
        assert_eq!(
            error,
            json!({"code": -32602, "message": "Unknown tool"}),
            "nothing about which"
        );
    }
    for request in [
        Request::call("ann", "no", &json!({})),
        Request::older_call("ann", &session, 2, "no"),
    ] {
        let result = server.send(&request).await.result();
        assert_eq!(result["isError"], json!(true));
        assert_eq!(
            result["structuredContent"]["refusal"]["code"],
            json!("not_permitted")
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_served() {
    let server = Server::start().await;
    for method in ["subscriptions/listen", "logging/setLevel", "nonsense"] {
        let params = match method {
            "subscriptions/listen" => json!({"notifications": {"toolsListChanged": true}}),
            "logging/setLevel" => json!({"level": "debug"}),
            _ => json!({}),
        };
        let reply = server
            .send(&Request::modern("ann", method, params, &json!({})))
            .await;
        assert_eq!(reply.error_code(), -32601, "{method}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_header_that_contradicts_the_body_is_refused() {
    let server = Server::start().await;
    let honest = Request::call("ann", "echo", &json!({}));
    for lie in [
        honest.clone().without("Mcp-Name").with("Mcp-Name", "no"),
        honest
            .clone()
            .without("Mcp-Method")
            .with("Mcp-Method", "tools/list"),
        honest
            .clone()
            .without("MCP-Protocol-Version")
            .with("MCP-Protocol-Version", "2025-06-18"),
        honest.clone().without("Mcp-Method"),
    ] {
        let reply = server.send(&lie).await;
        assert_eq!(
            (reply.status, reply.error_code()),
            (400, -32020),
            "{}",
            reply.body
        );
    }
    assert_eq!(server.send(&honest).await.status, 200);
}

#[tokio::test]
async fn what_a_client_claims_is_cut_and_cleaned() {
    let mut server = Server::start().await;
    let mut request = Request::call("ann", "echo", &json!({}));
    let name = format!("Evil\\n\\u001b[31m\\u202e{}", "x".repeat(500));
    request.body = request
        .body
        .map(|body| body.replace("\"tester\"", &format!("\"{name}\"")));
    assert_eq!(server.send(&request).await.status, 200);
    let claimed = server.entered().await.principal.agent.claimed_name;
    assert!(claimed.starts_with("Evil[31mxxx"), "{claimed}");
    assert_eq!(claimed.len(), 64);
}

#[tokio::test]
async fn a_catalogue_that_falls_over_is_an_error_and_not_a_silence() {
    let server = Server::start().await;
    let request = Request::modern("cursed", "tools/list", json!({}), &json!({}));
    let reply = server.send(&request).await;
    assert_eq!(reply.error_code(), -32603);
    assert!(!reply.body.contains("fell over"));
}
