//! The people's side: requests in front of the persons who decide them, over HTTP.
//!
//! A listener, host name, audience and cookies of its own. The API takes a person's ID token
//! ([`crate::identity::people`]), the pages a session that began with one; a decision needs an interactive
//! sign-in of a moment ago in either case. What decides is [`Desk`]: this module only asks it.
//!
//! Deliberately absent: scripts (but two of ours: one renews lists and requests, one asks for a security key), CORS, any
//! credential an agent can hold, any effect of a GET, and any way from here to a tool.

pub mod agents;
mod answer;
mod api;
pub mod callbacks;
mod events;
mod front;
pub mod grants;
mod html;
pub mod insight;
pub mod keys;
mod lists;
pub mod notices;
pub mod openapi;
mod pages;
mod problem;
mod security_keys;
mod sessions;
mod sheet;
pub mod slack;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::approval::listing::{Counts, Listing, Program, Wanted};
use crate::approval::review::{Card, Choice, NotDecided, Reviewer, Sheet};
use crate::attempts::Attempts;
use crate::call::ApprovalId;
use crate::clock::World;
use crate::identity::people::People;
use crate::identity::security_keys::SecurityKeys;
use crate::transport::http::listen;
use front::Front;

/// What the control side needs of the approval stage. The seam at which it is tested over real sockets.
pub trait Desk: Send + Sync + 'static {
    /// A page of the requests this person may see.
    fn page<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Listing, NotDecided>>;
    /// How many there are of them.
    fn counts<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Counts, NotDecided>>;
    /// What stands around a request whose evidence this person sees; `None` where nothing is known of it.
    fn around<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Around>, NotDecided>>;
    /// Told whenever some request may have changed; `None` where nobody tells.
    fn changes(&self) -> Option<watch::Receiver<()>>;
    /// One request with its evidence.
    fn show<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Sheet, NotDecided>>;
    /// Takes one person's decision about the action whose hash they repeat.
    fn decide<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        choice: Choice,
        seen: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>>;
    /// Withdraws a request.
    fn cancel<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Card, NotDecided>>;
}

/// What stands around a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Around {
    /// The program it came through; gone once the request is final.
    pub program: Option<Program>,
    /// The latest calls of its session, newest first; `None` when the journal cannot be read.
    pub calls: Option<Vec<EarlierCall>>,
}

/// A call of the journal, as it is shown beside a request.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierCall {
    /// RFC 3339 UTC.
    pub at: String,
    /// The tool.
    pub tool: String,
    /// On what; absent also where it is hidden.
    pub resource: Option<String>,
    /// How it ended: the status, and the code where it has one.
    pub outcome: String,
    /// What was sent, masked.
    pub arguments: Option<serde_json::Value>,
    /// Whether it was on a resource that the reader may know nothing of.
    pub is_hidden: bool,
}

/// How to serve the control side.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What people's browsers call it; no path. Its host is the only one that is served.
    pub url: url::Url,
    /// How long ago a person may have signed in when they decide, in seconds.
    pub max_age: u64,
    /// Who keeps the sessions of agents' programs, where there are any.
    pub sessions: Option<Arc<dyn agents::SessionDesk>>,
    /// Authentication context classes that each issuer (configured name) can be asked for, best first.
    pub acr: BTreeMap<String, Vec<String>>,
    /// Most open connections.
    pub max_connections: usize,
    /// Most open connections from one address (an IPv6 /64).
    pub max_connections_per_address: usize,
    /// What each address tries: to be shared with whatever else listens.
    pub attempts: Arc<Attempts>,
    /// Whose `X-Forwarded-For` is believed when attempts are counted, and whose connections are everybody's.
    pub trusted_proxies: Vec<IpAddr>,
    /// Most requests under way.
    pub max_exchanges: usize,
    /// How long a request's head may take, and how long a connection may be unused.
    pub head_within: Duration,
    /// How long a request's body may take.
    pub body_within: Duration,
    /// How long it goes on taking connections and requests after it was told to stop.
    pub leave_within: Duration,
    /// API keys of services, where they are looked after here.
    pub keys: Option<Arc<dyn keys::KeyDesk>>,
    /// Approvals for a while, stand-ins and broken glass.
    pub grants: Option<Arc<dyn grants::GrantDesk>>,
    /// People's security keys, where approving needs one.
    pub security_keys: Option<Arc<SecurityKeys>>,
    /// What people may look up beyond requests: rights, the journal, policies.
    pub insight: Option<Arc<dyn insight::Insight>>,
    /// The Slack app, where there is one: its pages and what it sends.
    pub slack: Option<Arc<slack::Slack>>,
    /// Integrations that may decide, where there are any.
    pub callbacks: Option<Arc<callbacks::Callbacks>>,
    /// Time and randomness.
    pub world: Arc<dyn World>,
}

impl Spec {
    /// The defaults.
    #[must_use]
    pub fn new(url: url::Url, max_age: u64, world: Arc<dyn World>) -> Self {
        Self {
            url,
            max_age,
            sessions: None,
            acr: BTreeMap::new(),
            max_connections: 512,
            max_connections_per_address: 128,
            attempts: Arc::new(Attempts::new(Arc::clone(&world))),
            trusted_proxies: Vec::new(),
            max_exchanges: 128,
            head_within: Duration::from_secs(30),
            body_within: Duration::from_secs(15),
            leave_within: Duration::ZERO,
            keys: None,
            grants: None,
            security_keys: None,
            insight: None,
            slack: None,
            callbacks: None,
            world,
        }
    }
}

/// What is left of a drain: to finish what is under way, and to close.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves until `shutdown` fires, then finishes what is under way.
///
/// # Errors
/// An address in `spec` that names no host (`InvalidInput`).
pub async fn serve(
    desk: Arc<dyn Desk>,
    people: Arc<People>,
    spec: Spec,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let front = Front::new(desk, people, spec, shutdown.clone())
        .map_err(|what| std::io::Error::new(std::io::ErrorKind::InvalidInput, what))?;
    let mut open = listen::accept(&Arc::new(front), listener, &shutdown).await;
    let closed = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, closed).await;
    open.shutdown().await;
    Ok(())
}
