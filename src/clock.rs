//! Time and randomness, as parameters: nothing else in Tollgate may ask the system for them.

pub mod moment;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// `2026-11-22T09:30:00.123Z` (RFC 3339, always UTC, always milliseconds).
    #[must_use]
    pub fn rfc3339(self) -> String {
        let when =
            time::OffsetDateTime::from_unix_timestamp(i64::try_from(self.seconds()).unwrap_or(i64::MAX))
                .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            when.year(),
            u8::from(when.month()),
            when.day(),
            when.hour(),
            when.minute(),
            when.second(),
            self.0 % 1000
        )
    }
}

impl Timestamp {
    /// The moment that [`Timestamp::rfc3339`] writes so; nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rfc3339 = &time::format_description::well_known::Rfc3339;
        let nanoseconds = time::OffsetDateTime::parse(text, rfc3339)
            .ok()?
            .unix_timestamp_nanos();
        let moment = Self(u64::try_from(nanoseconds / 1_000_000).ok()?);
        (moment.rfc3339() == text).then_some(moment)
    }

    /// How long before or after `now` it is, in words, in its largest unit: `3 minutes ago`, `in 2 hours`.
    #[must_use]
    pub fn relative(self, now: Self) -> String {
        let seconds = self.0.abs_diff(now.0) / 1000;
        let (count, unit) = match seconds {
            0..60 => return "now".to_owned(),
            60..3_600 => (seconds / 60, "minute"),
            3_600..86_400 => (seconds / 3_600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        if self < now {
            format!("{count} {unit}{plural} ago")
        } else {
            format!("in {count} {unit}{plural}")
        }
    }
}

/// What the world gives: the time and unpredictable bytes.
pub trait World: Send + Sync + std::fmt::Debug {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// A clock that never goes back; for measuring durations and deadlines.
    fn monotonic(&self) -> Duration;
    /// Fills `buffer` with bytes nobody can predict.
    fn random(&self, buffer: &mut [u8]);
}

/// The operating system's clock and random number generator.
#[derive(Debug)]
pub struct System {
    start: Instant,
}

impl System {
    /// Starts the monotonic clock at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask")]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl World for System {
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self, buffer: &mut [u8]) {
        use ed25519_dalek::ed25519::signature::rand_core::{OsRng, RngCore};
        OsRng.fill_bytes(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_moment_is_read_as_it_is_written_and_is_near_in_words() {
        let now = Timestamp(1_795_340_000_123);
        assert_eq!(Timestamp::parse(&now.rfc3339()), Some(now));
        for other in [
            "",
            "soon",
            "2026-11-22",
            "2026-11-22T09:30:00Z",
            "2026-11-22T09:30:00.000+01:00",
        ] {
            assert_eq!(Timestamp::parse(other), None, "{other}");
        }
        let at = |seconds: i64| Timestamp(now.0.saturating_add_signed(seconds * 1000)).relative(now);
        let words = [0, -59, -60, 119, 120, -7_199, 86_400, -200_000].map(at);
        let expected = [
            "now",
            "now",
            "1 minute ago",
            "in 1 minute",
            "in 2 minutes",
            "1 hour ago",
            "in 1 day",
            "2 days ago",
        ];
        assert_eq!(words, expected);
    }
}
