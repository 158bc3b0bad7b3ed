//! What is served beside the MCP endpoint: sign-in pages, token endpoints, an issuer's documents.
//!
//! Whoever stands behind it takes a whole request and gives a whole answer; connections, the `Host` header,
//! sizes, time, and how often a stranger may ask are this module's business, as for every other path.

use std::net::IpAddr;

use futures::future::BoxFuture;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::attempts::{Kind, TooMany};
use crate::identity::facade::path;

/// The largest body of a form, in bytes; a signed SAML response with many groups fits.
pub(super) const BODY_BYTES: usize = 256 * 1024;

/// Serves some paths.
pub trait Annex: Send + Sync {
    /// Whether this path is served here. Cheap: it is asked before anything is read.
    fn serves(&self, path: &str) -> bool;

    /// What a request there counts as, for whoever sends many of them.
    fn kind(&self, path: &str) -> Kind {
        kind_of(path)
    }

    /// Whether what is posted there is a form of our own pages: then a browser that says it comes from
    /// another origin is refused before the body is read.
    fn is_own_form(&self, path: &str) -> bool {
        [path::CONSENT, path::DEVICE].contains(&path)
    }

    /// One request to one answer. The `Host` was checked, the body is whole and at most 256 KiB, and `from`
    /// is the address the request came from (what a trusted proxy says, where there is one). The answer has
    /// every header it needs beside those of `headers`, of which it may bring its own
    /// Content-Security-Policy, Referrer-Policy and Cross-Origin-Opener-Policy. 400, 401 and 403 count as
    /// failed attempts, and 503 as none.
    fn answer<'a>(&'a self, request: Request<Vec<u8>>, from: IpAddr) -> BoxFuture<'a, Response<Vec<u8>>>;
}

/// The endpoints of the facade.
fn kind_of(path: &str) -> Kind {
    match path {
        path::TOKEN | path::REVOKE | path::DEVICE_AUTHORIZATION => Kind::Token,
        path::REGISTER => Kind::Register,
        _ if path.starts_with("/.well-known/") => Kind::Document,
        _ if path.starts_with(path::SAML) && path.ends_with(path::ABOUT_US) => Kind::Document,
        _ if path.starts_with(path::LOGGED_OUT) => Kind::Notice,
        _ => Kind::Page,
    }
}

/// Whether an answer says that an attempt failed. A device that asks whether its person is there yet has
/// not failed (RFC 8628 section 3.5).
pub(super) fn is_failure(answer: &Response<Vec<u8>>) -> bool {
    let says_no = [
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
    ];
    if !says_no.contains(&answer.status()) {
        return false;
    }
    let said: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let error = said.as_ref().and_then(|said| said.get("error")?.as_str());
    !matches!(error, Some("authorization_pending" | "slow_down"))
}

/// 429 in the form that is read there: OAuth clients know `slow_down` (RFC 8628 section 3.5), people words.
pub(super) fn too_many(kind: Kind, TooMany(seconds): TooMany) -> Response<Vec<u8>> {
    let words = format!("Too many attempts from your address. Try again in {seconds} seconds.");
    let (media_type, body) = match kind {
        Kind::Page | Kind::UserCode | Kind::Password => ("text/plain; charset=utf-8", words),
        _ => (
            "application/json",
            json!({"error": "slow_down", "error_description": words}).to_string(),
        ),
    };
    let mut answer = Response::new(body.into_bytes());
    *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}
