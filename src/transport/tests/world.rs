//! A world whose clock moves only when told to, and whose random bytes never repeat.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Timestamp, World};

/// Starts at 2026-01-01T00:00:00Z.
#[derive(Debug, Default)]
pub(crate) struct Fixed {
    millis: AtomicU64,
    drawn: AtomicU64,
}

impl Fixed {
    pub(crate) fn advance(&self, by: Duration) {
        self.millis
            .fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl World for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600_000 + self.millis.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    fn random(&self, buffer: &mut [u8]) {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let block = crate::call::Hash::of(&drawn.to_be_bytes()).0;
        for (byte, random) in buffer.iter_mut().zip(block.iter().cycle()) {
            *byte = *random;
        }
    }
}
