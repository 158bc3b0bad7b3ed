//! The API's description (OpenAPI 3.1), as it is served.

use serde_json::{Value, json};
use url::Url;

use crate::approval::review::State;

/// The document for a control side at this address.
#[must_use]
pub fn document(url: &Url) -> Value {
    let server = url.as_str().trim_end_matches('/');
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate, the people's side",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Requests of agents that wait for people, and the people's decisions.",
            "description": "The bearer is an ID token (OpenID Connect Core 2) of the client that control_audience names, with auth_time. A decision needs an auth_time of a moment ago: else 401 with insufficient_user_authentication (RFC 9470). No token of an agent is accepted. Errors are problem documents (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [{"id_token": []}],
        "paths": all_paths(),
        "components": {
            "securitySchemes": {"id_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT (ID token)"}},
            "parameters": {"key": {
                "name": "key", "in": "path", "required": true,
                "schema": {"type": "string", "pattern": "^[a-z2-9]{12}$"},
            }, "id": {
                "name": "id", "in": "path", "required": true,
                "schema": {"type": "string", "pattern": "^[a-z0-9]{32}$"},
            }},
            "responses": {"Problem": {
                "description": "Why not (RFC 9457)",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
            "schemas": schemas(),
        },
    })
}

fn all_paths() -> Value {
    let mut all = paths();
    if let (Some(all), Value::Object(keys)) = (all.as_object_mut(), key_paths()) {
        all.extend(keys);
    }
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), lasting_paths()) {
        all.extend(more);
    }
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), callback_paths()) {
        all.extend(more);
    }
    all
}

/// Decisions of integrations: docs/callbacks.md.
fn callback_paths() -> Value {
    let digits = json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let header = |name: &str, about: &str| json!({"name": name, "in": "header", "required": true, "description": about, "schema": {"type": "string"}});
    let body = json!({
        "type": "object", "additionalProperties": false,
        "required": ["approval", "action_sha256", "nonce", "decide_by", "decision"],
        "properties": {
            "approval": {"type": "string", "pattern": "^[a-z0-9]{32}$"},
            "action_sha256": digits, "nonce": digits,
            "decide_by": {"type": "string", "format": "date-time", "description": "As the notice said it"},
            "decision": {"enum": ["approve", "refuse"]},
            "reason": {"type": ["string", "null"], "maxLength": 500, "description": "Of a refusal, and required there"},
            "on_behalf": {
                "type": ["string", "null"],
                "description": "Who decided there, <issuer>#<subject>: claimed. Required to approve",
            },
        },
    });
    let done = json!({
        "type": "object", "required": ["approval", "state"],
        "properties": {"approval": {"type": "string"}, "state": {"enum": State::ALL.map(State::as_str)}},
    });
    json!({"/api/callbacks/{integration}": {
        "parameters": [{
            "name": "integration", "in": "path", "required": true,
            "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,31}$"},
        }],
        "post": {
            "operationId": "callback", "security": [],
            "summary": "The decision of an integration about a request that a notice told it of, signed as Standard Webhooks say, with its own key",
            "parameters": [
                header("webhook-id", "1 to 128 of A-Z a-z 0-9 _ -"),
                header("webhook-timestamp", "Unix seconds, within five minutes of now"),
                header("webhook-signature", "v1,<base64 of HMAC-SHA256 of id.timestamp.body>"),
            ],
            "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
            "responses": responses("It is taken", &done),
        },
    }})
}

/// Approvals for a while, stand-ins, broken glass, statistics: docs/approvals.md.
fn lasting_paths() -> Value {
    let object = json!({"type": "object"});
    let id = json!([{"$ref": "#/components/parameters/id"}]);
    let get = |name: &str, summary: &str| json!({"operationId": name, "summary": summary, "responses": responses(summary, &object)});
    let post = |name: &str, summary: &str, properties: Value, required: &[&str]| {
        let body = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        json!({
            "operationId": name, "summary": summary, "responses": responses(summary, &object),
            "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
        })
    };
    let words = json!({"type": "string", "minLength": 1, "maxLength": 500});
    let seconds = json!({"type": ["integer", "null"], "minimum": 0});
    let delegate = json!({
        "to": {"type": "string"}, "group": {"type": "string"}, "from": seconds, "until": {"type": "integer"},
    });
    let broken = json!({"action_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "reason": words});
    json!({
        "/api/grants": {"get": get("grants", "What is approved for a while")},
        "/api/grants/{id}/revoke": {
            "parameters": id, "post": get("revokeGrant", "Revoke it at once; needs no fresh sign-in"),
        },
        "/api/delegations": {
            "get": get("delegations", "Who stands in for whom"),
            "post": post("delegate", "Name somebody to stand in for you", delegate, &["to", "group", "until"]),
        },
        "/api/delegations/{id}/end": {
            "parameters": id, "post": get("endDelegation", "End it at once; needs no fresh sign-in"),
        },
        "/api/break-glass": {"get": get("brokenGlass", "What went on without approval")},
        "/api/approvals/{id}/break-glass": {
            "parameters": id,
            "post": post("breakGlass", "Go on with your own request", broken, &["action_sha256", "reason"]),
        },
        "/api/break-glass/{id}/review": {
            "parameters": id,
            "post": post("reviewBrokenGlass", "Close its review", json!({"words": words}), &["words"]),
        },
        "/api/stats": {"get": get("stats", "Which rules ask and who decides, in numbers")},
    })
}

/// API keys of services: docs/services.md.
fn key_paths() -> Value {
    let names = json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true, "maxItems": 256});
    let life = json!({"type": "integer", "minimum": 60, "maximum": 31_536_000});
    let create = json!({
        "type": "object", "required": ["service", "life_seconds"], "additionalProperties": false,
        "properties": {
            "service": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$"},
            "groups": names, "tools": names, "resources": names, "life_seconds": life,
        },
    });
    let rotate = json!({
        "type": "object", "required": ["overlap_seconds"], "additionalProperties": false,
        "properties": {
            "overlap_seconds": {"type": "integer", "minimum": 0, "maximum": 2_592_000}, "life_seconds": life,
        },
    });
    let nothing = json!({"type": "object", "additionalProperties": false});
    let key = json!({"$ref": "#/components/schemas/Key"});
    let made = json!({"allOf": [key], "type": "object", "required": ["key"], "properties": {
        "key": {"type": "string", "description": "The key itself: in this answer and never again"},
    }});
    let post = |id: &str, summary: &str, body: &Value, status: &str, schema: &Value| {
        let mut responses = responses("The key", schema);
        if let (true, Some(members)) = (status != "200", responses.as_object_mut())
            && let Some(good) = members.remove("200")
        {
            members.insert(status.to_owned(), good);
        }
        json!({
            "operationId": id, "summary": summary, "responses": responses,
            "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
        })
    };
    let all = json!({
        "type": "object", "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": key}},
    });
    let one = json!([{"$ref": "#/components/parameters/key"}]);
    json!({
        "/api/keys": {
            "get": {
                "operationId": "listKeys", "summary": "The API keys of services that you may administer",
                "responses": responses("The keys, without what it takes to use them", &all),
            },
            "post": post("createKey", "Make a key for a service that has none that works", &create, "201", &made),
        },
        "/api/keys/{key}/rotate": {
            "parameters": one,
            "post": post("rotateKey", "Make a second key for the same; the old one ends after the overlap", &rotate, "201", &made),
        },
        "/api/keys/{key}/revoke": {
            "parameters": one,
            "post": post("revokeKey", "Take a key back", &nothing, "200", &key),
        },
    })
}

fn paths() -> Value {
    json!({
        "/api/openapi.json": {"get": {
            "operationId": "describe", "summary": "This document", "security": [],
            "responses": responses("The document", &json!({"type": "object"})),
        }},
        "/api/sign-in": {"get": {
            "operationId": "signIn", "summary": "Where people sign in, and how fresh it must be", "security": [],
            "responses": responses("Issuers and clients", &json!({"$ref": "#/components/schemas/Ways"})),
        }},
        "/api/approvals": {"get": {
            "operationId": "list",
            "summary": "The requests you may see, newest first: the latest ones, or with `show` a page of a list",
            "parameters": list_parameters(),
            "responses": responses("The requests", &json!({
                "type": "object", "required": ["approvals"],
                "properties": {
                    "approvals": {"type": "array", "items": {"$ref": "#/components/schemas/Card"}},
                    "next": {"type": "string", "description": "`before` of the next page, if there is one"},
                },
            })),
        }},
        "/api/approvals/{id}": {
            "parameters": [{"$ref": "#/components/parameters/id"}],
            "get": {
                "operationId": "show", "summary": "One request with everything it is decided on",
                "responses": responses("The request", &json!({"$ref": "#/components/schemas/Sheet"})),
            },
        },
        "/api/sessions": {"get": {
            "operationId": "sessions", "summary": "Your signed-in programs; everybody's for an administrator",
            "responses": responses("The sessions", &json!({
                "type": "object", "required": ["sessions"],
                "properties": {"sessions": {"type": "array", "items": {"$ref": "#/components/schemas/Session"}}},
            })),
        }},
        "/api/sessions/{id}/end": {
            "parameters": [{"$ref": "#/components/parameters/id"}],
            "post": {
                "operationId": "endSession",
                "summary": "End a session with its tokens, tasks, waiting calls and open requests",
                "responses": responses("It has ended", &json!({
                    "type": "object", "required": ["id", "state"],
                    "properties": {"id": {"type": "string"}, "state": {"const": "ended"}},
                })),
            },
        },
        "/api/approvals/{id}/approve": act("approve", "Approve exactly the action you saw; where a security key is needed, that is for the page alone (403)", &["action_sha256", "for"]),
        "/api/approvals/{id}/refuse": act("refuse", "Refuse it; the reason is read by who asked", &["action_sha256", "reason"]),
        "/api/approvals/{id}/cancel": act("cancel", "Withdraw it", &[]),
    })
}

fn responses(what: &str, schema: &Value) -> Value {
    json!({
        "200": {"description": what, "content": {"application/json": {"schema": schema}}},
        "default": {"$ref": "#/components/responses/Problem"},
    })
}

fn act(id: &str, summary: &str, members: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> = members
        .iter()
        .map(|member| {
            let schema = match *member {
                "for" => json!({
                    "type": ["object", "null"], "required": ["minutes", "uses"], "additionalProperties": false,
                    "description": "For a while, too; within the request's offer",
                    "properties": {
                        "minutes": {"type": "integer", "minimum": 1}, "uses": {"type": "integer", "minimum": 1},
                        "rows": {"type": ["integer", "null"]}, "session": {"type": "boolean"},
                        "free": {"type": "array", "items": {"type": "string"}},
                    },
                }),
                "action_sha256" => {
                    json!({"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "As it was shown"})
                }
                _ => json!({"type": "string", "minLength": 1, "maxLength": 500}),
            };
            ((*member).to_owned(), schema)
        })
        .collect();
    let required: Vec<&&str> = members.iter().filter(|member| **member != "for").collect();
    let body = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    json!({
        "parameters": [{"$ref": "#/components/parameters/id"}],
        "post": {
            "operationId": id, "summary": summary,
            "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
            "responses": responses("The request as it stands now", &json!({"$ref": "#/components/schemas/Card"})),
        },
    })
}

fn schemas() -> Value {
    let text = json!({"type": "string"});
    let maybe = json!({"type": ["string", "null"]});
    let names = json!({"type": "array", "items": text});
    json!({
        "Key": {
            "type": "object",
            "required": ["id", "service", "state", "groups", "tools", "resources", "made_by", "created_at", "expires_at"],
            "properties": {
                "id": text, "service": text, "state": {"enum": ["live", "expired", "revoked"]},
                "groups": names, "tools": names, "resources": names, "made_by": text,
                "created_at": {"type": "string", "format": "date-time"},
                "expires_at": {"type": "string", "format": "date-time"},
                "used_at": maybe, "revoked_at": maybe, "revoked_by": maybe,
            },
        },
        "Problem": {
            "type": "object", "required": ["type", "title", "status", "detail"],
            "properties": {"type": text, "title": text, "status": {"type": "integer"}, "detail": text},
        },
        "Ways": {
            "type": "object", "required": ["issuers", "max_age_seconds"],
            "properties": {
                "max_age_seconds": {"type": "integer"},
                "issuers": {"type": "array", "items": {
                    "type": "object", "required": ["name", "url", "client_id", "public", "acr_values"],
                    "properties": {
                        "name": text, "url": text, "client_id": text, "public": {"type": "boolean"},
                        "acr_values": {"type": "array", "items": text},
                    },
                }},
            },
        },
        "Session": {
            "type": "object",
            "required": ["id", "issuer", "subject", "client_name", "client_id", "verified", "created_at", "used_at", "ends_at"],
            "properties": {
                "id": text, "issuer": text, "subject": text, "client_name": text, "client_id": text,
                "verified": {"type": "boolean"},
                "created_at": {"type": "string", "format": "date-time"},
                "used_at": {"type": "string", "format": "date-time"},
                "ends_at": {"type": "string", "format": "date-time"},
            },
        },
        "Card": card(),
        "Sheet": sheet(),
    })
}

/// A request in a list.
/// Which requests a list is of.
fn list_parameters() -> Value {
    let parameter = |name: &str, schema: Value| json!({"name": name, "in": "query", "schema": schema});
    let text = || json!({"type": "string"});
    json!([
        parameter(
            "show",
            json!({"enum": ["waiting", "own", "decided"], "description": "all of them without it"})
        ),
        parameter("state", json!({"enum": State::ALL.map(State::as_str)})),
        parameter("rule", text()),
        parameter("resource", text()),
        parameter("tool", text()),
        parameter("person", text()),
        parameter("before", json!({"type": "string", "pattern": "^[a-z0-9]{32}$"})),
    ])
}

fn card() -> Value {
    let text = json!({"type": "string"});
    let maybe = json!({"type": ["string", "null"]});
    let properties = json!({
        "id": text, "state": {"enum": ["pending", "granted", "refused", "expired", "cancelled", "spent", "unknown"]},
        "requester": text, "agent": text, "tool": text, "resource": maybe,
        "created_at": {"type": "string", "format": "date-time"},
        "decide_by": {"type": "string", "format": "date-time"},
        "execute_by": maybe,
        "rules": {"type": "array", "items": text, "description": "the policies that ask, in a page of a list"},
        "asks": {"type": "array", "items": {
            "type": "array", "prefixItems": [{"type": "integer", "minimum": 1}, text], "minItems": 2, "maxItems": 2,
        }},
        "approved_by": {"type": "array", "items": {"type": "object"}},
        "may_decide": {"type": "boolean"}, "may_refuse": {"type": "boolean"}, "may_withdraw": {"type": "boolean"},
        "similar": text, "grant": text, "escalated_to": {"type": "array", "items": text},
    });
    json!({
        "type": "object", "properties": properties,
        "required": ["id", "state", "requester", "agent", "tool", "created_at", "decide_by", "asks", "approved_by", "may_decide", "may_refuse", "may_withdraw"],
    })
}

/// Everything there is to see of one.
fn sheet() -> Value {
    let text = json!({"type": "string"});
    let maybe = json!({"type": ["string", "null"]});
    json!({
        "allOf": [{"$ref": "#/components/schemas/Card"}],
        "type": "object", "required": ["action_sha256", "facts"],
        "properties": {
            "action_sha256": text,
            "because": {"type": "array", "items": {"type": "array", "prefixItems": [text, maybe]}},
            "runs": {}, "arguments": {}, "facts": {}, "effect": {},
            "bound": {"enum": ["keys", "count"]}, "unattended": {"type": "boolean"},
            "offer": {"type": "object"}, "may_break_glass": {"type": "boolean"}, "ahead": {"type": "boolean"},
            "claimed_reason": maybe,
            "history": {"type": "array", "items": {"type": "array", "prefixItems": [text, text, maybe, maybe]}},
        },
    })
}
