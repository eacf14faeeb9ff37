//! What the bus counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::Start;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// What the bus has done since it was made.
#[derive(Debug, Default)]
pub struct Counters {
    /// Publications by this process that were accepted.
    pub publications: Counter,
    /// Publications put into inboxes, one for each worker with a subscriber.
    pub deliveries: Counter,
    /// Publications dropped because a worker's inbox was full.
    pub dropped: Counter,
    /// Gaps told, one for each worker with a subscriber.
    pub gaps: Counter,
    /// Publications that no other runner gets: the buffer was full while the engine was away, or the engine refused
    /// them.
    pub lost: Counter,
    /// Subscriptions from a position that got everything since.
    pub recovered: Counter,
    /// Subscriptions from a position that history no longer reached.
    pub not_recovered: Counter,
    /// Connections to the engine that were made, the first included.
    pub connections: Counter,
    /// Requests that the engine refused.
    pub engine_errors: Counter,
}

impl Counters {
    /// Counts how a subscription from a position ended.
    pub(crate) fn count_recovery(&self, start: Start, recovered: bool) {
        match (start, recovered) {
            (Start::After(_), true) => self.recovered.add(1),
            (Start::After(_), false) => self.not_recovered.add(1),
            _ => {}
        }
    }
}
