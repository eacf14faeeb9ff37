//! What is counted of handovers: to another process, and from one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::counter::{Counter, Pauses};
use super::text::{Kind, Text};

/// How handovers have ended.
#[derive(Debug, Default)]
pub(crate) struct HandoverCounts {
    /// This process has taken over from another.
    pub(crate) done: AtomicU64,
    /// Another process was to take over from this one, and has not.
    pub(crate) failed: AtomicU64,
}

/// The counters of a worker.
#[derive(Debug, Default)]
pub(crate) struct HandoverMetrics {
    /// Connections that have gone to another process.
    pub(crate) left: Counter,
    /// Connections that have come from another process.
    arrived: Counter,
    pauses: Pauses,
}

impl HandoverMetrics {
    /// A connection has come, and was not served for this time.
    pub(crate) fn arrived(&self, pause: Duration) {
        self.arrived.count();
        self.pauses.add(pause);
    }
}

pub(super) fn write(text: &mut Text, workers: &[&HandoverMetrics], handovers: &HandoverCounts) {
    text.family(
        "handovers_total",
        "Handovers: done, from another process to this one; failed, from this one to another.",
        Kind::Counter,
        "outcome",
        &[
            ("done", handovers.done.load(Relaxed)),
            ("failed", handovers.failed.load(Relaxed)),
        ],
    );
    let sum = |counter: fn(&HandoverMetrics) -> &Counter| {
        let numbers = workers.iter().map(|worker| counter(worker).get());
        numbers.sum()
    };
    text.counter(
        "handover_arrived_total",
        "Connections taken over from another process.",
        sum(|all| &all.arrived),
    );
    text.counter(
        "handover_left_total",
        "Connections handed over to another process.",
        sum(|all| &all.left),
    );
    let pauses = || workers.iter().map(|worker| &worker.pauses);
    text.seconds(
        "handover_longest_pause_seconds",
        "The longest time for which a connection was not served while it was taken over.",
        Kind::Gauge,
        Pauses::longest(pauses()),
    );
    text.seconds(
        "handover_pause_seconds_total",
        "That time, of all connections together.",
        Kind::Counter,
        Pauses::sum(pauses()),
    );
}
