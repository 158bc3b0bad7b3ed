//! Every request to the control side: under which name, where to, and within which bounds.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::answer::{self, Answer, secured};
use super::problem::Problem;
use super::sessions::Sessions;
use super::{Desk, Spec, api, html, keys, pages};
use crate::approval::review::Reviewer;
use crate::call::ApprovalId;
use crate::identity::people::People;
use crate::transport::http::listen::{Bounds, Site};
use crate::transport::http::names::{Names, Seldom};

/// The largest body, in bytes: a reason and two hashes.
const BODY_BYTES: usize = 64 * 1024;

/// What stands in front of the desk.
pub(super) struct Front {
    pub(super) desk: Arc<dyn Desk>,
    pub(super) people: Arc<People>,
    pub(super) sessions: Sessions,
    pub(super) spec: Spec,
    pub(super) names: Names,
    exchanges: Arc<Semaphore>,
    foreign: Seldom,
}

/// One request, taken apart.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// Decoded; empty when there is none.
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Incoming,
}

impl Asked {
    pub(super) fn only(&self, methods: &[Method]) -> Result<(), Problem> {
        if methods.contains(&self.method) {
            return Ok(());
        }
        Err(Problem::method(methods))
    }
}

/// What can be done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Approve,
    Refuse,
    Cancel,
}

impl Verb {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Refuse => "refuse",
            Self::Cancel => "cancel",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Approve, Self::Refuse, Self::Cancel]
            .into_iter()
            .find(|verb| verb.word() == word)
    }
}

impl Front {
    pub(super) fn new(desk: Arc<dyn Desk>, people: Arc<People>, spec: Spec) -> Result<Self, String> {
        let host = spec
            .url
            .host_str()
            .ok_or("the address of the control side has no host")?;
        let port = spec
            .url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        let host = format!("{host}{port}");
        let origin = format!("{}://{host}", spec.url.scheme());
        Ok(Self {
            names: Names::new(&[host], &[origin], spec.url.scheme())?,
            sessions: Sessions::new(Arc::clone(&spec.world)),
            exchanges: Arc::new(Semaphore::new(spec.max_exchanges)),
            foreign: Seldom::default(),
            desk,
            people,
            spec,
        })
    }

    async fn route(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let asked = Asked {
            method: parts.method,
            headers: parts.headers,
            query: parts.uri.query().map_or_else(Vec::new, |query| {
                url::form_urlencoded::parse(query.as_bytes())
                    .into_owned()
                    .collect()
            }),
            body,
        };
        let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
        if let ["api", rest @ ..] = path.as_slice() {
            return match api_place(rest) {
                Some(place) => api::answer(self, place, asked)
                    .await
                    .unwrap_or_else(Problem::document),
                None => Problem::not_found().document(),
            };
        }
        if let ["keys", rest @ ..] = path.as_slice() {
            return match keys::Place::of(rest) {
                Some(place) => keys::page(self, place, asked).await,
                None => Err(Problem::not_found()),
            }
            .unwrap_or_else(Problem::page);
        }
        let answered = match page_place(&path) {
            Some(place) => pages::answer(self, place, asked).await,
            None => self.plain(&path, &asked),
        };
        answered.unwrap_or_else(Problem::page)
    }

    fn plain(&self, path: &[&str], asked: &Asked) -> Result<Answer, Problem> {
        let reads = [Method::GET, Method::HEAD];
        match path {
            [""] => {
                asked.only(&reads)?;
                Ok(answer::see("/approvals"))
            }
            ["style.css"] => {
                asked.only(&reads)?;
                Ok(answer::of("text/css; charset=utf-8", html::STYLE))
            }
            _ => Err(Problem::not_found()),
        }
    }

    /// Whether a person may decide now: they proved themselves interactively a moment ago.
    pub(super) fn fresh(&self, reviewer: &Reviewer) -> Result<(), Problem> {
        let age = self
            .spec
            .world
            .now()
            .seconds()
            .saturating_sub(reviewer.signed_in_at.seconds());
        if age <= self.spec.max_age {
            return Ok(());
        }
        Err(Problem::stale(self.spec.max_age))
    }

    /// The whole body, within bounds.
    pub(super) async fn body(&self, body: Incoming) -> Result<Bytes, Problem> {
        let read = Limited::new(body, BODY_BYTES).collect();
        match tokio::time::timeout(self.spec.body_within, read).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "Too large",
                format!("A body has at most {BODY_BYTES} bytes."),
            )),
            Ok(Err(_)) => Err(Problem::malformed("The body broke off.")),
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "too-slow",
                "Too slow",
                "The body took too long.",
            )),
        }
    }
}

impl Site for Front {
    type Ledger = ();

    fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.spec.max_connections,
            head_within: self.spec.head_within,
            write_within: self.spec.head_within,
        }
    }

    fn ledger(&self) {}

    async fn answer(&self, request: Request<Incoming>, _: IpAddr, _: &Arc<()>) -> Answer {
        if request.uri().path() == "/healthz" {
            let up = answer::json(&serde_json::json!({"status": "ok"})); // probes know no host name
            return secured(up);
        }
        if self.names.check_host(&request).is_err() {
            if let Some(times) = self.foreign.count() {
                tracing::warn!(times, "refused a foreign Host on the control side");
            }
            return secured(Problem::misdirected().document());
        }
        let Ok(_permit) = Arc::clone(&self.exchanges).try_acquire_owned() else {
            return self.turn_away();
        };
        secured(self.route(request).await)
    }

    fn turn_away(&self) -> Answer {
        secured(Problem::overloaded().document())
    }
}

fn api_place(path: &[&str]) -> Option<api::Place> {
    Some(match path {
        ["openapi.json"] => api::Place::Description,
        ["sign-in"] => api::Place::SignIn,
        ["approvals"] => api::Place::List,
        ["approvals", id] => api::Place::Show(approval(id)?),
        ["approvals", id, verb] => api::Place::Act(approval(id)?, Verb::of(verb)?),
        ["keys", rest @ ..] => api::Place::Keys(keys::Place::of(rest)?),
        _ => return None,
    })
}

fn page_place(path: &[&str]) -> Option<pages::Place> {
    Some(match path {
        ["approvals"] => pages::Place::List,
        ["approvals", id] => pages::Place::Show(approval(id)?),
        ["approvals", id, verb] => pages::Place::Act(approval(id)?, Verb::of(verb)?),
        ["sign-in"] => pages::Place::SignIn,
        ["sign-out"] => pages::Place::SignOut,
        ["signed-in", issuer] => pages::Place::SignedIn((*issuer).to_owned()),
        _ => return None,
    })
}

/// Ids are ours: 32 of `[a-z0-9]`. Anything else names nothing.
fn approval(text: &str) -> Option<ApprovalId> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (text.len() == 32 && text.bytes().all(fits)).then(|| ApprovalId(text.to_owned()))
}
