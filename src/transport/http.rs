//! Streamable HTTP: a listener, bounded connections, and a drain that finishes what is under way.
//!
//! HTTP/1.1 is served directly, so that every wait has an end: for a request's head, for its body, for
//! a peer that takes nothing. `front` looks at each request before the protocol does; `sessions` binds
//! the older era's sessions to the principal that opened them.

mod fault;
mod front;
mod sessions;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::front::Front;
use super::Door;
use super::delivery::{Ledger, Line};
use crate::clock::World;

/// Largest request head in bytes (tokens with many groups reach some 16 KiB).
const HEAD_BYTES: usize = 64 * 1024;
/// Most header lines of one request.
const HEADERS: usize = 100;
/// Connections beyond the limit that are told so; what comes beyond these is closed.
const TURNED_AWAY: usize = 64;
/// What is left of a drain after its bound: to settle cancelled calls and to close.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A public form endpoint: takes the decoded fields, gives a status and a JSON document.
pub type FormAnswer = Arc<dyn Fn(Vec<(String, String)>) -> (u16, Value) + Send + Sync>;

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
    /// Public JSON documents by path, e.g. an issuer's discovery document and key set.
    pub documents: Vec<(String, Value)>,
    /// Public form endpoints by path, e.g. an issuer's token endpoint.
    pub forms: Vec<(String, FormAnswer)>,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Most open connections.
    pub max_connections: usize,
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
    /// How long a request's head may take, and how long a connection may be unused.
    pub head_within: Duration,
    /// How long a request's body may take.
    pub body_within: Duration,
    /// How long a write may make no progress.
    pub write_within: Duration,
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
        let (allowed_hosts, allowed_origins) = own_names(&public_url);
        Self {
            public_url,
            allowed_hosts,
            allowed_origins,
            documents: Vec::new(),
            forms: Vec::new(),
            max_body_bytes: 1024 * 1024,
            max_connections: 2048,
            max_exchanges: 1024,
            max_exchanges_per_person: 64,
            max_streams: 1024,
            max_sessions: 4096,
            max_sessions_per_person: 32,
            session_idle: Duration::from_hours(4),
            head_within: Duration::from_mins(1),
            body_within: Duration::from_secs(30),
            write_within: Duration::from_secs(30),
            drain_within: Duration::from_secs(30),
            progress_every: Duration::from_secs(5),
            news_apart: Duration::from_millis(250),
            confirm_within: Duration::from_mins(5),
            world,
        }
    }
}

/// Host and Origin values under which a server at this address is its own.
fn own_names(url: &url::Url) -> (Vec<String>, Vec<String>) {
    let Some(host) = url.host_str() else {
        return (Vec::new(), Vec::new());
    };
    let mut names = vec![host];
    let loopback = ["localhost", "127.0.0.1", "[::1]"];
    if loopback.contains(&host) {
        names.extend(loopback.iter().filter(|name| **name != host));
    }
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let hosts: Vec<String> = names.iter().map(|name| format!("{name}{port}")).collect();
    let origins = hosts
        .iter()
        .map(|host| format!("{}://{host}", url.scheme()))
        .collect();
    (hosts, origins)
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
    let connections = Arc::new(Semaphore::new(spec.max_connections.min(Semaphore::MAX_PERMITS)));
    let beyond = Arc::new(Semaphore::new(TURNED_AWAY));
    let front = Arc::new(Front::new(door, spec).map_err(invalid)?);
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: let some close
                continue;
            }
        };
        let (permit, welcome) = match Arc::clone(&connections).try_acquire_owned() {
            Ok(permit) => (permit, true),
            Err(_) => match Arc::clone(&beyond).try_acquire_owned() {
                Ok(permit) => (permit, false),
                Err(_) => continue,
            },
        };
        open.spawn(connection(
            Arc::clone(&front),
            stream,
            shutdown.clone(),
            permit,
            welcome,
        ));
    }
    drop(listener);
    drain(&front, open).await;
    Ok(())
}

fn invalid(message: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, message)
}

/// One connection, until it closes or the server stops.
async fn connection(
    front: Arc<Front>,
    stream: TcpStream,
    shutdown: CancellationToken,
    _permit: OwnedSemaphorePermit,
    welcome: bool,
) {
    // Answers leave in several small writes: with Nagle's algorithm each would wait for an ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let ledger = Arc::new(Ledger::new(Arc::clone(front.door())));
    let io = TokioIo::new(Line::new(stream, Arc::clone(&ledger), front.spec().write_within));
    let service = {
        let front = Arc::clone(&front);
        service_fn(move |request| {
            let (front, ledger) = (Arc::clone(&front), Arc::clone(&ledger));
            async move {
                Ok::<_, Infallible>(if welcome {
                    front.answer(request, &ledger).await
                } else {
                    front.turn_away()
                })
            }
        })
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(front.spec().head_within)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(welcome)
        .serve_connection(io, service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
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
