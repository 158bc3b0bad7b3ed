//! Figures in columns.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;

/// Prints one line.
pub(crate) fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Prints rows under a heading; the first column is words, the others are figures.
pub(crate) fn table(title: &str, head: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let width = |at: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count());
        let head = head.get(at).map_or(0, |cell| cell.chars().count());
        cells.chain([head]).max().unwrap_or(0)
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (at, cell) in cells.enumerate() {
            let room = width(at);
            line.push_str(&match at {
                0 => format!("  {cell:<room$}"),
                _ => format!("  {cell:>room$}"),
            });
        }
        line.trim_end().to_owned()
    };
    say(&format!("\n{title}"))?;
    say(&line(&mut head.iter().copied()))?;
    for row in rows {
        say(&line(&mut row.iter().map(String::as_str)))?;
    }
    Ok(())
}

/// What many of the same took.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest time that so many in a hundred do not exceed (nearest rank).
    pub(crate) fn percentile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Microseconds, as a figure.
pub(crate) fn micros(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}

/// Milliseconds, as a figure.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Mebibytes of so many bytes, as a figure.
pub(crate) fn mebi(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
