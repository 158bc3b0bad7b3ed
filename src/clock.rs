//! Time and randomness, as parameters: nothing else in Tollgate may ask the system for them.

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
