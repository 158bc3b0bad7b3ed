//! Every request to the control side: under which name, where to, and within which bounds.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Answer};
use super::problem::Problem;
use super::sessions::Sessions;
use super::{
    Desk, Spec, agents, api, callbacks, events, grants, html, insight, keys, pages, security_keys, slack,
};
use crate::approval::review::{Reviewer, Via};
use crate::attempts::{Kind, Proxies};
use crate::call::ApprovalId;
use crate::identity::people::{People, Person};
use crate::transport::http::headers::Headers;
use crate::transport::http::listen::{Bounds, Site};
use crate::transport::http::names::{Names, Seldom};

/// The largest body, in bytes: a reason and two hashes.
const BODY_BYTES: usize = 64 * 1024;

/// What stands in front of the desk.
pub(super) struct Front {
    pub(super) desk: Arc<dyn Desk>,
    pub(super) people: Arc<People>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) streams: events::Streams,
    pub(super) spec: Spec,
    pub(super) names: Names,
    headers: Headers,
    proxies: Proxies,
    exchanges: Arc<Semaphore>,
    foreign: Seldom,
    tried: Seldom,
}

/// One request, taken apart.
pub(super) struct Asked {
    /// Whose attempt it is.
    pub(super) from: IpAddr,
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
    pub(super) fn new(
        desk: Arc<dyn Desk>,
        people: Arc<People>,
        spec: Spec,
        stop: CancellationToken,
    ) -> Result<Self, String> {
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
            headers: Headers::new(&spec.url, answer::POLICY),
            proxies: Proxies::new(&spec.trusted_proxies),
            names: Names::new(&[host], &[origin], spec.url.scheme())?,
            sessions: Arc::new(Sessions::new(Arc::clone(&spec.world))),
            streams: events::Streams::new(stop),
            exchanges: Arc::new(Semaphore::new(spec.max_exchanges)),
            foreign: Seldom::default(),
            tried: Seldom::default(),
            desk,
            people,
            spec,
        })
    }

    async fn answered(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        if request.uri().path() == "/healthz" {
            return answer::json(&serde_json::json!({"status": "ok"})); // probes know no host name
        }
        if self.names.check_host(&request).is_err() {
            if let Some(times) = self.foreign.count() {
                tracing::warn!(times, "refused a foreign Host on the control side");
            }
            return Problem::misdirected().document();
        }
        let Ok(_permit) = Arc::clone(&self.exchanges).try_acquire_owned() else {
            return Problem::overloaded().document();
        };
        self.route(request, peer).await
    }

    async fn route(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let (parts, body) = request.into_parts();
        let forwarded = parts.headers.get_all("x-forwarded-for").iter();
        let forwarded = forwarded.map(|value| value.to_str().unwrap_or_default());
        let from = self.proxies.client(peer, forwarded);
        let asked = Asked {
            from,
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
        match path.as_slice() {
            ["api", rest @ ..] => self.api(rest, asked).await.unwrap_or_else(Problem::document),
            ["events"] => events::answer(self, asked)
                .await
                .unwrap_or_else(Problem::document),
            path => self.page(path, asked).await.unwrap_or_else(Problem::page),
        }
    }

    async fn api(&self, path: &[&str], asked: Asked) -> Result<Answer, Problem> {
        if let ["callbacks", name] = path {
            return callbacks::answer(self, name, asked).await;
        }
        if let Some(place) = grants::place(path) {
            return self.grants_api(place, asked).await;
        }
        match (api_place(path), agents::place(path)) {
            (Some(place), _) => api::answer(self, place, asked).await,
            (_, Some(place)) => self.agents_api(place, asked).await,
            (None, None) => Err(Problem::not_found()),
        }
    }

    async fn page(&self, path: &[&str], asked: Asked) -> Result<Answer, Problem> {
        match path {
            ["keys", rest @ ..] => match keys::Place::of(rest) {
                Some(place) => return keys::page(self, place, asked).await,
                None => return Err(Problem::not_found()),
            },
            ["slack", rest @ ..] => return slack::answer(self, rest, asked).await,
            ["security-keys", rest @ ..] => return security_keys::page(self, rest, asked).await,
            _ => {}
        }
        if let Some(place) = insight::place(path) {
            return insight::page(self, place, asked).await;
        }
        if let Some(place) = grants::place(path) {
            return grants::page(self, place, asked).await;
        }
        match (page_place(path), agents::place(path)) {
            (Some(place), _) => pages::answer(self, place, asked).await,
            (_, Some(place)) => agents::page(self, place, asked).await,
            (None, None) => self.plain(path, &asked),
        }
    }

    async fn agents_api(&self, place: agents::Place, asked: Asked) -> Result<Answer, Problem> {
        if !self.names.owns_origin(&asked.headers) {
            return Err(Problem::foreign());
        }
        agents::api(self, place, asked).await
    }

    async fn grants_api(&self, place: grants::Place, asked: Asked) -> Result<Answer, Problem> {
        if !self.names.owns_origin(&asked.headers) {
            return Err(Problem::foreign());
        }
        grants::api(self, place, asked).await
    }

    /// The person of a sign-in, as those who judge decisions need them.
    pub(super) fn reviewer(&self, person: Person) -> Reviewer {
        Reviewer {
            may_reach: self
                .spec
                .acr
                .get(&person.user.issuer)
                .cloned()
                .unwrap_or_default(),
            acr: person.acr,
            user: person.user,
            signed_in_at: person.signed_in_at,
            key: None,
            via: Via::Control,
        }
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
            ["events.js"] => {
                asked.only(&reads)?;
                Ok(answer::of("text/javascript; charset=utf-8", events::SCRIPT))
            }
            ["security-keys.js"] if self.spec.security_keys.is_some() => {
                asked.only(&reads)?;
                Ok(answer::of(
                    "text/javascript; charset=utf-8",
                    security_keys::SCRIPT,
                ))
            }
            _ => Err(Problem::not_found()),
        }
    }

    /// One attempt of a stranger.
    pub(super) fn attempt(&self, kind: Kind, from: IpAddr) -> Result<(), Problem> {
        self.spec.attempts.take(kind, from).map_err(|wait| {
            if let Some(times) = self.tried.count() {
                tracing::warn!(
                    times,
                    "turned away an address that tries too often on the control side"
                );
            }
            Problem::too_many(wait)
        })
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
        self.body_of(body, BODY_BYTES).await
    }

    /// The whole body of at most this many bytes.
    pub(super) async fn body_of(&self, body: Incoming, most: usize) -> Result<Bytes, Problem> {
        let read = Limited::new(body, most).collect();
        match tokio::time::timeout(self.spec.body_within, read).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "Too large",
                format!("A body has at most {most} bytes."),
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
            per_address: self.spec.max_connections_per_address,
            head_within: self.spec.head_within,
            write_within: self.spec.head_within,
            leave_within: self.spec.leave_within,
        }
    }

    fn ledger(&self) {}

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr, _: &Arc<()>) -> Answer {
        self.headers.on(self.answered(request, peer).await)
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.trusts(peer)
    }

    fn turn_away(&self) -> Answer {
        self.headers.on(Problem::overloaded().document())
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
pub(super) fn approval(text: &str) -> Option<ApprovalId> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (text.len() == 32 && text.bytes().all(fits)).then(|| ApprovalId(text.to_owned()))
}
