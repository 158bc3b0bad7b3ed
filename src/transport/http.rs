//! Streamable HTTP: a listener, bounded connections, and a drain that finishes what is under way.
//!
//! HTTP/1.1 is served directly, so that every wait has an end: for a request's head, for its body, for
//! a peer that takes nothing. `front` looks at each request before the protocol does; `sessions` binds
//! the older era's sessions to the principal that opened them.

pub mod annex;
mod fault;
mod front;
pub(crate) mod headers;
pub(crate) mod listen;
mod lives;
pub(crate) mod names;
mod sessions;
pub(crate) mod watch;

pub(super) use lives::Alive;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::fault::Answer;
use self::front::Front;
use self::listen::Bounds;
use super::Door;
use super::delivery::Ledger;
use crate::attempts::Attempts;
use crate::clock::World;

/// What is left of a drain after its bound: to settle cancelled calls and to close.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How to serve. [`HttpSpec::new`] gives the defaults; every field may be changed.
#[derive(Clone)]
pub struct HttpSpec {
    /// Where clients find this server, e.g. `https://tollgate.example.com`; no path.
    pub public_url: url::Url,
    /// Accepted `Host` values, `name` or `name:port`; a name alone means the scheme's own port. Empty
    /// accepts none.
    pub allowed_hosts: Vec<String>,
    /// Accepted `Origin` values of browsers, `scheme://name[:port]`. Empty accepts none; a request
    /// without an `Origin` is not a browser's.
    pub allowed_origins: Vec<String>,
    /// Whatever else is served beside the endpoint, asked in this order.
    pub annexes: Vec<Arc<dyn annex::Annex>>,
    /// What each address tries: to be shared with whatever else listens.
    pub attempts: Arc<Attempts>,
    /// Whose `X-Forwarded-For` is believed when attempts are counted, and whose connections are everybody's.
    pub trusted_proxies: Vec<IpAddr>,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Most open connections.
    pub max_connections: usize,
    /// Most open connections from one address (an IPv6 /64).
    pub max_connections_per_address: usize,
    /// Most requests under way; beyond that 503.
    pub max_exchanges: usize,
    /// Most requests of one person under way: slow ones must not take everybody's room.
    pub max_exchanges_per_person: usize,
    /// Most open streams of the older era (GET); beyond that 503.
    pub max_streams: usize,
    /// Most sessions of the older era.
    pub max_sessions: usize,
    /// Most sessions of one person; their longest unused one makes room.
    pub max_sessions_per_person: usize,
    /// How long a session may be unused. Agents idle for hours and then go on.
    pub session_idle: Duration,
    /// How often it is asked whether the sessions still stand that something is held for: they may have
    /// ended on another replica.
    pub look_every: Duration,
    /// How long a request's head may take, and how long a connection may be unused.
    pub head_within: Duration,
    /// How long a request's body may take.
    pub body_within: Duration,
    /// How long a write may make no progress.
    pub write_within: Duration,
    /// How long it goes on taking connections and requests after it was told to stop; each answer then closes its
    /// connection.
    pub leave_within: Duration,
    /// How long calls under way may take to finish when the server stops.
    pub drain_within: Duration,
    /// Time between two progress messages.
    pub progress_every: Duration,
    /// Shortest time between two progress messages, however much there is to tell.
    pub news_apart: Duration,
    /// How long a person has to answer a question that is waited for.
    pub confirm_within: Duration,
    /// Time and randomness.
    pub world: Arc<dyn World>,
}

impl std::fmt::Debug for HttpSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSpec")
            .field("public_url", &self.public_url.as_str())
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_origins", &self.allowed_origins)
            .finish_non_exhaustive()
    }
}

impl HttpSpec {
    /// The defaults for a public address. Its own host and origin are accepted, and on a loopback
    /// address the other loopback names at the same port as well.
    #[must_use]
    pub fn new(public_url: url::Url, world: Arc<dyn World>) -> Self {
        let (allowed_hosts, allowed_origins) = names::own(&public_url);
        Self {
            public_url,
            allowed_hosts,
            allowed_origins,
            annexes: Vec::new(),
            attempts: Arc::new(Attempts::new(Arc::clone(&world))),
            trusted_proxies: Vec::new(),
            max_body_bytes: 1024 * 1024,
            max_connections: 2048,
            max_connections_per_address: 256,
            max_exchanges: 1024,
            max_exchanges_per_person: 64,
            max_streams: 1024,
            max_sessions: 4096,
            max_sessions_per_person: 32,
            session_idle: Duration::from_hours(4),
            look_every: Duration::from_secs(10),
            head_within: Duration::from_mins(1),
            body_within: Duration::from_secs(30),
            write_within: Duration::from_secs(30),
            leave_within: Duration::ZERO,
            drain_within: Duration::from_secs(30),
            progress_every: Duration::from_secs(5),
            news_apart: Duration::from_millis(250),
            confirm_within: Duration::from_mins(5),
            world,
        }
    }
}

/// Serves until `shutdown` fires, then finishes what is under way and returns.
///
/// # Errors
/// An entry of `spec` that cannot be understood (`InvalidInput`, saying which); nothing else stops a
/// running server.
pub async fn serve(
    door: Arc<dyn Door>,
    spec: HttpSpec,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let front = Arc::new(Front::new(door, spec, shutdown.clone()).map_err(invalid)?);
    let keeper = tokio::spawn(Front::keep_ends(Arc::clone(&front)));
    let open = listen::accept(&front, listener, &shutdown).await;
    drain(&front, open).await;
    keeper.abort();
    Ok(())
}

fn invalid(message: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, message)
}

impl listen::Site for Front {
    type Ledger = Ledger;

    fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.spec().max_connections,
            per_address: self.spec().max_connections_per_address,
            head_within: self.spec().head_within,
            write_within: self.spec().write_within,
            leave_within: self.spec().leave_within,
        }
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(Arc::clone(self.door()))
    }

    async fn answer(&self, request: Request<Incoming>, from: IpAddr, ledger: &Arc<Ledger>) -> Answer {
        Self::answer(self, request, from, ledger).await
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        Self::is_proxy(self, peer)
    }

    fn turn_away(&self) -> Answer {
        Self::turn_away(self)
    }
}

/// Finishes what is under way within the bound, then ends streams, sessions and what is left.
async fn drain(front: &Front, mut open: JoinSet<()>) {
    front.finish_exchanges().await;
    front.end_streams();
    let closed = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, closed).await;
    open.shutdown().await;
    front.calls().idle(LAST_WORDS).await;
}
