//! A whole agent turn with Claude Code: a stand-in for the model, on loopback, asks for one tool call, and
//! what the agent sends back to it is what a real model would have read.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{clients, run};
use crate::support::site::Site;

const TOOL: &str = "mcp__tollgate__sql_query";
const STATEMENT: &str =
    "SELECT id, upper(email) AS e FROM customers WHERE email LIKE '%@%' OR 1 ORDER BY id LIMIT 2";

/// Every request body the agent sent to its model.
pub(super) type Bodies = Arc<Mutex<Vec<Value>>>;

/// What the model does next: a tool with its arguments, or nothing more.
pub(super) type Next = fn(&Value) -> Option<(&'static str, Value)>;

/// A stand-in for the model, on loopback.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) bodies: Bodies,
    next: Next,
}

impl Model {
    /// Starts it; gives its address.
    pub(super) async fn start(next: Next) -> (Self, String) {
        let model = Self {
            bodies: Bodies::default(),
            next,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (model, base)
    }
}

/// The Messages API as far as a turn needs it.
async fn answer(State(model): State<Model>, uri: Uri, body: String) -> Response {
    let asked: Value = serde_json::from_str(&body).unwrap_or_default();
    if uri.path() != "/v1/messages" {
        return axum::Json(json!({ "input_tokens": 1 })).into_response();
    }
    let offered = |name: &str| {
        let tools = asked["tools"].as_array();
        tools.is_some_and(|tools| tools.iter().any(|tool| tool["name"] == name))
    };
    let next = (model.next)(&asked).filter(|(name, _)| offered(name));
    let turn = {
        let mut bodies = model.bodies.lock().unwrap();
        bodies.push(asked);
        bodies.len()
    };
    let (block, delta, stop) = match next {
        Some((name, arguments)) => (
            json!({ "type": "tool_use", "id": format!("toolu_{turn}"), "name": name, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": arguments.to_string() }),
            "tool_use",
        ),
        None => (
            json!({ "type": "text", "text": "" }),
            json!({ "type": "text_delta", "text": "done" }),
            "end_turn",
        ),
    };
    let message = json!({ "id": format!("msg_{turn}"), "type": "message", "role": "assistant", "model": "stub",
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null },
            "usage": { "output_tokens": 1 } }),
        json!({ "type": "message_stop" }),
    ];
    let stream: String = events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect();
    ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
}

/// One call, then a word.
fn once(asked: &Value) -> Option<(&'static str, Value)> {
    let arguments = json!({ "resource": "shop", "statement": STATEMENT });
    tool_results(asked).is_empty().then_some((TOOL, arguments))
}

/// What Claude Code runs with.
pub(super) fn envs(home: &std::path::Path, base: &str) -> Vec<(&'static str, String)> {
    vec![
        ("HOME", home.display().to_string()),
        ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ("ANTHROPIC_BASE_URL", base.to_owned()),
        ("ANTHROPIC_API_KEY", "none".to_owned()),
        ("ENABLE_TOOL_SEARCH", "false".to_owned()),
    ]
}

/// Registers Tollgate, as a user would.
pub(super) async fn register(site: &Site, home: &std::path::Path, base: &str) {
    let header = format!("Authorization: Bearer {}", site.token("ana", &["analyst"]));
    let endpoint = site.endpoint();
    let add = ["mcp", "add", "--scope", "user", "--transport", "http", "tollgate"];
    let add = [&add[..], &[&endpoint, "--header", &header]].concat();
    claude(home, base, &add).await;
}

/// Registers Tollgate and puts one question.
pub(super) async fn ask_claude(site: &Site, base: &str, tools: &str) {
    let home = tempfile::tempdir().unwrap();
    register(site, home.path(), base).await;
    let ask = ["-p", "Who are our customers?", "--allowedTools", tools];
    claude(home.path(), base, &ask).await;
}

async fn claude(home: &std::path::Path, base: &str, arguments: &[&str]) {
    let program = clients().join("node_modules/.bin/claude");
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let output = run(program, arguments, envs(home, base)).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// What came back from the tools, as the model reads it, in order.
pub(super) fn tool_results(asked: &Value) -> Vec<Value> {
    let messages = asked["messages"].as_array().into_iter().flatten();
    let blocks = messages
        .filter_map(|message| message["content"].as_array())
        .flatten();
    blocks
        .filter(|block| block["type"] == "tool_result")
        .cloned()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_behind_claude_code_reads_is_masked() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let (model, base) = Model::start(once).await;
    ask_claude(&site, &base, TOOL).await;

    let bodies = model.bodies.lock().unwrap().clone();
    let result = bodies
        .iter()
        .find_map(|body| tool_results(body).pop())
        .expect("no result reached the model");
    let text = result.to_string();
    assert!(text.contains("***") && text.contains("customers.email"), "{text}");
    let everything = json!(bodies).to_string();
    assert!(!everything.contains("@example."), "an address reached the model");
    assert!(!everything.contains("@EXAMPLE."), "an address reached the model");
    assert!(
        !everything.contains("mcp__tollgate__file_read"),
        "a tool outside the catalogue reached the model"
    );
    server.stop().await;
}
