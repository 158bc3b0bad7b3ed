use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::clock::Timestamp;

/// Time that moves when told.
#[derive(Debug, Default)]
struct Moved(AtomicU64);

impl World for Moved {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
    fn random(&self, _: &mut [u8]) {}
}

/// Runs `work` under a subscriber and gives what was written.
fn written(work: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let mask: LineMask = Arc::new(|text| text.replace("hunter\n2", "███").replace("hunter2", "███"));
    let sink = Masked::new(mask, move |bytes: &[u8]| {
        seen.lock()
            .unwrap()
            .push(String::from_utf8(bytes.to_vec()).unwrap());
    });
    let line = tracing_subscriber::fmt::layer()
        .with_writer(sink)
        .with_ansi(false)
        .without_time()
        .with_filter(filter_fn(may_speak));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(line), work);
    lines.lock().unwrap().clone()
}

#[test]
fn every_event_is_masked_whole_and_stays_one_line() {
    let lines = written(|| {
        tracing::info!(password = "hunter2", "login");
        tracing::info!("a key over two lines: hunter\n2");
        tracing::info!("forged\n2026-11-22 INFO all is well");
    });
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert!(!line.contains("hunter"), "{line}");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.ends_with('\n'));
    }
    assert!(lines[2].contains("forged\\n2026"), "{}", lines[2]);
}

#[test]
fn libraries_are_not_heard_below_info() {
    let lines = written(|| {
        tracing::debug!(target: "hyper::proto", "authorization: Bearer x");
        tracing::debug!(target: "tollgateway", "not ours either");
        tracing::info!(target: "hyper::proto", "listening");
        tracing::debug!(target: "tollgate::audit", "batch");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn stages_are_counted_by_their_lifetime() {
    let world = Arc::new(Moved::default());
    let times = StageTimes::new(world.clone());
    let layer = times.clone().with_filter(filter_fn(is_stage));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        for lasts in [5, 7, 3, 1000, 6] {
            let span = tracing::debug_span!("inspect");
            world.0.fetch_add(lasts, Ordering::Relaxed);
            drop(span);
        }
        drop(tracing::debug_span!("no_stage"));
    });
    assert_eq!(
        times.snapshot(),
        [StageTime {
            stage: "inspect",
            count: 5,
            min: 3,
            median: 6,
            p99: 1000,
            max: 1000,
        }]
    );
}

#[test]
fn a_bucket_holds_what_is_put_into_it_and_is_fine_enough() {
    let mut last = 0;
    for value in (0..5000).chain([65_535, 65_536, 1 << 30, (1 << 41) - 1]) {
        let bucket = bucket_of(value);
        assert!(bucket >= last || value < 5000);
        last = bucket;
        let bound = upper_bound(bucket);
        assert!(bound >= value, "{value} in a bucket up to {bound}");
        assert!(bound - value <= value / FINE, "{value} in a bucket up to {bound}");
    }
    assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
}

#[test]
fn a_word_that_is_no_level_is_refused() {
    for good in ["info", "WARN", "info,tollgate::audit=debug", "off"] {
        assert!(directives(good).is_ok(), "{good}");
    }
    for bad in ["", "inof", "loud!", "info,", "tollgate=loud", "tollgate"] {
        assert!(directives(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_value_can_neither_break_a_json_line_nor_act_on_a_terminal() {
    let event = serde_json::json!({"host": "a\u{2028}b\u{85}c\u{9b}2J\u{202e}d\u{e0041}\n\"Zoë"});
    let line = one_line(&event.to_string()).into_owned();
    assert!(line.chars().all(|c| !is_unseen(c)), "{line:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), event);
    assert_eq!(
        one_line("\u{1b}[1;31mred\u{1b}[0m\u{9b}"),
        "\u{1b}[1;31mred\u{1b}[0m\\u009b"
    );
    for hostile in [
        "\u{1b}[8m",
        "\u{1b}[2J",
        "\u{1b}[+1m",
        "\u{1b}]0;m",
        "\u{1b}[m",
        "\u{1b}",
    ] {
        assert!(!one_line(hostile).contains('\u{1b}'), "{hostile:?}");
    }
    let lines = written(|| tracing::info!(host = %"a\u{1b}[2J\u{9b}2J", "refused"));
    assert!(lines[0].trim_end().chars().all(|c| !is_unseen(c)), "{lines:?}");
}

#[test]
fn the_protocol_library_speaks_of_errors_alone_unless_asked() {
    let heard = |text: &str| {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let sink = Masked::new(Arc::new(str::to_owned), move |bytes: &[u8]| {
            seen.lock().unwrap().push(bytes.len());
        });
        let line = tracing_subscriber::fmt::layer()
            .with_writer(sink)
            .with_filter(directives(text).unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(line), || {
            tracing::warn!(target: "rmcp", "response error: Unknown tool");
            tracing::error!(target: "rmcp", "gone");
            tracing::warn!(target: "tollgate::app", "ours");
        });
        lines.lock().unwrap().len()
    };
    assert_eq!(heard("warn"), 2);
    assert_eq!(heard("info,rmcp=warn"), 3);
    assert_eq!(heard("off"), 0);
}
