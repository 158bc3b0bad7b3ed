//! Standard input and output: one JSON-RPC message per line, one principal, nothing else on stdout.
//!
//! The lines are read and written here rather than by rmcp, so that a line is bounded in length, depth
//! and elements before anything is built from it, a refused line is answered instead of dropped, the
//! number of requests under way is bounded, and a call counts as accepted when its line was flushed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, JsonRpcMessage, RequestId,
    ServerJsonRpcMessage,
};
use rmcp::service::{RoleServer, ServerInitializeError, serve_server_with_ct};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::mcp::{Mcp, Origin, Pace};
use super::{Door, depth};
use crate::call::{CallId, Principal};
use crate::clock::World;

/// What is left for cancelled calls to settle once the stream has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Lines that may wait for the writer.
const OUTGOING: usize = 64;

/// How to serve. [`StdioSpec::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct StdioSpec {
    /// Longest line in bytes.
    pub max_line_bytes: usize,
    /// Most requests under way; more are refused at once.
    pub max_requests: usize,
    /// Time between two progress messages.
    pub progress_every: Duration,
    /// Shortest time between two progress messages, however much there is to tell.
    pub news_apart: Duration,
    /// How long a person has to answer a question that is waited for.
    pub confirm_within: Duration,
    /// Time and randomness.
    pub world: Arc<dyn World>,
}

impl StdioSpec {
    /// The defaults.
    #[must_use]
    pub fn new(world: Arc<dyn World>) -> Self {
        Self {
            max_line_bytes: 1024 * 1024,
            max_requests: 256,
            progress_every: Duration::from_secs(5),
            news_apart: Duration::from_millis(250),
            confirm_within: Duration::from_mins(5),
            world,
        }
    }
}

/// The process's own standard input and output, without a blocking thread where both are pipes.
#[must_use]
pub fn process() -> (
    impl AsyncRead + Send + Unpin + 'static,
    impl AsyncWrite + Send + Unpin + 'static,
) {
    rmcp::transport::stdio_pipes()
}

/// Serves until the input ends or `shutdown` fires; either way requests under way get a few seconds to
/// finish, and their answers are written.
///
/// # Errors
/// The streams failed before a client had introduced itself, or its first request was none.
pub async fn serve<R, W>(
    door: Arc<dyn Door>,
    principal: Principal,
    spec: StdioSpec,
    (read, write): (R, W),
    shutdown: CancellationToken,
) -> std::io::Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let replies = Arc::new(Replies::new(spec.max_requests));
    let origin = Origin::Stdio {
        principal: Arc::new(principal),
        replies: {
            let replies = Arc::clone(&replies);
            Arc::new(move |id: &RequestId, call_id: CallId| replies.answered_by(id, call_id))
        },
    };
    let pace = Pace {
        progress: spec.progress_every,
        news: spec.news_apart,
        confirm: spec.confirm_within,
    };
    let end = CancellationToken::new();
    let mcp = Mcp::new(Arc::clone(&door), origin, spec.world, pace, end.clone());
    let calls = mcp.calls().clone();
    let (outgoing, lines) = mpsc::channel(OUTGOING);
    let lines = Lines {
        read: BufReader::new(read),
        line: Vec::new(),
        longest: spec.max_line_bytes,
        discarding: false,
        introduced: false,
        reply: None,
        write: Some(outgoing),
        writer: Some(tokio::spawn(write_lines(write, lines))),
        replies,
        door,
        shutdown,
    };
    match serve_server_with_ct(mcp, lines, CancellationToken::new()).await {
        Ok(running) => {
            if let Err(error) = running.waiting().await {
                tracing::error!(%error, "the stdio service ended badly");
            }
        }
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {}
        Err(error) => return Err(std::io::Error::other(error.to_string())),
    }
    end.cancel();
    calls.idle(LAST_WORDS).await;
    Ok(())
}

/// The requests under way, and which call answers which. Its size is bounded.
#[derive(Debug)]
struct Replies {
    most: usize,
    open: Mutex<HashMap<RequestId, Option<CallId>>>,
}

impl Replies {
    fn new(most: usize) -> Self {
        Self {
            most,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Option<CallId>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: &RequestId) -> Result<(), ErrorData> {
        let mut open = self.lock();
        if open.contains_key(id) {
            return Err(ErrorData::invalid_request(
                "Invalid request: this id is already under way",
                None,
            ));
        }
        if open.len() >= self.most {
            return Err(ErrorData::invalid_request(
                "overloaded: too many requests under way. Wait for an answer, then send this again.",
                None,
            ));
        }
        open.insert(id.clone(), None);
        Ok(())
    }

    fn answered_by(&self, id: &RequestId, call_id: CallId) {
        if let Some(call) = self.lock().get_mut(id) {
            *call = Some(call_id);
        }
    }

    fn end(&self, id: &RequestId) -> Option<CallId> {
        self.lock().remove(id).flatten()
    }
}

/// One line for the writer, and where to say what became of it.
struct Outgoing {
    line: Vec<u8>,
    done: oneshot::Sender<std::io::Result<()>>,
}

/// The one task that writes. A sender may be dropped while it waits; a line that was begun is finished.
async fn write_lines<W: AsyncWrite + Unpin>(mut write: W, mut lines: mpsc::Receiver<Outgoing>) {
    while let Some(Outgoing { line, done }) = lines.recv().await {
        let written = async {
            write.write_all(&line).await?;
            write.flush().await
        };
        let written = written.await;
        let broken = written.is_err();
        let _ = done.send(written);
        if broken {
            return; // what comes later is told that the stream is closed
        }
    }
    let _ = write.shutdown().await;
}

fn outgoing(
    message: &ServerJsonRpcMessage,
) -> std::io::Result<(Outgoing, oneshot::Receiver<std::io::Result<()>>)> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let (done, written) = oneshot::channel();
    Ok((Outgoing { line, done }, written))
}

fn closed<E>(_: E) -> std::io::Error {
    std::io::ErrorKind::NotConnected.into()
}

struct Lines<R> {
    read: BufReader<R>,
    line: Vec<u8>,
    longest: usize,
    /// The rest of a line that was too long is being skipped. Kept here because a read can be dropped
    /// half-way and taken up again.
    discarding: bool,
    /// A request that opens the conversation has passed.
    introduced: bool,
    /// Our answer to a line that went no further.
    reply: Option<Box<ServerJsonRpcMessage>>,
    write: Option<mpsc::Sender<Outgoing>>,
    writer: Option<JoinHandle<()>>,
    replies: Arc<Replies>,
    door: Arc<dyn Door>,
    shutdown: CancellationToken,
}

impl<R: AsyncRead + Send + Unpin + 'static> Transport<RoleServer> for Lines<R> {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = std::io::Result<()>> + Send + 'static {
        let (write, replies, door) = (
            self.write.clone(),
            Arc::clone(&self.replies),
            Arc::clone(&self.door),
        );
        async move {
            let answered = match &message {
                JsonRpcMessage::Response(response) => Some(response.id.clone()),
                JsonRpcMessage::Error(error) => error.id.clone(),
                JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
            };
            let call = answered.and_then(|id| replies.end(&id));
            let (outgoing, written) = outgoing(&message)?;
            let write = write.ok_or(std::io::ErrorKind::NotConnected)?;
            write.send(outgoing).await.map_err(closed)?;
            written.await.map_err(closed)??;
            if let Some(call) = call {
                door.accepted(&call);
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            message = self.next() => message,
        }
    }

    /// Writes what was handed over; a peer that takes nothing is not waited for.
    async fn close(&mut self) -> std::io::Result<()> {
        self.write = None;
        if let Some(mut writer) = self.writer.take()
            && tokio::time::timeout(LAST_WORDS, &mut writer).await.is_err()
        {
            writer.abort();
        }
        Ok(())
    }
}

enum Step {
    /// A whole line is in the buffer.
    Line,
    /// A line was too long and is gone.
    TooLong,
    /// The input ended.
    End,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The next message. Can be dropped at any await and called again: nothing is lost or sent twice.
    async fn next(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            if self.reply.is_some() {
                let room = self.write.as_ref()?.reserve().await.ok()?;
                let (outgoing, _) = outgoing(self.reply.take().as_deref()?).ok()?;
                room.send(outgoing);
            }
            let checked = match self.read_line().await.ok()? {
                Step::End => return None,
                Step::TooLong => Err(refused(
                    "Invalid request: the line is too long. Send less in one call.",
                )),
                Step::Line => {
                    let parsed = parse(self.line.trim_ascii());
                    self.line.clear();
                    parsed
                }
            };
            match checked.and_then(|message| self.admit(message)) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(reply) => self.reply = Some(reply),
            }
        }
    }

    /// Nothing is awaited between taking bytes and marking them as taken, so a dropped read loses none.
    async fn read_line(&mut self) -> std::io::Result<Step> {
        loop {
            let available = self.read.fill_buf().await?;
            if available.is_empty() {
                return Ok(Step::End); // what is left without a line end is not a message
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let (taken, _) = available.split_at(end.map_or(available.len(), |at| at + 1));
            let size = taken.len();
            let was_discarding = self.discarding;
            let too_long = !was_discarding && self.line.len().saturating_add(size) > self.longest;
            if too_long {
                self.line.clear();
            } else if !was_discarding {
                self.line.extend_from_slice(taken);
            }
            self.read.consume(size);
            self.discarding = (was_discarding || too_long) && end.is_none();
            if too_long {
                return Ok(Step::TooLong);
            }
            if end.is_some() && !was_discarding {
                return Ok(Step::Line);
            }
        }
    }

    /// Counts a request in; drops what makes no sense before a client has introduced itself.
    fn admit(
        &mut self,
        message: Option<ClientJsonRpcMessage>,
    ) -> Result<Option<ClientJsonRpcMessage>, Box<ServerJsonRpcMessage>> {
        match &message {
            Some(JsonRpcMessage::Request(request)) => {
                self.replies.begin(&request.id).map_err(|error| {
                    Box::new(ServerJsonRpcMessage::error(error, Some(request.id.clone())))
                })?;
                let probe = matches!(
                    request.request,
                    ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_)
                );
                self.introduced |= !probe;
            }
            Some(_) if !self.introduced => return Ok(None),
            Some(JsonRpcMessage::Notification(notification)) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.replies.end(id); // a cancelled request is not answered
                }
            }
            Some(JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)) | None => {}
        }
        Ok(message)
    }
}

/// One line to one message; nothing for an empty line.
fn parse(line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, Box<ServerJsonRpcMessage>> {
    if line.is_empty() {
        return Ok(None);
    }
    if let Err(excess) = depth::check(line) {
        return Err(refused(excess.message()));
    }
    serde_json::from_slice(line)
        .map(Some)
        .map_err(|error| match error.classify() {
            serde_json::error::Category::Data => malformed(line),
            _ => Box::new(ServerJsonRpcMessage::error(
                ErrorData::parse_error("Parse error: a line holds one JSON-RPC message", None),
                None,
            )),
        })
}

/// JSON, but no message of this protocol: answered under its id, if it has one.
fn malformed(line: &[u8]) -> Box<ServerJsonRpcMessage> {
    let id = serde_json::from_slice::<serde_json::Value>(line)
        .ok()
        .and_then(|value| value.get("id").cloned())
        .and_then(|id| serde_json::from_value(id).ok());
    Box::new(ServerJsonRpcMessage::error(
        ErrorData::invalid_request("Invalid request: not a JSON-RPC message of this protocol", None),
        id,
    ))
}

fn refused(message: &'static str) -> Box<ServerJsonRpcMessage> {
    Box::new(ServerJsonRpcMessage::error(
        ErrorData::invalid_request(message, None),
        None,
    ))
}
