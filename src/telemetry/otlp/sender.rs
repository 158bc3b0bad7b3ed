//! From the queue to the collector: in batches, with bounds on everything.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Dropped, Item, Otlp, Signal, wire};
use crate::config::telemetry::Telemetry;

/// Most records of one request.
const BATCH: usize = 512;
/// How long a batch may fill.
const LINGER: Duration = Duration::from_secs(1);
/// How long a collector has to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a batch is offered.
const TRIES: u32 = 4;
/// Longest pause between two tries, whatever the collector asks for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the rest may take when the server stops.
const FLUSH: Duration = Duration::from_secs(5);
/// Most of an answer that is read, in bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// What sending needs from the outside.
#[derive(Debug)]
pub struct Parts {
    /// Follows no redirect and no proxy of the environment.
    pub http: reqwest::Client,
    /// What every request carries; their values are secrets.
    pub headers: HeaderMap,
}

/// Sends what is told; to be run beside the server.
pub struct Sender {
    parts: Parts,
    traces: Url,
    logs: Url,
    resource: BTreeMap<String, String>,
    queue: mpsc::Receiver<Item>,
    otlp: Otlp,
    /// Whether the last batch was taken; told when it changes.
    is_well: bool,
    /// Records of the request under way.
    under_way: Option<(Signal, u64)>,
    /// See [`FLUSH`].
    flush_within: Duration,
}

/// How one try went.
enum Tried {
    /// So many records were not taken all the same.
    Taken(u64),
    /// It will not be taken.
    Refused(String),
    /// Later perhaps.
    Later(String, Option<Duration>),
}

impl Sender {
    pub(super) fn new(config: &Telemetry, parts: Parts, queue: mpsc::Receiver<Item>, otlp: Otlp) -> Self {
        let mut resource = config.attributes.clone();
        let mut own = |key: &str, value: &str| {
            resource.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        };
        own("service.name", "tollgate");
        own("service.version", env!("CARGO_PKG_VERSION"));
        Self {
            parts,
            traces: config.url("v1/traces"),
            logs: config.url("v1/logs"),
            resource,
            queue,
            otlp,
            is_well: true,
            under_way: None,
            flush_within: FLUSH,
        }
    }

    /// The same, with other patience at the end.
    #[cfg(test)]
    pub(super) fn flushing(mut self, within: Duration) -> Self {
        self.flush_within = within;
        self
    }

    /// What is told next, without sending it.
    #[cfg(test)]
    pub(super) fn next_told(&mut self) -> Option<Item> {
        self.queue.try_recv().ok()
    }

    /// Sends until `end`, and then what is left, for at most a few seconds.
    pub async fn run(mut self, end: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = end.cancelled() => break,
                got = self.queue.recv_many(&mut batch, BATCH) => if got == 0 { break },
            }
            let fill = async {
                loop {
                    let room = BATCH - batch.len();
                    if room == 0 || self.queue.recv_many(&mut batch, room).await == 0 {
                        break;
                    }
                }
            };
            tokio::select! {
                () = end.cancelled() => {}
                _ = tokio::time::timeout(LINGER, fill) => {}
            }
            let patience = self.flush_within;
            let late = async {
                end.cancelled().await;
                tokio::time::sleep(patience).await;
            };
            tokio::select! {
                () = self.send(&mut batch, &end) => {}
                () = late => break,
            }
        }
        let _ = tokio::time::timeout(self.flush_within, self.flush(&end)).await;
        if let Some((signal, count)) = self.under_way.take() {
            self.otlp.0.counts.dropped(signal, Dropped::Stopped, count);
        }
        self.queue.close();
        while let Ok(item) = self.queue.try_recv() {
            let signal = match item {
                Item::Span(_) => Signal::Traces,
                Item::Line(_) => Signal::Logs,
            };
            self.otlp.0.counts.dropped(signal, Dropped::Stopped, 1);
        }
    }

    async fn flush(&mut self, end: &CancellationToken) {
        let mut batch = Vec::new();
        loop {
            while batch.len() < BATCH
                && let Ok(item) = self.queue.try_recv()
            {
                batch.push(item);
            }
            if batch.is_empty() {
                return;
            }
            self.send(&mut batch, end).await;
        }
    }

    async fn send(&mut self, batch: &mut Vec<Item>, end: &CancellationToken) {
        let (mut spans, mut lines) = (Vec::new(), Vec::new());
        for item in batch.drain(..) {
            match item {
                Item::Span(span) => spans.push(span),
                Item::Line(line) => lines.push(line),
            }
        }
        if !spans.is_empty() {
            let body = wire::traces(&self.resource, &spans);
            let url = self.traces.clone();
            self.deliver(Signal::Traces, &url, body, spans.len() as u64, end)
                .await;
        }
        if !lines.is_empty() {
            let body = wire::logs(&self.resource, &lines);
            let url = self.logs.clone();
            self.deliver(Signal::Logs, &url, body, lines.len() as u64, end)
                .await;
        }
    }

    /// Offers a request until it is taken, refused, or has been offered often enough. Meanwhile the queue fills, and
    /// what does not fit is dropped.
    async fn deliver(
        &mut self,
        signal: Signal,
        url: &Url,
        body: Vec<u8>,
        count: u64,
        end: &CancellationToken,
    ) {
        let mut pause = Duration::from_secs(1);
        let mut tries = 0;
        self.under_way = Some((signal, count));
        let counts = self.otlp.0.clone();
        let counts = &counts.counts;
        loop {
            tries += 1;
            match self.offer(url, body.clone()).await {
                Tried::Taken(rejected) => {
                    let rejected = rejected.min(count);
                    counts.sent(signal, count - rejected);
                    counts.dropped(signal, Dropped::Refused, rejected);
                    return self.is_now(true, "");
                }
                Tried::Refused(why) => {
                    counts.dropped(signal, Dropped::Refused, count);
                    return self.is_now(false, &why);
                }
                Tried::Later(why, _) if tries >= TRIES || end.is_cancelled() => {
                    counts.dropped(signal, Dropped::Unreachable, count);
                    return self.is_now(false, &why);
                }
                Tried::Later(_, asked) => {
                    let wait = asked.unwrap_or(pause).min(PAUSE_MAX);
                    pause *= 2;
                    tokio::select! {
                        () = end.cancelled() => {} // one more try, and then the end
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    async fn offer(&self, url: &Url, body: Vec<u8>) -> Tried {
        let request = self.parts.http.post(url.clone()).timeout(PATIENCE);
        let request = request.headers(self.parts.headers.clone());
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let mut response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => return Tried::Later(error.without_url().to_string(), None),
        };
        let status = response.status();
        if status.is_success() {
            let mut answer = Vec::new();
            while let Ok(Some(chunk)) = response.chunk().await {
                answer.extend_from_slice(&chunk);
                if answer.len() > ANSWER_MAX {
                    break;
                }
            }
            return Tried::Taken(wire::rejected(&answer));
        }
        let why = format!("it answers {}", status.as_u16());
        let later = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        if later.contains(&status) {
            let after = response.headers().get(RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Tried::Later(why, after.map(Duration::from_secs));
        }
        Tried::Refused(why)
    }

    fn is_now(&mut self, well: bool, why: &str) {
        self.under_way = None;
        if self.is_well == well {
            return;
        }
        self.is_well = well;
        if well {
            tracing::info!("the OTLP collector takes records again");
        } else {
            tracing::warn!(
                "the OTLP collector does not take records: {why}; what is dropped is counted in the metrics"
            );
        }
    }
}
