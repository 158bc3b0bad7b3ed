//! An issuer in small beside the endpoint.

use std::net::IpAddr;

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::attempts::Kind;
use crate::transport::http::annex::Annex;

/// Serves a document at `/issuer/.well-known/openid-configuration`, a token endpoint at `/issuer/token` that
/// takes `code=a b`, and a page at `/issuer/page` that brings a policy of its own and says who asks.
pub(in crate::transport) struct Issuer;

fn json(status: u16, value: &Value) -> Response<Vec<u8>> {
    let answer = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    answer.body(value.to_string().into_bytes()).unwrap()
}

fn answer(request: &Request<Vec<u8>>, from: IpAddr) -> Response<Vec<u8>> {
    match request.uri().path() {
        "/issuer/.well-known/openid-configuration" => json(200, &json!({"issuer": "i"})),
        "/issuer/token" if request.method() != Method::POST => json(405, &json!({})),
        "/issuer/token" => match request.body().as_slice() {
            b"code=a+b" => json(200, &json!({"access_token": "t"})),
            b"code=later" => json(503, &json!({"error": "temporarily_unavailable"})),
            b"device" => json(400, &json!({"error": "authorization_pending"})),
            _ => json(400, &json!({"error": "invalid_request"})),
        },
        _ => Response::builder()
            .header("content-type", "text/html; charset=utf-8")
            .header(
                "content-security-policy",
                "default-src 'none'; form-action https:",
            )
            .header("referrer-policy", "no-referrer")
            .body(format!("<p>{from}</p>").into_bytes())
            .unwrap(),
    }
}

impl Annex for Issuer {
    fn serves(&self, path: &str) -> bool {
        [
            "/issuer/.well-known/openid-configuration",
            "/issuer/token",
            "/issuer/page",
        ]
        .contains(&path)
    }

    fn kind(&self, path: &str) -> Kind {
        match path {
            "/issuer/token" => Kind::Token,
            "/issuer/page" => Kind::Page,
            _ => Kind::Document,
        }
    }

    fn is_own_form(&self, path: &str) -> bool {
        path == "/issuer/page"
    }

    fn answer<'a>(&'a self, request: Request<Vec<u8>>, from: IpAddr) -> BoxFuture<'a, Response<Vec<u8>>> {
        Box::pin(std::future::ready(answer(&request, from)))
    }
}
