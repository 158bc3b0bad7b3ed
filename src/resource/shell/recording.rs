//! What a command wrote and when, as asciicast version 2 (docs.asciinema.org, "asciicast v2"): every player
//! reads it. What goes in is masked already.

use std::fmt::Write;
use std::time::Duration;

/// The most bytes of a recording; later output is not in it, and the last event says so.
const MOST: usize = 8 * 1024 * 1024;
const COLUMNS: u32 = 120;
const ROWS: u32 = 40;

/// One recording under way.
#[derive(Debug)]
pub(super) struct Recording {
    text: String,
    is_full: bool,
}

impl Recording {
    /// `at`: when it begins, in Unix seconds.
    pub(super) fn new(at: u64) -> Self {
        let header = serde_json::json!({
            "version": 2, "width": COLUMNS, "height": ROWS, "timestamp": at,
        });
        Self {
            text: format!("{header}\n"),
            is_full: false,
        }
    }

    /// Adds output that was seen `after` the beginning.
    pub(super) fn output(&mut self, after: Duration, text: &str) {
        if text.is_empty() || self.is_full {
            return;
        }
        if self.text.len() + text.len() > MOST {
            self.is_full = true;
            return self.event(after, "[the rest is not recorded]\r\n");
        }
        self.event(after, &text.replace('\n', "\r\n"));
    }

    /// The recording, one JSON value per line.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn event(&mut self, after: Duration, text: &str) {
        let event = serde_json::json!([after.as_secs_f64(), "o", text]);
        let _ = writeln!(self.text, "{event}"); // writing to a String does not fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_json_and_the_size_is_bounded() {
        let mut recording = Recording::new(1_790_000_000);
        recording.output(Duration::from_millis(5), "");
        recording.output(Duration::from_millis(10), "a \"b\"\nc");
        let long = "x".repeat(MOST / 2);
        for second in 1..5 {
            recording.output(Duration::from_secs(second), &long);
        }
        let text = recording.finish();
        assert!(text.len() < MOST + 1000);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["version"], 2);
        assert_eq!(lines[1], serde_json::json!([0.01, "o", "a \"b\"\r\nc"]));
        assert_eq!(lines.last().unwrap()[2], "[the rest is not recorded]\r\n");
    }
}
