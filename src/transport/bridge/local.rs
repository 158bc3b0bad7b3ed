//! What the bridge answers itself when nobody is logged in, or nothing can be carried.

use serde_json::{Value, json};

use super::message::{self, Message, ON_THE_WAY};
use crate::call::{CallId, Code, Refusal};
use crate::clock::World;
use crate::tool;
use crate::transport::wire;

/// The older revisions, oldest first; the last is offered to a client that asks for another.
const OLDER: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The revision without sessions.
const NEWEST: &str = "2026-07-28";

/// Answers a request as a server would that lets nobody do anything. `why` is what every call hears.
pub(super) fn answer(request: &Message, why: &Refusal, world: &dyn World) -> Vec<u8> {
    let id = request.id();
    let legacy = request.version.is_none();
    let result = match request.method.as_str() {
        "initialize" => initialize(&request.params),
        "server/discover" => discover(),
        "ping" => json!({}),
        "tools/list" => tools(legacy),
        "tools/call" => refused(why, legacy, world),
        _ => {
            let words = format!("{} {}", why.message, why.suggestion);
            return message::error(&id, ON_THE_WAY, &words);
        }
    };
    message::result(&id, &result)
}

/// The answer to a request that was not carried, or whose answer was lost: calls hear the refusal as a
/// result, which agents can act on, other requests as an error.
pub(super) fn failed(request: &Message, why: &Refusal, world: &dyn World) -> Vec<u8> {
    let id = request.id();
    if request.method == "tools/call" {
        return message::result(&id, &refused(why, request.version.is_none(), world));
    }
    let words = format!("{} {}", why.message, why.suggestion);
    message::error(&id, ON_THE_WAY, &words)
}

fn initialize(params: &Value) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let version = OLDER.iter().find(|version| Some(**version) == asked);
    let told = serde_json::to_value(wire::server()).unwrap_or_default();
    json!({
        "protocolVersion": version.or(OLDER.last()),
        "capabilities": {"tools": {}}, // the older revisions are not told of tasks, as at the server
        "serverInfo": told.get("serverInfo"),
        "instructions": told.get("instructions"),
    })
}

fn discover() -> Value {
    let told = serde_json::to_value(wire::server()).unwrap_or_default();
    let mut versions = vec![NEWEST];
    versions.extend(OLDER.iter().rev());
    json!({
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": told.get("capabilities"),
        "instructions": told.get("instructions"),
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": told.get("serverInfo")},
    })
}

/// The tools that every server has. Which resources there are, and what was declared there, is not known.
fn tools(legacy: bool) -> Value {
    let mut list = serde_json::to_value(wire::tools(tool::built_in())).unwrap_or_default();
    if let (true, Some(fields)) = (legacy, list.as_object_mut()) {
        for newer in ["resultType", "ttlMs", "cacheScope"] {
            fields.remove(newer);
        }
    }
    list
}

fn refused(why: &Refusal, legacy: bool, world: &dyn World) -> Value {
    let mut random = [0; 10];
    world.random(&mut random);
    let envelope = json!({
        "status": "refused",
        "call_id": CallId::new(world.now().0, &random),
        "refusal": {
            "code": why.code.as_str(),
            "message": why.message,
            "try": why.suggestion,
            "retry": why.retry,
        },
    });
    let mut result = json!({
        "content": [{"type": "text", "text": envelope.to_string()}],
        "structuredContent": envelope,
        "isError": true,
    });
    if let (false, Some(fields)) = (legacy, result.as_object_mut()) {
        fields.insert("resultType".to_owned(), "complete".into());
    }
    result
}

/// Nobody is logged in, or the login is not taken.
pub(super) fn logged_out(server: &str, why: &str) -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        format!("Nothing was carried to {server}: {why}."),
        format!("Tell your person to run `tollgate login --server {server}` in a terminal; then call again."),
    )
}

/// There is a login, and it cannot be used now.
pub(super) fn no_token(server: &str, why: &str) -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        format!("Nothing was carried to {server}: {why}."),
        "Tell your person; try again in a minute.",
    )
    .retry()
}

/// The identity that the job's environment gives is no use, and stays so.
pub(super) fn no_identity(server: &str, why: &str) -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        format!("Nothing was carried to {server}: {why}."),
        "Tell your person: the identity of this job has to be put right.",
    )
}

/// The server did not get it.
pub(super) fn unreachable(server: &str) -> Refusal {
    Refusal::new(
        Code::Internal,
        format!("{server} cannot be reached; nothing was executed."),
        "Try again in a few seconds; if it stays so, tell your person.",
    )
    .retry()
}

/// The server got it and did not take it.
pub(super) fn turned_away(server: &str, status: u16) -> Refusal {
    let refusal = Refusal::new(
        Code::Overloaded,
        format!("{server} did not take the request (HTTP {status}); nothing was executed."),
        "Try again in a few seconds.",
    );
    match status {
        429 | 503 => refusal.retry(),
        _ => Refusal {
            code: Code::NotPermitted,
            suggestion: "Tell your person.".to_owned(),
            ..refusal
        },
    }
}

/// It may have happened.
pub(super) fn lost(server: &str) -> Refusal {
    Refusal::new(
        Code::OutcomeUnknown,
        format!("The connection to {server} ended before the answer came: it may have been carried out."),
        "Check what is there before you do anything again.",
    )
}
