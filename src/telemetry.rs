//! Logs and stage latencies.
//!
//! Logs go to standard error alone: standard output is the protocol channel of `tollgate stdio`. Every
//! event passes a masking function as one piece before it is written, so that a secret that spans lines
//! is still one secret. Libraries are heard up to `info`: below that they write what they carry.

pub mod exposition;
#[cfg(feature = "otlp")]
pub mod otlp;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tracing::span::{Attributes, Id};
use tracing::{Level, Metadata, Subscriber};
#[cfg(feature = "otlp")]
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::call::is_unseen;
use crate::clock::World;
use crate::transport::REQUEST;

/// Masks one log event; given by whoever builds the masking engine.
pub type LineMask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How to log.
pub struct Options {
    /// Directives as in `info,tollgate::audit=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: Format,
    /// Whether lines for people are coloured.
    pub color: bool,
    /// What every line passes through.
    pub mask: LineMask,
    /// What of the calls is measured.
    pub seen: Seen,
}

/// What of the calls is measured, for whoever tells it. Clones share their counts.
#[derive(Clone, Default)]
pub struct Seen {
    /// Times the stages of each call when given.
    pub stages: Option<StageTimes>,
    /// Tells traces and log lines to a collector when given.
    #[cfg(feature = "otlp")]
    pub otlp: Option<otlp::Otlp>,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directives are not understood.
    #[error(
        "`{0}` is not a log level: write error, warn, info, debug or trace, or e.g. info,tollgate::audit=debug"
    )]
    Filter(String),
    /// It is set up already in this process.
    #[error("logging is already set up in this process")]
    Twice,
}

/// Sets up logging for the process, and a panic hook that names the place of a panic but not its words:
/// these can carry a value.
///
/// # Errors
/// [`TelemetryError`].
pub fn start(options: Options) -> Result<(), TelemetryError> {
    let filter = directives(&options.filter)?;
    let sink = Masked::new(options.mask, |bytes: &[u8]| {
        // Nobody is left to tell when standard error is gone.
        let _ = io::stderr().lock().write_all(bytes);
    });
    let seen = options.seen;
    let stages = seen.stages.map(|stages| stages.with_filter(filter_fn(is_stage)));
    let registry = tracing_subscriber::registry().with(stages);
    #[cfg(feature = "otlp")]
    let registry = registry.with(match seen.otlp {
        None => None,
        Some(layer) => {
            // The same lines as standard error gets, and of spans those that are told.
            let lines = directives(&options.filter)?
                .and(filter_fn(|metadata| metadata.is_event() && may_speak(metadata)));
            Some(layer.with_filter(lines.or(filter_fn(otlp::Otlp::wants))))
        }
    });
    let line = tracing_subscriber::fmt::layer()
        .with_writer(sink)
        .with_target(true);
    let started = match options.format {
        Format::Text => registry
            .with(
                line.with_ansi(options.color)
                    .with_filter(filter)
                    .with_filter(filter_fn(may_speak)),
            )
            .try_init(),
        Format::Json => registry
            .with(line.json().with_filter(filter).with_filter(filter_fn(may_speak)))
            .try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
    Ok(())
}

/// What the MCP library warns of (a call of an unknown tool, a malformed message) is answered and, where
/// it matters, on record. Its own lines would only alarm; `rmcp=warn` brings them back.
const QUIET: &str = "rmcp=error";

/// Reads log directives. A word alone must be a level: `EnvFilter` would take `inof` for the name of a
/// module and then say nothing at all.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub fn directives(text: &str) -> Result<EnvFilter, TelemetryError> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let known = text.split(',').all(|directive| {
        let level = directive.rsplit('=').next().unwrap_or_default();
        levels.contains(&level.trim().to_ascii_lowercase().as_str())
    });
    let wrong = || TelemetryError::Filter(text.to_owned());
    if !known {
        return Err(wrong());
    }
    let quiet = if text.trim().eq_ignore_ascii_case("off") {
        text.to_owned()
    } else {
        format!("{QUIET},{text}") // what is named later wins
    };
    EnvFilter::builder().parse(quiet).map_err(|_| wrong())
}

/// Whether an event of this level may come from this target at all.
fn may_speak(metadata: &Metadata<'_>) -> bool {
    if metadata.target() == REQUEST {
        return false; // its fields are for a collector alone
    }
    let ours = metadata.target() == "tollgate" || metadata.target().starts_with("tollgate::");
    ours || *metadata.level() <= Level::INFO
}

/// A writer that masks what is written to it, event by event.
struct Masked<W> {
    mask: LineMask,
    write: Arc<W>,
}

impl<W: Fn(&[u8])> Masked<W> {
    fn new(mask: LineMask, write: W) -> Self {
        Self {
            mask,
            write: Arc::new(write),
        }
    }
}

impl<'a, W: Fn(&[u8]) + 'a> MakeWriter<'a> for Masked<W> {
    type Writer = Event<W>;

    fn make_writer(&'a self) -> Self::Writer {
        Event {
            bytes: Vec::new(),
            mask: Arc::clone(&self.mask),
            write: Arc::clone(&self.write),
        }
    }
}

/// One event: collected whole, written when dropped.
struct Event<W: Fn(&[u8])> {
    bytes: Vec<u8>,
    mask: LineMask,
    write: Arc<W>,
}

impl<W: Fn(&[u8])> Write for Event<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Fn(&[u8])> Drop for Event<W> {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&self.bytes);
        let masked = (self.mask)(text.trim_end_matches('\n'));
        let mut line = one_line(&masked).into_owned();
        line.push('\n');
        (self.write)(line.as_bytes());
    }
}

/// Makes line breaks and other characters that act on a screen visible, so that no value can forge a
/// second log line or hide a part of its own. Written as JSON writes them, so that a JSON line stays
/// one. What only sets a colour passes: the formatter writes its own colours into the line, and it
/// does not escape the values it is given with `%`.
fn one_line(text: &str) -> Cow<'_, str> {
    let acts = |c: char| is_unseen(c) && c != '\t';
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let size = colour(rest).unwrap_or(c.len_utf8());
        let (this, after) = rest.split_at(size);
        rest = after;
        match c {
            _ if size > c.len_utf8() || !acts(c) => out.push_str(this),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(out)
}

/// The length of the sequence at the start of a text that sets nothing but a colour or a weight
/// (ECMA-48 SGR 0 to 4 and 30 to 37); concealed text, for one, is not among them.
fn colour(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let (parameters, rest) = rest.split_at(end);
    let plain = |one: &str| matches!(one.parse::<u8>(), Ok(0..=4 | 30..=37));
    (rest.starts_with('m') && parameters.split(';').all(plain)).then_some(end + 3)
}

/// The names of the spans that are timed: the stages of `gate`, in the order of a call.
pub const STAGES: [&str; 13] = [
    "call",
    "identity",
    "seat",
    "tool",
    "inspect",
    "guard",
    "intent",
    "policy",
    "approval",
    "resource",
    "mask",
    "settle",
    "transport",
];

fn is_stage(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && STAGES.contains(&metadata.name())
}

/// How long each stage takes: a [`Layer`] that counts the lifetimes of the spans named in [`STAGES`].
///
/// Clones share their counts. A stage costs 5 KiB and counting takes no lock.
#[derive(Clone)]
pub struct StageTimes {
    world: Arc<dyn World>,
    stages: Arc<[Histogram; STAGES.len()]>,
}

/// The durations of one stage, in microseconds. Quantiles are exact up to 16 µs and then at most 1/16 high.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: &'static str,
    /// Spans closed.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// Half took no longer.
    pub median: u64,
    /// 99 in 100 took no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// When a span was opened.
struct Opened(Duration);

impl StageTimes {
    /// Starts with empty counts.
    #[must_use]
    pub fn new(world: Arc<dyn World>) -> Self {
        Self {
            world,
            stages: Arc::new(std::array::from_fn(|_| Histogram::default())),
        }
    }

    /// Of each stage that ran: how many took at most so many seconds, and about how many all took together.
    pub fn tell(&self, mut told: impl FnMut(&'static str, Vec<(f64, u64)>, f64)) {
        for (stage, histogram) in STAGES.iter().zip(self.stages.iter()) {
            let (buckets, sum) = histogram.cumulative();
            if buckets.last().is_some_and(|(_, count)| *count > 0) {
                told(stage, buckets, sum);
            }
        }
    }

    /// The stages that ran, in the order of a call. Counts go on while this is taken.
    #[must_use]
    pub fn snapshot(&self) -> Vec<StageTime> {
        let times = STAGES.iter().zip(self.stages.iter());
        times
            .filter_map(|(stage, histogram)| histogram.summary(stage))
            .collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for StageTimes {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Opened(self.world.monotonic()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(index) = STAGES.iter().position(|stage| *stage == span.name()) else {
            return;
        };
        if let (Some(Opened(at)), Some(histogram)) =
            (span.extensions().get::<Opened>(), self.stages.get(index))
        {
            let lasted = self.world.monotonic().saturating_sub(*at).as_micros();
            histogram.count(u64::try_from(lasted).unwrap_or(u64::MAX));
        }
    }
}

/// Sub-buckets per power of two: the relative error of a quantile is one over this.
const FINE: u64 = 16;
/// Up to 2^40 µs, twelve days.
const BUCKETS: usize = 16 * 38;

/// A log-linear histogram.
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    fn count(&self, value: u64) {
        self.min.fetch_min(value, Ordering::Relaxed);
        self.max.fetch_max(value, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(bucket_of(value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts up to and including each power of two between 64 µs and 134 s, and all of them; and the sum of the
    /// upper bounds of all values, in seconds.
    fn cumulative(&self) -> (Vec<(f64, u64)>, f64) {
        let (mut below, mut sum, mut bounds) = (0, 0.0, Vec::new());
        let mut next = 6;
        for (bucket, count) in self.buckets.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            below += count;
            sum += count as f64 * upper_bound(bucket) as f64 / 1e6;
            if next <= 27 && upper_bound(bucket) + 1 == 1 << next {
                bounds.push(((1_u64 << next) as f64 / 1e6, below));
                next += 1;
            }
        }
        bounds.push((f64::INFINITY, below));
        (bounds, sum)
    }

    fn summary(&self, stage: &'static str) -> Option<StageTime> {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        let count: u64 = counts.iter().sum();
        let max = self.max.load(Ordering::Relaxed);
        (count > 0).then(|| StageTime {
            stage,
            count,
            min: self.min.load(Ordering::Relaxed),
            median: quantile(&counts, count.div_ceil(2)).min(max),
            p99: quantile(&counts, (count * 99).div_ceil(100)).min(max),
            max,
        })
    }
}

/// Values below [`FINE`] have their own bucket; above, the four bits after the leading one choose it.
fn bucket_of(value: u64) -> usize {
    let bucket = if value < FINE {
        value
    } else {
        let exponent = u64::from(value.ilog2()) - 4;
        FINE * exponent + (value >> exponent)
    };
    usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let exponent = bucket / FINE - 1;
    let lead = bucket - FINE * exponent;
    ((lead + 1) << exponent) - 1
}

/// The upper bound of the bucket that holds the value of that rank, counted from 1.
fn quantile(counts: &[u64], rank: u64) -> u64 {
    let mut below = 0;
    for (bucket, count) in counts.iter().enumerate() {
        below += count;
        if below >= rank {
            return upper_bound(bucket);
        }
    }
    u64::MAX
}

#[cfg(test)]
mod tests;
