//! Refusals before the protocol, in our own words.

use axum::body::Body;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::attempts::TooMany;
use crate::transport::Challenge;
use crate::transport::whole::Whole;

/// JSON-RPC codes of refusals that come before the protocol.
pub(super) const INVALID_REQUEST: i32 = -32600;
const PARSE_ERROR: i32 = -32700;
const REFUSED: i32 = -32000;

/// A response, whatever it says.
pub(super) type Answer = Response<Body>;

/// Why a request goes no further. It becomes a JSON-RPC error without an id, so that clients can show it;
/// every text is a constant of ours.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    code: i32,
    message: &'static str,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Fault {
    /// A request that cannot be served as it is.
    pub(super) fn invalid(status: StatusCode, message: &'static str) -> Self {
        Self {
            status,
            code: INVALID_REQUEST,
            message,
            header: None,
        }
    }

    /// A request that will not be served.
    pub(super) fn refused(status: StatusCode, message: &'static str) -> Self {
        Self {
            code: REFUSED,
            ..Self::invalid(status, message)
        }
    }

    /// Bytes that are not JSON, or not all there.
    pub(super) fn unparsable(message: &'static str) -> Self {
        Self {
            code: PARSE_ERROR,
            ..Self::invalid(StatusCode::BAD_REQUEST, message)
        }
    }

    /// Adds a header the status requires.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// RFC 6750 section 3: the challenge as identity states it. Whoever cannot be checked now is told to
    /// come again and not to get another token.
    pub(super) fn challenged(challenge: &Challenge) -> Self {
        let (status, message) = match challenge.status {
            403 => (
                StatusCode::FORBIDDEN,
                "Forbidden: the access token lacks a scope this needs; get one with the scopes of the WWW-Authenticate header",
            ),
            503 => {
                return Self::refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The access token cannot be checked at the moment. Keep it and try again in a few seconds.",
                )
                .with(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized: send a valid access token for this server as a bearer token",
            ),
        };
        let value = HeaderValue::from_str(&challenge.value).unwrap_or(HeaderValue::from_static("Bearer"));
        Self::refused(status, message).with(header::WWW_AUTHENTICATE, value)
    }

    /// The session of the credential ended while the request was under way.
    pub(super) fn ended() -> Self {
        Self::challenged(&Challenge {
            status: 401,
            value:
                "Bearer error=\"invalid_token\", error_description=\"The session of this token has ended\""
                    .to_owned(),
        })
    }

    /// RFC 6585 section 4.
    pub(super) fn too_many(TooMany(seconds): TooMany) -> Self {
        Self::refused(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many attempts from your address. Check the access token, and try again when Retry-After says.",
        )
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// RFC 9110 section 15.5.6.
    pub(super) fn method(allowed: &[Method]) -> Self {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let fault = Self::invalid(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
        match HeaderValue::from_str(&names.join(", ")) {
            Ok(allow) => fault.with(header::ALLOW, allow),
            Err(_) => fault,
        }
    }

    /// The same for a session that ended, never was, or is somebody else's.
    pub(super) fn no_session() -> Self {
        Self::refused(
            StatusCode::NOT_FOUND,
            "Session not found: send initialize to open another",
        )
    }

    /// More than we can take now.
    pub(super) fn overloaded() -> Self {
        Self::refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded: Tollgate is handling as much as it can. Try again in a few seconds.",
        )
        .with(header::RETRY_AFTER, HeaderValue::from_static("2"))
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        let error = json!({"code": fault.code, "message": fault.message});
        let mut answer = document(&json!({"jsonrpc": "2.0", "id": null, "error": error}));
        *answer.status_mut() = fault.status;
        if let Some(header) = fault.header {
            let (name, value) = *header;
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

/// A JSON document with status 200.
pub(super) fn document(value: &Value) -> Answer {
    let mut answer = Response::new(Body::from(value.to_string()));
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// What load balancers ask for: whether this server takes further requests.
pub(super) fn health(stops: bool) -> Answer {
    if !stops {
        return document(&json!({"status": "ok"}));
    }
    let mut answer = document(&json!({"status": "stopping"}));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}

/// rmcp explains its own refusals in free text, some of it made from what was sent; only its JSON-RPC
/// messages and event streams pass as they are.
pub(super) fn in_our_words(answer: Answer, was_json: bool) -> Result<Answer, Fault> {
    let status = answer.status();
    if status.is_success() || is_json(answer.headers()) {
        return Ok(answer);
    }
    Err(match status {
        StatusCode::NOT_FOUND => Fault::no_session(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE if was_json => {
            Fault::unparsable("Parse error: the body is not one JSON-RPC message of this protocol")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Fault::invalid(status, "Content-Type must be application/json"),
        StatusCode::NOT_ACCEPTABLE => Fault::invalid(
            status,
            "Accept must name application/json and text/event-stream (GET: text/event-stream)",
        ),
        StatusCode::METHOD_NOT_ALLOWED => Fault::method(&[Method::POST]),
        StatusCode::BAD_REQUEST => Fault::invalid(
            status,
            "Bad request: send initialize first and then its Mcp-Session-Id, or use revision 2026-07-28",
        ),
        _ => Fault::refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Tollgate failed while handling this request",
        ),
    })
}

/// The response with the answer that belongs into it.
pub(super) async fn filled(response: Answer, whole: Whole) -> Result<Answer, Fault> {
    let failed = || {
        tracing::error!("an answer did not fit into its document, and was not sent");
        Fault::refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Tollgate failed while handling this request",
        )
    };
    let (mut parts, body) = response.into_parts();
    if !is_json(&parts.headers) {
        return Err(failed());
    }
    let document = body.collect().await.map_err(|_| failed())?.to_bytes();
    parts.headers.remove(header::CONTENT_LENGTH);
    let pieces = whole.within(&document).ok_or_else(failed)?;
    Ok(Answer::from_parts(parts, Body::new(pieces)))
}

/// Whether a message says its body is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
