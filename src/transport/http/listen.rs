//! Connections with bounds: how many, how long a head may take, how long a peer may take nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
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

/// Accepts until `shutdown` fires; gives the connections that are still open, which then finish what is
/// under way and close.
pub(crate) async fn accept<S: Site>(
    site: &Arc<S>,
    listener: TcpListener,
    shutdown: &CancellationToken,
) -> JoinSet<()> {
    let most = site.bounds().connections.min(Semaphore::MAX_PERMITS);
    let connections = Arc::new(Semaphore::new(most));
    let beyond = Arc::new(Semaphore::new(TURNED_AWAY));
    let crowd = Arc::new(Crowd::default());
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return open,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok((stream, from)) => (stream, from.ip()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: let some close
                continue;
            }
        };
        let one = match site.is_proxy(from) {
            true => Ok(None),
            false => crowd.enter(place(from), site.bounds().per_address).map(Some),
        };
        let room = one.and_then(|one| {
            let permit = Arc::clone(&connections).try_acquire_owned().ok();
            permit.map(|permit| (permit, one)).ok_or(Full)
        });
        let (held, welcome) = match room {
            Ok(held) => (held, true),
            Err(Full) => match Arc::clone(&beyond).try_acquire_owned() {
                Ok(permit) => ((permit, None), false),
                Err(_) => continue,
            },
        };
        open.spawn(connection(
            Arc::clone(site),
            (stream, from),
            shutdown.clone(),
            held,
            welcome,
        ));
    }
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
    shutdown: CancellationToken,
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
    let service = service_fn(move |request| {
        let (site, ledger) = (Arc::clone(&site), Arc::clone(&ledger));
        async move {
            Ok::<_, Infallible>(if welcome {
                site.answer(request, from, &ledger).await
            } else {
                site.turn_away()
            })
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
        () = shutdown.cancelled() => {
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
