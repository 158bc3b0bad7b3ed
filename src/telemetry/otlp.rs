//! Traces and logs by OTLP (protocol buffers over HTTP) to a collector of the operator's.
//!
//! A trace is one request of a client: its span and, inside, one for each stage of the call. What they carry is chosen
//! here, name by name, and nothing is passed through: no argument, no statement, no row, no name of a person, no word a
//! caller chose (a tool's name is told once it was a tool's). A log line is what standard error gets, through the same
//! mask.
//!
//! Nothing here can hold up a call. What is told goes into a queue with a fixed number of places; when it is full it is
//! dropped and counted. Whether a trace is kept is decided by our own randomness: a client's `sampled` flag is not
//! looked at, and its trace id decides nothing.

mod sender;
mod wire;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::{LineMask, STAGES, one_line};
use crate::clock::World;
use crate::config::telemetry::{Incoming, Telemetry};
use crate::transport::REQUEST;
pub use sender::{Parts, Sender};
use wire::{Kind, Line, Span, SpanId, TraceId};

/// Places in the queue.
const QUEUE: usize = 4_096;
/// The longest log line that is sent, in bytes.
const LINE_MAX: usize = 8 * 1024;
/// Of a millisecond.
const NANOS: u64 = 1_000_000;

/// Traces or logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log lines.
    Logs,
}

/// Why a record was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The queue was full.
    Queue,
    /// The collector did not want it.
    Refused,
    /// The collector could not be reached, or said so again and again that it cannot take it now.
    Unreachable,
    /// The server stopped before it was sent.
    Stopped,
}

/// The signals and reasons, with their words in metrics.
pub const SIGNALS: [(Signal, &str); 2] = [(Signal::Traces, "traces"), (Signal::Logs, "logs")];
/// See [`SIGNALS`].
pub const REASONS: [(Dropped, &str); 4] = [
    (Dropped::Queue, "queue_full"),
    (Dropped::Refused, "refused"),
    (Dropped::Unreachable, "unreachable"),
    (Dropped::Stopped, "stopped"),
];

/// The layer; silent until [`Otlp::start`]. Clones are the same one.
#[derive(Clone)]
pub struct Otlp(Arc<Shared>);

struct Shared {
    world: Arc<dyn World>,
    mask: LineMask,
    live: OnceLock<Live>,
    counts: Counts,
}

/// What is told, once it is known where to.
struct Live {
    queue: mpsc::Sender<Item>,
    percent: u8,
    incoming: Incoming,
    traces: bool,
    logs: bool,
}

/// One record on its way.
enum Item {
    Span(Span),
    Line(Line),
}

/// By [`SIGNALS`], and by [`SIGNALS`] and [`REASONS`].
#[derive(Default)]
struct Counts {
    sent: [AtomicU64; 2],
    dropped: [[AtomicU64; 4]; 2],
}

impl Counts {
    fn sent(&self, signal: Signal, count: u64) {
        if let Some(counter) = self.sent.get(signal as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn dropped(&self, signal: Signal, why: Dropped, count: u64) {
        let of_signal = self.dropped.get(signal as usize);
        if let Some(counter) = of_signal.and_then(|reasons| reasons.get(why as usize)) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Otlp {
    /// A layer that tells nothing yet. `mask` is what log lines pass.
    #[must_use]
    pub fn new(world: Arc<dyn World>, mask: LineMask) -> Self {
        Self(Arc::new(Shared {
            world,
            mask,
            live: OnceLock::new(),
            counts: Counts::default(),
        }))
    }

    /// Begins to tell; what comes of it has to be run. `None` when it runs already.
    #[must_use]
    pub fn start(&self, config: &Telemetry, parts: Parts) -> Option<Sender> {
        let (queue, told) = mpsc::channel(QUEUE);
        let live = Live {
            queue,
            percent: config.sample_percent,
            incoming: config.traceparent,
            traces: config.traces,
            logs: config.logs,
        };
        self.0.live.set(live).ok()?;
        Some(Sender::new(config, parts, told, self.clone()))
    }

    /// Whether anything is told.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.live.get().is_some()
    }

    /// Records a collector took.
    #[must_use]
    pub fn sent(&self, signal: Signal) -> u64 {
        let counter = self.0.counts.sent.get(signal as usize);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Records that were dropped.
    #[must_use]
    pub fn dropped(&self, signal: Signal, why: Dropped) -> u64 {
        let of_signal = self.0.counts.dropped.get(signal as usize);
        let counter = of_signal.and_then(|reasons| reasons.get(why as usize));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// What of spans is looked at.
    pub(super) fn wants(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && (metadata.target() == REQUEST || STAGES.contains(&metadata.name()))
    }

    fn push(&self, live: &Live, signal: Signal, item: Item) {
        if live.queue.try_send(item).is_err() {
            self.0.counts.dropped(signal, Dropped::Queue, 1);
        }
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.world.random(&mut bytes);
        bytes
    }

    fn root(&self, live: &Live, fields: Fields) -> Option<Open> {
        let draw = u32::from_be_bytes(self.random()) % 100;
        if draw >= u32::from(live.percent) {
            return None;
        }
        let theirs = fields.traceparent.as_deref().and_then(traceparent);
        let theirs = theirs.filter(|_| live.incoming != Incoming::Ignore);
        let joined = theirs.filter(|_| live.incoming == Incoming::Parent);
        Some(Open {
            trace: joined.map_or_else(|| self.random(), |(trace, _)| trace),
            id: self.random(),
            parent: joined.map(|(_, span)| span),
            link: theirs.filter(|_| joined.is_none()),
            began: self.0.world.now().0.saturating_mul(NANOS),
            monotonic: self.0.world.monotonic(),
            opened: self.0.world.monotonic(),
            fields: Some(fields),
        })
    }

    fn inside(&self, outer: &Inherited) -> Open {
        Open {
            trace: outer.trace,
            id: self.random(),
            parent: Some(outer.id),
            link: None,
            began: outer.began,
            monotonic: outer.monotonic,
            opened: self.0.world.monotonic(),
            fields: None,
        }
    }

    fn ended(&self, open: Open, name: &'static str) -> Span {
        let start = open.at(open.opened);
        let end = open.at(self.0.world.monotonic()).max(start);
        let mut attributes = Vec::new();
        let mut is_error = false;
        let mut shown = name.to_owned();
        let kind = if open.fields.is_some() {
            Kind::Server
        } else {
            Kind::Internal
        };
        if let Some(fields) = open.fields {
            "tools/call".clone_into(&mut shown);
            attributes.push(("mcp.method.name", "tools/call".to_owned()));
            attributes.push(("gen_ai.operation.name", "execute_tool".to_owned()));
            let mut text = |key, value: Option<String>| {
                attributes.extend(value.map(|value| (key, value)));
            };
            if let Some(tool) = &fields.tool {
                let _ = write!(shown, " {tool}");
            }
            is_error = fields.code.is_some();
            text("gen_ai.tool.name", fields.tool);
            text("mcp.session.id", fields.session);
            text("network.transport", fields.transport);
            text("tollgate.call.id", fields.call_id);
            text("tollgate.outcome", fields.outcome);
            text("error.type", fields.code);
            attributes.extend(fields.request.map(|id| ("jsonrpc.request.id", id.to_string())));
        }
        Span {
            trace: open.trace,
            id: open.id,
            parent: open.parent,
            link: open.link,
            name: shown,
            kind,
            start,
            end,
            attributes,
            is_error,
        }
    }
}

/// A span that has not ended.
struct Open {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    link: Option<(TraceId, SpanId)>,
    /// When the request began, by the clock on the wall and by one that never jumps.
    began: u64,
    monotonic: Duration,
    /// When this began, by the latter.
    opened: Duration,
    /// Of a request.
    fields: Option<Fields>,
}

/// What a stage has of the span around it.
struct Inherited {
    trace: TraceId,
    id: SpanId,
    began: u64,
    monotonic: Duration,
}

impl Open {
    /// Unix nanoseconds of a moment.
    fn at(&self, moment: Duration) -> u64 {
        let since = moment.saturating_sub(self.monotonic).as_nanos();
        self.began
            .saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// What a request's span says of itself; anything else is passed over.
#[derive(Default)]
struct Fields {
    traceparent: Option<String>,
    call_id: Option<String>,
    session: Option<String>,
    transport: Option<String>,
    /// Only where it is a number: a text could be anything.
    request: Option<i64>,
    tool: Option<String>,
    outcome: Option<String>,
    code: Option<String>,
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "request" {
            self.request = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let place = match field.name() {
            "traceparent" => &mut self.traceparent,
            "call_id" => &mut self.call_id,
            "session" => &mut self.session,
            "transport" => &mut self.transport,
            "tool" => &mut self.tool,
            "outcome" => &mut self.outcome,
            "code" => &mut self.code,
            _ => return,
        };
        *place = Some(value.to_owned());
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Reads a W3C `traceparent` (version 00, or a later one by its first four parts). Anything else is as none.
fn traceparent(text: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let fits = version.len() == 2 && flags.len() == 2 && lower(version) && lower(flags);
    if !fits || version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
    (trace != [0; 16] && span != [0; 8]).then_some((trace, span))
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut all = [0; N];
    let digits: Vec<u8> = hex
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        })
        .collect::<Option<_>>()?;
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in all.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    Some(all)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Otlp {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(live) = self.0.live.get().filter(|live| live.traces) else {
            return;
        };
        let metadata = attributes.metadata();
        let Some(span) = context.span(id).filter(|_| Self::wants(metadata)) else {
            return;
        };
        let open = if metadata.target() == REQUEST {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            self.root(live, fields)
        } else {
            span.parent()
                .and_then(|parent| outer(parent.scope()))
                .map(|outer| self.inside(&outer))
        };
        if let Some(open) = open {
            span.extensions_mut().insert(open);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(fields) = extensions.get_mut::<Open>().and_then(|open| open.fields.as_mut()) {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let Some(live) = self.0.live.get().filter(|live| live.logs) else {
            return;
        };
        let metadata = event.metadata();
        if metadata.target().starts_with("tollgate::telemetry") {
            return; // that a collector does not answer is not told to that collector
        }
        let mut words = Words::default();
        event.record(&mut words);
        let masked = (self.0.mask)(&words.0);
        let mut body = one_line(&masked).into_owned();
        while body.len() > LINE_MAX {
            body.pop();
        }
        let within = context.event_span(event).and_then(|span| outer(span.scope()));
        let (severity, level) = severity(*metadata.level());
        let line = Line {
            at: self.0.world.now().0.saturating_mul(NANOS),
            severity,
            level,
            body,
            target: metadata.target(),
            within: within.map(|outer| (outer.trace, outer.id)),
        };
        self.push(live, Signal::Logs, Item::Line(line));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let (Some(live), Some(span)) = (self.0.live.get(), context.span(&id)) else {
            return;
        };
        let open = span.extensions_mut().remove::<Open>();
        if let Some(open) = open {
            let ended = self.ended(open, span.name());
            self.push(live, Signal::Traces, Item::Span(ended));
        }
    }
}

/// The innermost of these spans that is told.
fn outer<'a, S: Subscriber + LookupSpan<'a>>(
    scope: tracing_subscriber::registry::Scope<'a, S>,
) -> Option<Inherited> {
    scope.into_iter().find_map(|span| {
        let extensions = span.extensions();
        extensions.get::<Open>().map(|open| Inherited {
            trace: open.trace,
            id: open.id,
            began: open.began,
            monotonic: open.monotonic,
        })
    })
}

fn severity(level: Level) -> (u8, &'static str) {
    match level {
        Level::ERROR => (17, "ERROR"),
        Level::WARN => (13, "WARN"),
        Level::INFO => (9, "INFO"),
        Level::DEBUG => (5, "DEBUG"),
        Level::TRACE => (1, "TRACE"),
    }
}

/// An event's words, as a line for people has them.
#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.0, "{gap}{value:?}"),
            name => write!(self.0, "{gap}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests;
