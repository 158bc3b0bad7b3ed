//! Every request, before the protocol sees it: where it is for, where it comes from, who sends it, and
//! whether it is small and shallow enough. In that order, so that a stranger costs little.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, Bytes};
use futures::StreamExt;
use futures::future::Either;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use rmcp::model::ProtocolVersion;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::HttpSpec;
use super::annex::{self, Annex};
use super::fault::{Answer, Fault, document, filled, health, in_our_words, is_json};
use super::headers::{Headers, NOTHING};
use super::listen;
use super::lives::{Alive, Lives};
use super::names::{Foreign, Names, Seldom};
use super::sessions::{InUse, OPENING, Opening, Sessions};
use crate::attempts::{Kind, Proxies, TooMany};
use crate::call::Principal;
use crate::identity::Bearer;
use crate::seats::{Seat, Seats};
use crate::transport::Door;
use crate::transport::delivery::{Delivery, Ledger, Tracked, exhaust};
use crate::transport::depth;
use crate::transport::mcp::{Calls, Exchange, Mcp, Origin, Pace};

/// The MCP endpoint.
const ENDPOINT: &str = "/mcp";
/// RFC 9728 section 3: the root form, and the one with the endpoint's path.
const METADATA: [&str; 2] = [
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
];
/// Who the bearer of a token is, for `tollgate whoami`.
const WHOAMI: &str = "/whoami";
/// Sessions that are looked at together: of some nobody may know for a while.
const LOOKS: usize = 64;
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What stands in front of the protocol.
pub(super) struct Front {
    door: Arc<dyn Door>,
    spec: HttpSpec,
    names: Names,
    headers: Headers,
    proxies: Proxies,
    service: Arc<StreamableHttpService<Mcp, Sessions>>,
    mcp: Mcp,
    lives: Arc<Lives>,
    sessions: Arc<Sessions>,
    calls: Calls,
    exchanges: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    people: Seats,
    listeners: Seats,
    leaving: CancellationToken,
    end: CancellationToken,
    refused: AtomicU64,
    foreign: Seldom,
    turned_away: Seldom,
    tried: Seldom,
}

impl Front {
    /// Puts the parts together. `stop` fires when the server was told to stop.
    ///
    /// # Errors
    /// Which entry of `spec` cannot be understood.
    pub(super) fn new(door: Arc<dyn Door>, spec: HttpSpec, stop: CancellationToken) -> Result<Self, String> {
        let pace = Pace {
            progress: spec.progress_every,
            news: spec.news_apart,
            confirm: spec.confirm_within,
        };
        let end = CancellationToken::new();
        let world = Arc::clone(&spec.world);
        let mcp = Mcp::new(Arc::clone(&door), Origin::Http, world, pace, end.clone());
        let calls = mcp.calls().clone();
        let sessions = Arc::new(Sessions::new(
            Arc::clone(&spec.world),
            spec.max_sessions,
            spec.max_sessions_per_person,
            spec.session_idle,
        ));
        let mut config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts() // checked here, for every path
            .with_cancellation_token(end.clone());
        config.json_response = true; // one plain answer unless something has to be streamed before it
        config.max_request_body_bytes = spec.max_body_bytes;
        Ok(Self {
            names: Names::new(
                &spec.allowed_hosts,
                &spec.allowed_origins,
                spec.public_url.scheme(),
            )?,
            headers: Headers::new(&spec.public_url, NOTHING),
            proxies: Proxies::new(&spec.trusted_proxies),
            mcp: mcp.clone(),
            service: Arc::new(StreamableHttpService::new(
                move || Ok(mcp.clone()),
                Arc::clone(&sessions),
                config,
            )),
            lives: Arc::new(Lives::new(Arc::clone(&door))),
            exchanges: permits(spec.max_exchanges),
            streams: permits(spec.max_streams),
            people: Seats::new(usize::MAX, spec.max_exchanges_per_person),
            listeners: Seats::new(usize::MAX, spec.max_sessions_per_person), // one stream per session
            door,
            spec,
            sessions,
            calls,
            leaving: stop,
            end,
            refused: AtomicU64::new(0),
            foreign: Seldom::default(),
            turned_away: Seldom::default(),
            tried: Seldom::default(),
        })
    }

    pub(super) fn door(&self) -> &Arc<dyn Door> {
        &self.door
    }

    pub(super) fn spec(&self) -> &HttpSpec {
        &self.spec
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Waits until no request is under way, at most as long as a drain may take.
    pub(super) async fn finish_exchanges(&self) {
        let all = u32::try_from(self.spec.max_exchanges).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(self.spec.drain_within, self.exchanges.acquire_many(all)).await;
    }

    /// Ends sessions, streams and whatever is still under way.
    pub(super) fn end_streams(&self) {
        let refused = self.refused.load(Ordering::Relaxed);
        tracing::info!(refused, "stopping; this many credentials were refused");
        self.end.cancel();
    }

    /// One request to one response; never fails.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
        ledger: &Arc<Ledger>,
    ) -> Answer {
        let from = self.client(request.headers(), from);
        let answer = self.route(request, from, ledger).await;
        self.headers.on(answer.unwrap_or_else(Answer::from))
    }

    /// What a connection beyond the limit hears.
    pub(super) fn turn_away(&self) -> Answer {
        if let Some(times) = self.turned_away.count() {
            tracing::warn!(
                most = self.spec.max_connections,
                times,
                "turned a connection away"
            );
        }
        self.headers.on(Fault::overloaded().into())
    }

    /// Whether connections from there are a proxy's, and so everybody's.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.trusts(peer)
    }

    /// Whose attempt a request is.
    fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let forwarded = headers.get_all(FORWARDED).iter();
        let forwarded = forwarded.map(|value| value.to_str().unwrap_or_default());
        self.proxies.client(peer, forwarded)
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
        ledger: &Arc<Ledger>,
    ) -> Result<Answer, Fault> {
        let path = request.uri().path();
        if path == "/healthz" {
            only(&request, &[Method::GET, Method::HEAD])?;
            return Ok(health(self.leaving.is_cancelled())); // probes know no host name
        }
        self.check_host(&request)?;
        if path == ENDPOINT {
            return self.mcp(request, from, ledger).await;
        }
        if path == WHOAMI {
            only(&request, &[Method::GET])?;
            self.check_origin(request.headers())?;
            return Ok(whoami(&self.admit(request.headers(), from).await?));
        }
        if METADATA.contains(&path) {
            only(&request, &[Method::GET, Method::HEAD])?;
            return Ok(document(&self.door.protected_resource_metadata()));
        }
        if let Some(annex) = self.spec.annexes.iter().find(|annex| annex.serves(path)) {
            return self.annex(annex.as_ref(), request, from).await;
        }
        Err(Fault::refused(StatusCode::NOT_FOUND, "Not found"))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "transport")]
    async fn mcp(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
        ledger: &Arc<Ledger>,
    ) -> Result<Answer, Fault> {
        only(&request, &[Method::POST, Method::GET, Method::DELETE])?;
        self.check_origin(request.headers())?;
        let principal = match self.admit(request.headers(), from).await {
            Ok(principal) => principal,
            Err(fault) => {
                listen::discard(request.into_body()).await;
                return Err(fault);
            }
        };
        let alive = self.lives.enter(&principal).ok_or_else(Fault::ended)?;
        let alive = Arc::new(alive);
        let opening = Opening::new(&principal);
        let (mut parts, body) = request.into_parts();
        let in_use = self.session(&mut parts.headers, &principal)?;
        let room = self.room(&parts.method, &principal)?;
        let body = self.body(&parts, body).await?;
        self.scope(&principal, &body)?;
        let delivery = Arc::new(Delivery::default());
        parts.extensions.insert(Exchange {
            principal,
            delivery: Arc::clone(&delivery),
            alive: Arc::clone(&alive),
        });
        let was_json = is_json(&parts.headers);
        let ends_session = parts.method == Method::DELETE;
        let request = Request::from_parts(parts, Full::new(body));
        let held = (room, in_use, Arc::clone(&alive));
        let Some((response, held)) = self.handled(request, opening.clone(), &alive, held).await else {
            return Err(Fault::ended());
        };
        if opening.was_full() {
            return Err(Fault::overloaded());
        }
        let mut response = in_our_words(response, was_json)?;
        if let Some(whole) = delivery.held() {
            response = filled(response, whole).await?;
        }
        if ends_session {
            *response.status_mut() = StatusCode::NO_CONTENT; // done, not merely accepted; clients look for it
        }
        let ledger = Arc::clone(ledger);
        Ok(response.map(|body| Body::new(Tracked::new(body, delivery, ledger, held, alive.end()))))
    }

    /// The protocol's answer, unless the session ends before there is one: then nobody gets it, and what
    /// cannot be stopped any more comes to its end without them.
    async fn handled<H: Send + 'static>(
        &self,
        request: Request<Full<Bytes>>,
        opening: Opening,
        alive: &Alive,
        held: H,
    ) -> Option<(Answer, H)> {
        let service = Arc::clone(&self.service);
        let work = async move { service.handle(request).await.map(Body::new) };
        let work = Box::pin(OPENING.scope(opening, work));
        match futures::future::select(work, Box::pin(alive.end().cancelled())).await {
            Either::Left((answer, _)) => Some((answer, held)),
            Either::Right(((), work)) => {
                tokio::spawn(async move {
                    exhaust(work.await.into_body()).await;
                    drop(held);
                });
                None
            }
        }
    }

    /// Lets go of what is held for sessions that have ended, until the server stops. Looking is a task of its
    /// own: it may wait for a provider that does not answer, and an end that is told must not wait with it.
    pub(super) async fn keep_ends(self: Arc<Self>) {
        let mut ended = self.door.ended();
        let mut look = tokio::time::interval(self.spec.look_every);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = JoinSet::new(); // stopped when this is
        loop {
            let is_due = tokio::select! {
                () = self.end.cancelled() => return,
                told = ended.recv() => match told {
                    Ok(session) => {
                        self.session_ended(&session).await;
                        false
                    }
                    Err(RecvError::Lagged(_)) => true, // a look under way may have missed them too
                    Err(RecvError::Closed) => {
                        ended = self.door.ended();
                        false
                    }
                },
                _ = look.tick() => {
                    while looks.try_join_next().is_some() {}
                    looks.is_empty()
                }
            };
            if is_due {
                looks.spawn(Arc::clone(&self).look());
            }
        }
    }

    async fn session_ended(&self, session: &str) {
        self.lives.end(session);
        self.let_go(session).await;
        self.door.leave(session).await;
    }

    /// Sessions also end on other replicas, and while nobody listened.
    async fn look(self: Arc<Self>) {
        let front = &self;
        let look = |principal: Principal| async move {
            if front.door.has_fallen(&principal).await {
                front.lives.cut(&principal.session.id);
                front.let_go(&principal.session.id).await;
            }
        };
        futures::stream::iter(self.lives.open())
            .for_each_concurrent(LOOKS, look)
            .await;
    }

    async fn let_go(&self, session: &str) {
        self.mcp.end_tasks(session);
        self.sessions.close_of(session).await;
    }

    /// See [`Names::check_host`].
    fn check_host(&self, request: &Request<Incoming>) -> Result<(), Fault> {
        self.names.check_host(request).map_err(|foreign| match foreign {
            Foreign::Several => {
                Fault::invalid(StatusCode::BAD_REQUEST, "Exactly one Host header is required")
            }
            Foreign::Other => {
                if let Some(times) = self.foreign.count() {
                    tracing::warn!(times, "refused a foreign Host");
                }
                Fault::refused(StatusCode::FORBIDDEN, "Forbidden: this Host is not served here")
            }
        })
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Fault> {
        if self.names.owns_origin(headers) {
            return Ok(());
        }
        if let Some(times) = self.foreign.count() {
            tracing::warn!(times, "refused a foreign Origin");
        }
        Err(Fault::refused(
            StatusCode::FORBIDDEN,
            "Forbidden: this Origin is not allowed",
        ))
    }

    /// Only the Authorization header carries a credential (RFC 6750 section 2.1): never the query, a
    /// cookie or the body. Tokens that are not known to be good are few per address, whatever they turn out
    /// to be; good ones cost nothing, and those known to be good are not held up by what others try.
    async fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Result<Principal, Fault> {
        let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
        let first = credentials.next();
        if credentials.next().is_some() {
            return Err(Fault::invalid(
                StatusCode::BAD_REQUEST,
                "More than one Authorization header",
            ));
        }
        let token = first.and_then(|value| value.to_str().ok()).and_then(bearer);
        let attempts = &self.spec.attempts;
        let counts = token.is_some() && !self.door.knows(Bearer(token));
        if counts {
            let taken = attempts.take(Kind::Credential, from);
            taken.map_err(|wait| self.too_many(wait))?;
        }
        let admitted = self.door.admit(Bearer(token)).await;
        // Where nobody can say (503), nothing was guessed: an issuer that is away locks nobody out.
        let unsaid = matches!(&admitted, Err(challenge) if challenge.status == 503);
        if counts && (unsaid || admitted.is_ok()) {
            attempts.give_back(Kind::Credential, from);
        }
        admitted.map_err(|challenge| {
            let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::debug!(refused, "refused a credential"); // counted, not journalled: strangers can send any number
            Fault::challenged(&challenge)
        })
    }

    fn too_many(&self, wait: TooMany) -> Fault {
        if let Some(times) = self.tried.count() {
            tracing::warn!(times, "turned away an address that tries too often");
        }
        Fault::too_many(wait)
    }

    /// The session named by the request, if it is the sender's. The newest revision has no sessions, so
    /// there the header is dropped: it must not lead into one by another route.
    fn session(&self, headers: &mut HeaderMap, principal: &Principal) -> Result<Option<InUse>, Fault> {
        let newest = headers
            .get(&VERSION)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28.as_str());
        if newest {
            while headers.remove(&SESSION).is_some() {}
            return Ok(None);
        }
        let mut ids = headers.get_all(&SESSION).iter();
        let Some(id) = ids.next() else {
            return Ok(None);
        };
        if ids.next().is_some() {
            return Err(Fault::invalid(
                StatusCode::BAD_REQUEST,
                "More than one Mcp-Session-Id header",
            ));
        }
        let session = id.to_str().ok().and_then(|id| self.sessions.enter(id, principal));
        session.map(Some).ok_or_else(Fault::no_session)
    }

    /// Room for one more: in all, and for this person. Streams are counted apart from requests.
    fn room(&self, method: &Method, principal: &Principal) -> Result<(OwnedSemaphorePermit, Seat), Fault> {
        let (all, people) = if method == Method::GET {
            (&self.streams, &self.listeners)
        } else {
            (&self.exchanges, &self.people)
        };
        let permit = Arc::clone(all).try_acquire_owned();
        let seat = people.take(principal);
        permit.ok().zip(seat.ok()).ok_or_else(Fault::overloaded)
    }

    async fn body(&self, parts: &Parts, body: Incoming) -> Result<Bytes, Fault> {
        if parts.method != Method::POST {
            return Ok(Bytes::new());
        }
        let body = self.read(body).await?;
        match depth::check(&body) {
            Ok(()) => Ok(body),
            Err(excess) => Err(Fault::invalid(StatusCode::BAD_REQUEST, excess.message())),
        }
    }

    /// A call that a token of more scopes would allow is answered here, in HTTP's own words: MCP's step-up
    /// (2026-07-28, Authorization, Runtime Insufficient Scope Errors) is a 403 with a challenge.
    /// By what the body says: `Mcp-Name` is only a copy, and one that differs is refused further in. What is
    /// not a call, or not understood, goes on; policy keeps to the token's scopes in any case.
    fn scope(&self, principal: &Principal, body: &[u8]) -> Result<(), Fault> {
        if principal.scope.tools.is_none() {
            return Ok(());
        }
        let Some(tool) = called(body) else {
            return Ok(());
        };
        match self.door.step_up(principal, &tool) {
            Some(challenge) => Err(Fault::challenged(&challenge)),
            None => Ok(()),
        }
    }

    /// Requests of strangers: bounded in number, size and time like everybody's, and in how many one address
    /// may send.
    async fn annex(
        &self,
        annex: &dyn Annex,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> Result<Answer, Fault> {
        let path = request.uri().path();
        let kind = annex.kind(path);
        if let Err(wait) = self.spec.attempts.take(kind, from) {
            let _logged = self.too_many(wait);
            return Ok(annex::too_many(kind, wait).map(Body::from));
        }
        if request.method() == Method::POST && annex.is_own_form(path) {
            self.check_origin(request.headers())?;
        }
        let permit = Arc::clone(&self.exchanges).try_acquire_owned();
        let _permit = permit.map_err(|_| Fault::overloaded())?;
        let (parts, body) = request.into_parts();
        let body = self.read_at_most(body, annex::BODY_BYTES).await?;
        let request = Request::from_parts(parts, body.to_vec());
        let answer = annex.answer(request, from).await;
        if annex::is_failure(&answer) {
            self.spec.attempts.failed(kind, from);
        } else if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            self.spec.attempts.give_back(kind, from);
        }
        Ok(answer.map(Body::from))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Fault> {
        self.read_at_most(body, self.spec.max_body_bytes).await
    }

    async fn read_at_most(&self, body: Incoming, most: usize) -> Result<Bytes, Fault> {
        let read = Limited::new(body, most).collect();
        match tokio::time::timeout(self.spec.body_within, read).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::invalid(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is too large. Send less in one call.",
            )),
            Ok(Err(_)) => Err(Fault::unparsable("The request body broke off")),
            Err(_) => Err(Fault::invalid(
                StatusCode::REQUEST_TIMEOUT,
                "The request body took too long",
            )),
        }
    }
}

/// The tool that a message calls, if it is a call.
fn called(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        method: String,
        params: Option<Params>,
    }
    #[derive(Deserialize)]
    struct Params {
        name: Option<String>,
    }
    let message: Message = serde_json::from_slice(body).ok()?;
    (message.method == "tools/call").then_some(message.params?.name?)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A principal, to themselves.
fn whoami(principal: &Principal) -> Answer {
    let (user, agent) = (&principal.user, &principal.agent);
    document(&json!({
        "user": {"id": user.id(), "kind": user.kind, "groups": user.groups},
        "agent": {"client_id": agent.client_id, "verified": agent.verified},
    }))
}

fn only(request: &Request<Incoming>, methods: &[Method]) -> Result<(), Fault> {
    if methods.contains(request.method()) {
        return Ok(());
    }
    Err(Fault::method(methods))
}

/// As many permits as a semaphore can hold.
fn permits(most: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_after_bearer_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        for other in ["Basic abc", "Bearer", "Bearer ", "abc", "", "Bearerabc"] {
            assert_eq!(bearer(other), None, "{other}");
        }
    }
}
