//! Connections with bounds: how many, how long a head may take, how long a peer may take nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, header};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fault::Answer;
use crate::attempts::place;
use crate::transport::delivery::{Flushed, Line};

/// Largest request head in bytes (tokens with many groups reach some 16 KiB).
const HEAD_BYTES: usize = 64 * 1024;
/// Most header lines of one request.
const HEADERS: usize = 100;
/// Connections beyond the limit that are told so; what comes beyond these is closed.
const TURNED_AWAY: usize = 64;

/// Of a refused request, so much of its body is taken in, and for so long.
const UNREAD_BYTES: usize = 64 * 1024;
const UNREAD_WITHIN: Duration = Duration::from_secs(2);

/// How long a connection that came last may take to send its request.
const LAST_REQUEST: Duration = Duration::from_millis(250);

/// Connections that can wait to be accepted.
const BACKLOG: usize = 4096;

/// The bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most open connections.
    pub(crate) connections: usize,
    /// Most open connections from one address, unless it is a proxy's.
    pub(crate) per_address: usize,
    /// How long a request's head may take, and how long a connection may be unused.
    pub(crate) head_within: Duration,
    /// How long a write may make no progress.
    pub(crate) write_within: Duration,
    /// How long, once the server was told to stop, whoever has not heard of it yet is still served.
    pub(crate) leave_within: Duration,
}

/// What answers on a listener.
pub(crate) trait Site: Send + Sync + 'static {
    /// What one connection is told about its writes.
    type Ledger: Flushed;

    fn bounds(&self) -> Bounds;
    /// The ledger of one new connection.
    fn ledger(&self) -> Self::Ledger;
    /// One request, from the address at the other end of its connection, to one response; never fails.
    fn answer(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
        ledger: &Arc<Self::Ledger>,
    ) -> impl Future<Output = Answer> + Send;
    /// Whether connections from there are a proxy's, and so everybody's.
    fn is_proxy(&self, peer: IpAddr) -> bool;
    /// What a connection beyond the limit hears.
    fn turn_away(&self) -> Answer;
}

/// Accepts until `shutdown` fires, and then for as long as leaving takes: a load balancer has yet to see that this server
/// stops, and a client that has a connection may be sending on it. Each answer from then on closes its connection, so that
/// the next request comes to another server. Gives the connections that are still open, which then finish what
/// is under way and close.
pub(crate) async fn accept<S: Site>(
    site: &Arc<S>,
    listener: TcpListener,
    shutdown: &CancellationToken,
) -> JoinSet<()> {
    let mut hall = Hall::new(site, shutdown);
    let leave_within = site.bounds().leave_within;
    let mut leaving = std::pin::pin!(async {
        shutdown.cancelled().await;
        tokio::time::sleep(leave_within).await;
    });
    loop {
        let accepted = tokio::select! {
            () = &mut leaving => break,
            Some(_) = hall.open.join_next(), if !hall.open.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => hall.enter(stream, from.ip()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: let some close
            }
        }
    }
    hall.enter_last(listener);
    let idle = async { while hall.open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(leave_within.min(LAST_REQUEST), idle).await;
    hall.leave.left.cancel();
    hall.open
}

/// Who is connected to one listener.
struct Hall<S> {
    site: Arc<S>,
    connections: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
    crowd: Arc<Crowd>,
    leave: Leave,
    open: JoinSet<()>,
}

impl<S: Site> Hall<S> {
    fn new(site: &Arc<S>, shutdown: &CancellationToken) -> Self {
        let most = site.bounds().connections.min(Semaphore::MAX_PERMITS);
        Self {
            site: Arc::clone(site),
            connections: Arc::new(Semaphore::new(most)),
            beyond: Arc::new(Semaphore::new(TURNED_AWAY)),
            crowd: Arc::new(Crowd::default()),
            leave: Leave {
                told: shutdown.clone(),
                left: CancellationToken::new(),
            },
            open: JoinSet::new(),
        }
    }

    fn enter(&mut self, stream: TcpStream, from: IpAddr) {
        let one = match self.site.is_proxy(from) {
            true => Ok(None),
            false => self
                .crowd
                .enter(place(from), self.site.bounds().per_address)
                .map(Some),
        };
        let room = one.and_then(|one| {
            let permit = Arc::clone(&self.connections).try_acquire_owned().ok();
            permit.map(|permit| (permit, one)).ok_or(Full)
        });
        let (held, welcome) = match room {
            Ok(held) => (held, true),
            Err(Full) => match Arc::clone(&self.beyond).try_acquire_owned() {
                Ok(permit) => ((permit, None), false),
                Err(_) => return,
            },
        };
        let (site, leave) = (Arc::clone(&self.site), self.leave.clone());
        self.open
            .spawn(connection(site, (stream, from), leave, held, welcome));
    }

    /// Whoever the system has let in already: closing the listener would reset them, perhaps with their request on
    /// its way.
    fn enter_last(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else {
            return;
        };
        // Without blocking, as it was; no more than can have been waiting.
        for _ in 0..BACKLOG {
            let Ok((stream, from)) = listener.accept() else {
                return;
            };
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.enter(stream, from.ip());
            }
        }
    }
}

/// How a connection hears that the server stops.
#[derive(Debug, Clone)]
struct Leave {
    /// Whoever is answered is told to come back on another connection.
    told: CancellationToken,
    /// What is unused is closed.
    left: CancellationToken,
}

/// No room.
#[derive(Debug)]
struct Full;

/// How many connections each address has open. Its size is bounded by their number.
#[derive(Debug, Default)]
struct Crowd(Mutex<HashMap<IpAddr, usize>>);

/// One connection of an address, counted until it is dropped.
#[derive(Debug)]
struct One {
    crowd: Arc<Crowd>,
    place: IpAddr,
}

impl Crowd {
    fn enter(self: &Arc<Self>, place: IpAddr, most: usize) -> Result<One, Full> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = open.get(&place).copied().unwrap_or(0);
        if mine >= most {
            return Err(Full);
        }
        open.insert(place, mine + 1);
        Ok(One {
            crowd: Arc::clone(self),
            place,
        })
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut open = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = open.get_mut(&self.place) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                open.remove(&self.place);
            }
        }
    }
}

/// One connection, until it closes or the server stops.
async fn connection<S: Site>(
    site: Arc<S>,
    (stream, from): (TcpStream, IpAddr),
    leave: Leave,
    _held: (OwnedSemaphorePermit, Option<One>),
    welcome: bool,
) {
    // Answers leave in several small writes: with Nagle's algorithm each would wait for an ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let bounds = site.bounds();
    let ledger = Arc::new(site.ledger());
    let io = TokioIo::new(Line::new(stream, Arc::clone(&ledger), bounds.write_within));
    let Leave { told, left } = leave;
    let service = service_fn(move |request| {
        let (site, ledger, told) = (Arc::clone(&site), Arc::clone(&ledger), told.clone());
        async move {
            let mut answer = match welcome {
                true => site.answer(request, from, &ledger).await,
                false => site.turn_away(),
            };
            if told.is_cancelled() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_within)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(welcome)
        .serve_connection(io, service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = left.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Takes in a small body that nobody will read. A connection that is closed over one can lose the answer on
/// its way, and a client's first request, which hears where to sign in, is just that.
pub(super) async fn discard(mut body: Incoming) {
    let all = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len);
            if taken > UNREAD_BYTES {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(UNREAD_WITHIN, all).await;
}
