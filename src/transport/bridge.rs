//! A thin bridge: MCP on standard input and output here, Streamable HTTP with a person's login there.
//!
//! It forwards messages as they are and decides nothing. Both eras pass: in the newest revision each request
//! stands alone, and what the body says is repeated in headers; in the older ones `initialize` opens a
//! session at the server. What a server sends on the way to an answer (progress, questions) passes too.
//!
//! Without a usable login it answers itself: the built-in tools are listed, and every call is refused with
//! what to do. It never opens a browser, and writes nothing but protocol to standard output.
//!
//! A message is sent again only when the server cannot have begun with it: after a 401, or a 404 that says
//! the session is gone. When a connection breaks off under a call, the outcome is unknown, and it says so.

mod carry;
mod events;
mod local;
mod message;
mod pipe;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::World;
use crate::identity::login::Credential;
use carry::Carrier;
use message::{Kind, Message};
use pipe::{Line, Lines};

/// What is left for requests under way once the input has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Lines that may wait for the writer.
const OUTGOING: usize = 64;

/// What to bridge to. [`BridgeSpec::new`] gives the defaults.
#[derive(Debug)]
pub struct BridgeSpec {
    /// The server's address, as it is told to people.
    pub server: String,
    /// Its MCP endpoint.
    pub endpoint: Url,
    /// Where access tokens come from.
    pub credential: Arc<dyn Credential>,
    /// Time and randomness.
    pub world: Arc<dyn World>,
    /// Longest line of the agent, in bytes; the server has a bound of its own.
    pub max_line_bytes: usize,
    /// Longest message of the server, in bytes.
    pub max_message_bytes: usize,
    /// Most requests under way; more are refused at once.
    pub max_requests: usize,
}

impl BridgeSpec {
    /// The defaults.
    #[must_use]
    pub fn new(
        server: String,
        endpoint: Url,
        credential: Arc<dyn Credential>,
        world: Arc<dyn World>,
    ) -> Self {
        Self {
            server,
            endpoint,
            credential,
            world,
            max_line_bytes: 4 * 1024 * 1024,
            max_message_bytes: 64 * 1024 * 1024,
            max_requests: 256,
        }
    }
}

/// Bridges until the input ends or `shutdown` fires.
///
/// # Errors
/// The HTTP client cannot be set up.
pub async fn serve<R, W>(
    spec: BridgeSpec,
    (read, write): (R, W),
    shutdown: CancellationToken,
) -> std::io::Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let mut lines = Lines::new(read, spec.max_line_bytes);
    let (outgoing, waiting) = mpsc::channel(OUTGOING);
    let writer = tokio::spawn(pipe::write_lines(write, waiting));
    let under_way = Arc::new(UnderWay::new(spec.max_requests));
    let carrier = Arc::new(Carrier::new(spec, outgoing.clone())?);
    let mut requests = JoinSet::new();
    loop {
        let line = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = outgoing.closed() => break, // nobody reads our answers any more
            Some(_) = requests.join_next(), if !requests.is_empty() => continue,
            line = lines.next() => line,
        };
        let message = match line {
            Line::End => break,
            Line::Message(bytes) => Message::read(bytes),
            Line::TooLong => Err(message::too_long()),
        };
        match message {
            Err(refusal) => drop(outgoing.send(refusal).await),
            Ok(message) => take(message, &carrier, &under_way, &mut requests).await,
        }
    }
    let finished = async { while requests.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, finished).await;
    requests.shutdown().await;
    let _ = tokio::time::timeout(LAST_WORDS, carrier.close()).await;
    drop((carrier, outgoing));
    let _ = tokio::time::timeout(LAST_WORDS, writer).await;
    Ok(())
}

/// Requests go side by side. What changes how later messages are understood (`initialize`, notifications,
/// answers to the server) is carried in its place.
async fn take(
    message: Message,
    carrier: &Arc<Carrier>,
    under_way: &Arc<UnderWay>,
    requests: &mut JoinSet<()>,
) {
    match &message.kind {
        Kind::Request(id) => {
            let key = id.to_string();
            let cancel = match under_way.begin(&key) {
                Ok(cancel) => cancel,
                Err(why) => return carrier.send(message::refusal(id, why)).await,
            };
            let (carrier, under_way) = (Arc::clone(carrier), Arc::clone(under_way));
            requests.spawn(async move {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => {} // dropping the exchange closes it: the server takes it so
                    () = carrier.request(&message) => {}
                }
                under_way.end(&key);
            });
        }
        Kind::Cancelled(id) if !carrier.has_session().await => under_way.cancel(&id.to_string()),
        Kind::Cancelled(_) | Kind::Notification | Kind::Answer => carrier.notify(&message).await,
    }
}

/// The requests under way, by the text of their id.
#[derive(Debug)]
struct UnderWay {
    most: usize,
    open: Mutex<HashMap<String, CancellationToken>>,
}

impl UnderWay {
    fn new(most: usize) -> Self {
        Self {
            most,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: &str) -> Result<CancellationToken, &'static str> {
        let mut open = self.lock();
        if open.contains_key(id) {
            return Err("Invalid request: this id is already under way");
        }
        if open.len() >= self.most {
            return Err("overloaded: too many requests under way. Wait for an answer, then send this again.");
        }
        let cancel = CancellationToken::new();
        open.insert(id.to_owned(), cancel.clone());
        Ok(cancel)
    }

    fn cancel(&self, id: &str) {
        if let Some(cancel) = self.lock().get(id) {
            cancel.cancel();
        }
    }

    fn end(&self, id: &str) {
        self.lock().remove(id);
    }
}
