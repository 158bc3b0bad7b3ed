//! From "offered" to "accepted": which answers have left for good.
//!
//! An answer was offered when its record is durable. It was accepted when the operating system took
//! its last byte. The two ends meet here: the handler notes a call in the [`Delivery`] of its
//! exchange, the response body hands it to the connection's [`Ledger`] once its last byte was taken,
//! and the connection reports it when a flush says that nothing is left in our own buffers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Door;
use super::whole::Whole;
use crate::call::CallId;

/// The calls one HTTP exchange answers, and whether anybody still listens.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    calls: Mutex<Vec<CallId>>,
    whole: Mutex<Option<Whole>>,
    gone: CancellationToken,
}

impl Delivery {
    /// Fires when the response is given up before its end: nobody hears the answer.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// This call's answer is in this exchange's response.
    pub(super) fn note(&self, call_id: CallId) {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call_id);
    }

    /// The answer that belongs into this exchange's response.
    pub(super) fn hold(&self, whole: Whole) {
        *self.whole.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole);
    }

    /// See [`Self::hold`].
    pub(super) fn held(&self) -> Option<Whole> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn take(&self) -> Vec<CallId> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers a connection has taken but may still hold in its own buffer.
pub(super) struct Ledger {
    door: Arc<dyn Door>,
    waiting: Mutex<Vec<CallId>>,
}

impl Ledger {
    /// The ledger of one connection.
    pub(super) fn new(door: Arc<dyn Door>) -> Self {
        Self {
            door,
            waiting: Mutex::default(),
        }
    }

    fn taken(&self, calls: Vec<CallId>) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(calls);
    }
}

/// Told when everything a connection took is with the operating system.
pub(crate) trait Flushed: Send + Sync + 'static {
    /// Nothing is left in our own buffers.
    fn flushed(&self);
}

/// For a listener that reports nothing.
impl Flushed for () {
    fn flushed(&self) {}
}

impl Flushed for Ledger {
    fn flushed(&self) {
        let calls = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for call in &calls {
            self.door.accepted(call);
        }
    }
}

/// A response body that knows when it was taken to the end, and holds what the exchange holds.
pub(super) struct Tracked<G: Send + 'static> {
    inner: Body,
    open: Option<Open>,
    held: Option<G>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Takes a body to its end, for nobody.
pub(super) async fn exhaust(mut body: Body) {
    use http_body_util::BodyExt;
    while let Some(Ok(_)) = body.frame().await {}
}

/// An exchange whose answer has not been taken to its end.
struct Open(Arc<Delivery>, Arc<Ledger>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.gone.cancel(); // after the end nobody asks
    }
}

impl<G: Send + 'static> Tracked<G> {
    /// `held` is dropped with the body: a permit, a session in use.
    pub(super) fn new(
        inner: Body,
        delivery: Arc<Delivery>,
        ledger: Arc<Ledger>,
        held: G,
        end: &CancellationToken,
    ) -> Self {
        Self {
            inner,
            open: Some(Open(delivery, ledger)),
            held: Some(held),
            ended: Box::pin(end.clone().cancelled_owned()),
        }
    }

    /// The session has ended: nobody gets the rest of a stream, and what cannot be stopped any more comes to its
    /// end without them. A document was whole while the session stood, and goes out: broken off, it would reach
    /// its reader as a connection without an answer.
    fn cut(&mut self) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let inner = std::mem::take(&mut self.inner);
        let held = (self.open.take(), self.held.take());
        tokio::spawn(async move {
            exhaust(inner).await;
            drop(held);
        });
        Poll::Ready(None)
    }

    fn is_stream(&self) -> bool {
        http_body::Body::size_hint(&self.inner).exact().is_none()
    }

    fn end(&mut self) {
        if let Some(open) = self.open.take() {
            open.1.taken(open.0.take());
        }
    }
}

impl<G: Unpin + Send + 'static> http_body::Body for Tracked<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.open.is_some() && self.is_stream() && self.ended.as_mut().poll(cx).is_ready() {
            return self.cut();
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Ok(_))) if self.inner.is_end_stream() => self.end(),
            Poll::Ready(Some(Err(_))) => self.open = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection that reports accepted answers, and gives up on a peer that takes nothing.
pub(super) struct Line<S, L> {
    inner: S,
    ledger: Arc<L>,
    patience: Duration,
    stalled: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S, L> Line<S, L> {
    /// `patience` bounds how long a single write may make no progress.
    pub(super) fn new(inner: S, ledger: Arc<L>, patience: Duration) -> Self {
        Self {
            inner,
            ledger,
            patience,
            stalled: None,
        }
    }

    /// Turns "not now" into an error once it has lasted too long.
    fn bounded<T>(
        &mut self,
        polled: Poll<std::io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(std::io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin, L: Flushed> AsyncRead for Line<S, L> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin, L: Flushed> AsyncWrite for Line<S, L> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.bounded(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.bounded(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// The HTTP connection flushes its socket only when its own buffer is empty: everything it took
    /// before is then with the operating system.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.ledger.flushed();
        }
        self.bounded(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::transport::tests::door::{Event, Held};

    #[tokio::test]
    async fn a_write_that_makes_no_progress_ends_and_one_that_does_goes_on() {
        let (door, _events) = Held::new();
        let (near, mut far) = tokio::io::duplex(4);
        let ledger = Arc::new(Ledger::new(door));
        let mut line = Line::new(near, ledger, Duration::from_millis(1));
        line.write_all(b"1234").await.unwrap();
        let stuck = line.write_all(b"5").await.unwrap_err();
        assert_eq!(stuck.kind(), std::io::ErrorKind::TimedOut);
        far.read_exact(&mut [0; 4]).await.unwrap();
        line.write_all(b"6").await.unwrap();
    }

    #[tokio::test]
    async fn the_end_of_a_session_cuts_a_stream_and_lets_a_whole_document_out() {
        let (door, _events) = Held::new();
        let ledger = Arc::new(Ledger::new(door));
        let end = CancellationToken::new();
        end.cancel();
        let stream = futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("an event")) });
        for (body, left) in [(Body::from("answer"), "answer"), (Body::from_stream(stream), "")] {
            let body = Tracked::new(body, Arc::default(), Arc::clone(&ledger), (), &end);
            let taken = http_body_util::BodyExt::collect(body).await.unwrap();
            assert_eq!(taken.to_bytes(), left);
        }
    }

    #[tokio::test]
    async fn a_body_is_taken_at_its_end_and_accepted_at_the_next_flush() {
        let (door, mut events) = Held::new();
        let ledger = Arc::new(Ledger::new(door));
        let mut line = Line::new(tokio::io::sink(), Arc::clone(&ledger), Duration::from_secs(60));
        for whole in [true, false] {
            let delivery = Arc::new(Delivery::default());
            let call = CallId::new(u64::from(whole), &[0; 10]);
            delivery.note(call.clone());
            let end = CancellationToken::new();
            let mut body = Tracked::new(Body::from("answer"), delivery, Arc::clone(&ledger), (), &end);
            if whole {
                http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
            }
            drop(body);
            assert!(events.try_recv().is_err(), "not before the flush");
            line.flush().await.unwrap();
            match events.try_recv() {
                Ok(Event::Accepted(accepted)) => assert!(whole && accepted == call),
                _ => assert!(!whole),
            }
            line.flush().await.unwrap();
            assert!(events.try_recv().is_err(), "once");
        }
    }
}
