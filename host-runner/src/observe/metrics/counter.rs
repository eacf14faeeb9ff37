//! What is counted with. Each worker has counters of its own, which only it writes, so that counting costs one addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows while the process runs.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, number: u64) {
        // There is a single writer, so a plain addition will do, without locking the bus.
        self.0.store(self.get().wrapping_add(number), Relaxed);
    }

    pub(crate) fn count(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, number: usize) {
        self.0.store(number as u64, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The times for which connections were not served.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// In nanoseconds, like the next.
    longest: AtomicU64,
    sum: AtomicU64,
}

impl Pauses {
    pub(super) fn add(&self, pause: Duration) {
        let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        self.longest.fetch_max(pause, Relaxed);
        // Centuries fit.
        self.sum.fetch_add(pause, Relaxed);
    }

    /// The longest of several workers.
    pub(super) fn longest<'a>(workers: impl Iterator<Item = &'a Self>) -> Duration {
        let longest = workers.map(|pauses| pauses.longest.load(Relaxed)).max();
        Duration::from_nanos(longest.unwrap_or_default())
    }

    /// The sum of several workers'.
    pub(super) fn sum<'a>(workers: impl Iterator<Item = &'a Self>) -> Duration {
        Duration::from_nanos(workers.map(|pauses| pauses.sum.load(Relaxed)).sum())
    }
}
