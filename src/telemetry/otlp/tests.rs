use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
use url::Url;

use super::*;
use crate::clock::Timestamp;

const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A clock that stands still, and bytes that never repeat.
#[derive(Debug, Default)]
struct Still(AtomicU64);

impl World for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_000_000_000)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
    fn random(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed);
        for (byte, value) in buffer
            .iter_mut()
            .rev()
            .zip(next.to_le_bytes().into_iter().chain([7; 64]))
        {
            *byte = value;
        }
    }
}

fn config(percent: u8, incoming: Incoming) -> Telemetry {
    Telemetry {
        endpoint: Url::parse("http://127.0.0.1:9/base/").unwrap(),
        headers: BTreeMap::new(),
        attributes: BTreeMap::new(),
        sample_percent: percent,
        traceparent: incoming,
        traces: true,
        logs: true,
    }
}

fn layer() -> Otlp {
    Otlp::new(
        Arc::new(Still::default()),
        Arc::new(|line: &str| line.replace("hunter2", "[masked]")),
    )
}

fn parts() -> Parts {
    Parts {
        http: crate::app::http_client().unwrap(),
        headers: http::HeaderMap::new(),
    }
}

fn request() {
    let span = tracing::debug_span!(
        target: REQUEST,
        parent: None,
        "request",
        call_id = "c1",
        traceparent = THEIRS,
        request = 7_i64,
        tool = tracing::field::Empty,
        secret = "hunter2",
    );
    let inside = span.enter();
    let call = tracing::debug_span!("call").entered();
    drop(tracing::debug_span!("policy"));
    tracing::info!(target: "tollgate::gate", value = "hunter2", "a line\nof two");
    drop(call);
    drop(inside);
    span.record("tool", "sql_query");
}

/// What is told of a request, innermost first, and the line in it.
fn told(config: &Telemetry) -> (Vec<Span>, Vec<Line>) {
    let otlp = layer();
    let mut sender = otlp.start(config, parts()).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(otlp), request);
    let (mut spans, mut lines) = (Vec::new(), Vec::new());
    while let Some(item) = sender.next_told() {
        match item {
            Item::Span(span) => spans.push(span),
            Item::Line(line) => lines.push(line),
        }
    }
    (spans, lines)
}

#[test]
fn stages_nest_in_the_request_and_say_nothing_that_was_not_chosen() {
    let (spans, lines) = told(&config(100, Incoming::Link));
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["policy", "call", "tools/call sql_query"]);
    assert_eq!(spans[0].parent, Some(spans[1].id));
    assert_eq!(spans[1].parent, Some(spans[2].id));
    assert_eq!(spans[2].parent, None);
    assert!(
        spans
            .iter()
            .all(|span| span.trace == spans[2].trace && span.start <= span.end)
    );
    let (trace, id) = spans[2].link.unwrap();
    assert_eq!((trace[0], trace[15], id[0]), (0x0a, 0x9c, 0xb7));
    assert_ne!(trace, spans[2].trace);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].body, "a line\\nof two value=\"[masked]\"");
    assert_eq!(lines[0].within, Some((spans[2].trace, spans[1].id)));
    assert!(!format!("{spans:?}{lines:?}").contains("hunter2"));
}

#[test]
fn a_client_may_be_joined_and_cannot_choose_what_is_kept() {
    let (spans, _) = told(&config(100, Incoming::Parent));
    assert_eq!((spans[2].trace[0], spans[2].parent.unwrap()[7]), (0x0a, 0x31));
    let (spans, _) = told(&config(100, Incoming::Ignore));
    assert_eq!((spans[2].link, spans[2].parent), (None, None));
    let (spans, lines) = told(&config(0, Incoming::Parent));
    assert_eq!(
        (spans.len(), lines.len()),
        (0, 1),
        "its `sampled` flag is not looked at"
    );
    let mut silent = config(100, Incoming::Link);
    (silent.traces, silent.logs) = (false, false);
    let (spans, lines) = told(&silent);
    assert_eq!((spans.len(), lines.len()), (0, 0));
}

#[test]
fn only_a_whole_traceparent_is_one() {
    assert!(traceparent(THEIRS).is_some());
    let later = THEIRS.replacen("00", "cc", 1);
    assert!(traceparent(&later).is_some() && traceparent(&format!("{later}-more")).is_some());
    for bad in [
        "",
        "00",
        "00---",
        &format!("{THEIRS}-more"),
        &THEIRS.replacen("00", "ff", 1),
        &THEIRS.to_uppercase(),
        &THEIRS.replace("0af7", "0afg"),
        &THEIRS.replace("0af7", "0af"),
        &THEIRS.replace("b7ad6b7169203331", "0000000000000000"),
        &THEIRS.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        &THEIRS.replace("-01", "-é"),
        &THEIRS.replace("0af7", "\u{661}\u{662}"),
    ] {
        assert_eq!(traceparent(bad), None, "{bad}");
    }
}

#[test]
fn a_full_queue_drops_and_counts_and_holds_nobody_up() {
    let otlp = layer();
    let _sender = otlp.start(&config(100, Incoming::Link), parts()).unwrap();
    assert!(otlp.start(&config(100, Incoming::Link), parts()).is_none());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(otlp.clone()), || {
        for _ in 0..QUEUE + 10 {
            tracing::info!(target: "tollgate::gate", "a line");
        }
    });
    assert_eq!(otlp.dropped(Signal::Logs, Dropped::Queue), 10);
}

/// A collector that gives these answers, one for each connection, and then no more.
async fn collector(answers: Vec<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
                let read = stream.read(&mut buffer).await.unwrap();
                seen.extend_from_slice(&buffer[..read]);
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        }
    });
    address
}

/// Sends one line to a collector that gives these answers.
async fn sent(answers: Vec<&'static str>, is_ending: bool) -> Otlp {
    let address = collector(answers).await;
    let mut config = config(100, Incoming::Link);
    config.endpoint = Url::parse(&format!("http://{address}")).unwrap();
    let otlp = layer();
    let sender = otlp.start(&config, parts()).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(otlp.clone()), || {
        tracing::info!(target: "tollgate::gate", "a line");
    });
    let end = CancellationToken::new();
    if is_ending {
        end.cancel();
        sender.run(end).await;
        return otlp;
    }
    let running = tokio::spawn(sender.run(end.clone()));
    let done = || {
        let dropped = REASONS
            .iter()
            .map(|(why, _)| otlp.dropped(Signal::Logs, *why))
            .sum::<u64>();
        otlp.sent(Signal::Logs) + dropped > 0
    };
    let told = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
    end.cancel();
    running.await.unwrap();
    otlp
}

#[tokio::test]
async fn what_a_collector_answers_decides_what_is_counted() {
    let good = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let partly = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\n\x02\x08\x01";
    let broken = "HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n";
    let busy = "HTTP/1.1 503 no\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
    let count = |otlp: &Otlp| {
        (
            otlp.sent(Signal::Logs),
            otlp.dropped(Signal::Logs, Dropped::Refused),
            otlp.dropped(Signal::Logs, Dropped::Unreachable),
        )
    };
    assert_eq!(count(&sent(vec![good], false).await), (1, 0, 0));
    assert_eq!(count(&sent(vec![partly], false).await), (0, 1, 0));
    assert_eq!(count(&sent(vec![broken], false).await), (0, 1, 0));
    assert_eq!(
        count(&sent(vec![busy, good], false).await),
        (1, 0, 0),
        "offered again"
    );
    assert_eq!(
        count(&sent(vec![busy; 4], false).await),
        (0, 0, 1),
        "and not for ever"
    );
    assert_eq!(
        count(&sent(vec![good], true).await),
        (1, 0, 0),
        "what is left is sent at the end"
    );
    assert_eq!(count(&sent(vec![], true).await), (0, 0, 1), "or given up");
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap(); // and never answers
    let mut config = config(100, Incoming::Link);
    config.endpoint = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let otlp = layer();
    let sender = otlp
        .start(&config, parts())
        .unwrap()
        .flushing(Duration::from_millis(20));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(otlp.clone()), || {
        tracing::info!(target: "tollgate::gate", "a line");
    });
    let end = CancellationToken::new();
    end.cancel();
    sender.run(end).await;
    assert_eq!(otlp.sent(Signal::Logs), 0);
    assert_eq!(otlp.dropped(Signal::Logs, Dropped::Stopped), 1);
}
