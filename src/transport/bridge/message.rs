//! What must be known of a message to carry it; the rest passes as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::transport::depth;

/// Where a request of the newest revision says which it is.
const META_VERSION: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";
/// JSON-RPC codes.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
/// A failure on the way, in the range for implementations.
pub(super) const ON_THE_WAY: i32 = -32000;

/// What a message is.
pub(super) enum Kind {
    /// Wants an answer under this id.
    Request(Value),
    /// Withdraws the request of this id.
    Cancelled(Value),
    /// Any other notification.
    Notification,
    /// Answers a question of the server.
    Answer,
}

/// One message of the agent.
pub(super) struct Message {
    pub(super) kind: Kind,
    /// Empty for an answer.
    pub(super) method: String,
    /// The value of `Mcp-Name`, where the method has one.
    pub(super) name: Option<String>,
    /// The newest revision's own; `None` in the older ones.
    pub(super) version: Option<String>,
    /// As it was sent.
    pub(super) bytes: Vec<u8>,
    pub(super) params: Value,
}

impl Message {
    /// Reads one line.
    ///
    /// # Errors
    /// The answer to a line that is no message.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        depth::check(&bytes).map_err(|excess| error(&Value::Null, INVALID_REQUEST, excess.message()))?;
        let mut whole: Value = serde_json::from_slice(&bytes).map_err(|_| {
            let words = "Parse error: a line holds one JSON-RPC message";
            error(&Value::Null, PARSE_ERROR, words)
        })?;
        let version = whole
            .pointer(META_VERSION)
            .and_then(Value::as_str)
            .map(str::to_owned);
        let id = whole.get("id").cloned();
        let method = whole
            .get("method")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let params = whole.get_mut("params").map(Value::take).unwrap_or_default();
        let is_answer = whole.get("result").is_some() || whole.get("error").is_some();
        let kind = match id {
            Some(id @ (Value::String(_) | Value::Number(_))) if !method.is_empty() => Kind::Request(id),
            None if method == "notifications/cancelled" => {
                Kind::Cancelled(params.get("requestId").cloned().unwrap_or_default())
            }
            None if !method.is_empty() => Kind::Notification,
            Some(_) if method.is_empty() && is_answer => Kind::Answer,
            _ => {
                let words = "Invalid request: not a JSON-RPC message of this protocol";
                return Err(error(&Value::Null, INVALID_REQUEST, words));
            }
        };
        Ok(Self {
            kind,
            name: name(&method, &params),
            method,
            version,
            bytes,
            params,
        })
    }

    pub(super) fn id(&self) -> Value {
        match &self.kind {
            Kind::Request(id) => id.clone(),
            _ => Value::Null,
        }
    }
}

/// MCP 2026-07-28, "Streamable HTTP", header `Mcp-Name`.
fn name(method: &str, params: &Value) -> Option<String> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    Some(header(params.get(key)?.as_str()?))
}

/// A text as a header carries it: what would not survive there is wrapped in Base64.
fn header(text: &str) -> String {
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && text.trim() == text
        && !text.starts_with("=?base64?");
    if plain {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

/// An error message.
pub(super) fn error(id: &Value, code: i32, message: &str) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        .to_string()
        .into_bytes()
}

/// A result message.
pub(super) fn result(id: &Value, result: &Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
        .to_string()
        .into_bytes()
}

pub(super) fn refusal(id: &Value, why: &str) -> Vec<u8> {
    error(id, INVALID_REQUEST, why)
}

pub(super) fn too_long() -> Vec<u8> {
    let words = "Invalid request: the line is too long. Send less in one call.";
    error(&Value::Null, INVALID_REQUEST, words)
}
