//! What the demo's issuer answers over HTTP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::attempts::{Attempts, Kind};
use crate::identity::issuer::{DemoIssuer, DemoPaths, Page, TokenRefused, page_policy};
use crate::transport::http::annex::Annex;

/// The demo issuer's documents, login page and token endpoint: loopback only, and gone with the demo.
pub(super) struct Pages {
    issuer: Arc<DemoIssuer>,
    paths: DemoPaths,
    documents: BTreeMap<String, Value>,
    attempts: Arc<Attempts>,
}

type Fields = Vec<(String, String)>;

impl Pages {
    pub(super) fn new(issuer: Arc<DemoIssuer>, attempts: Arc<Attempts>) -> Self {
        let paths = issuer.paths();
        let metadata = paths.metadata.iter().map(|path| (path, issuer.metadata()));
        let keys = (&paths.jwks, issuer.jwks());
        let documents = metadata.chain([keys]).map(|(path, text)| (path.clone(), text));
        Self {
            documents: documents.collect(),
            paths,
            issuer,
            attempts,
        }
    }

    fn is_page(&self, path: &str) -> bool {
        self.paths.authorize == path
    }

    async fn answered(&self, request: Request<Vec<u8>>, from: IpAddr) -> Response<Vec<u8>> {
        let path = request.uri().path();
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        let posts = request.method() == Method::POST;
        if let Some(document) = self.documents.get(path) {
            return if reads {
                said(200, document)
            } else {
                only("GET, HEAD")
            };
        }
        if self.is_page(path) {
            return match (reads, posts) {
                (true, _) => page(self.issuer.authorize(&asked(&request), false)),
                (_, true) => self.signed_in(&fields(request.body()), from).await,
                _ => only("GET, HEAD, POST"),
            };
        }
        if !posts {
            return only("POST");
        }
        self.token(&fields(request.body()))
    }

    /// A login form. Whoever guesses is held up by address and name, before the issuer counts.
    async fn signed_in(&self, fields: &Fields, from: IpAddr) -> Response<Vec<u8>> {
        let guess = match self
            .attempts
            .guess(Kind::Password, from, field(fields, "username"))
        {
            Ok(guess) => guess,
            Err(too_many) => return page(Page::Html(429, too_many.to_string())),
        };
        tokio::time::sleep(guess.delay()).await;
        let shown = self.issuer.authorize(fields, true);
        if matches!(shown, Page::See(_)) {
            guess.right();
        }
        page(shown)
    }

    fn token(&self, fields: &Fields) -> Response<Vec<u8>> {
        let answered = match field(fields, "grant_type") {
            "authorization_code" => self.issuer.redeem(fields),
            _ => Err(TokenRefused::BadCredentials),
        };
        let refused = match answered {
            Ok(answer) => return said(200, &answer),
            Err(refused) => refused,
        };
        let (status, error) = match refused {
            TokenRefused::BadCredentials => (400, "invalid_grant"),
            TokenRefused::TooManyAttempts => (429, "slow_down"),
            TokenRefused::BadClient => (400, "invalid_client"),
        };
        said(
            status,
            &json!({ "error": error, "error_description": refused.to_string() }),
        )
    }
}

impl Annex for Pages {
    fn serves(&self, path: &str) -> bool {
        self.documents.contains_key(path) || self.paths.token == path || self.is_page(path)
    }

    fn kind(&self, path: &str) -> Kind {
        match path {
            _ if self.documents.contains_key(path) => Kind::Document,
            _ if self.is_page(path) => Kind::Page,
            _ => Kind::Token,
        }
    }

    fn is_own_form(&self, path: &str) -> bool {
        self.is_page(path)
    }

    fn answer<'a>(&'a self, request: Request<Vec<u8>>, from: IpAddr) -> BoxFuture<'a, Response<Vec<u8>>> {
        Box::pin(self.answered(request, from))
    }
}

fn asked(request: &Request<Vec<u8>>) -> Fields {
    fields(request.uri().query().unwrap_or_default().as_bytes())
}

fn fields(text: &[u8]) -> Fields {
    url::form_urlencoded::parse(text).into_owned().collect()
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    let found = fields.iter().find(|(key, _)| key == name);
    found.map_or("", |(_, value)| value.as_str())
}

fn said(status: u16, document: &Value) -> Response<Vec<u8>> {
    let json = (header::CONTENT_TYPE, "application/json");
    with(status, json, document.to_string())
}

fn only(methods: &'static str) -> Response<Vec<u8>> {
    with(405, (header::ALLOW, methods), String::new())
}

fn page(content: Page) -> Response<Vec<u8>> {
    match content {
        Page::Html(status, html) => {
            let mut answer = with(status, (header::CONTENT_TYPE, "text/html; charset=utf-8"), html);
            if let Ok(policy) = HeaderValue::from_str(&page_policy()) {
                answer
                    .headers_mut()
                    .insert(header::CONTENT_SECURITY_POLICY, policy);
            }
            answer
        }
        Page::See(place) => with(303, (header::LOCATION, &place), String::new()),
    }
}

fn with(status: u16, (name, value): (HeaderName, &str), body: String) -> Response<Vec<u8>> {
    let mut answer = Response::new(body.into_bytes());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
