//! What a worker counts of connections that move to a new version of the component.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::counter::{Counter, Pauses};
use super::text::{Kind, Text};
use crate::contract::bindings::ResumeError;

/// What becomes of one version of the component, in all workers.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    moved: AtomicU64,
    refused: AtomicU64,
    /// Instances that failed, and connections on which the app did.
    faults: AtomicU64,
}

impl Trial {
    /// A connection has moved to this version.
    pub(crate) fn count_moved(&self) {
        self.moved.fetch_add(1, Relaxed);
    }

    /// This version has refused the state of a connection.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// An instance of this version has failed or has not started, or its app has failed on a connection.
    pub(crate) fn count_fault(&self) {
        self.faults.fetch_add(1, Relaxed);
    }

    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Relaxed)
    }
}

/// How attempts to replace the component have ended.
#[derive(Debug, Default)]
pub(crate) struct SwapCounts {
    pub(crate) done: AtomicU64,
    /// The new version could not be loaded or started.
    pub(crate) refused: AtomicU64,
    /// The new version failed, and the one before is served again.
    pub(crate) returned: AtomicU64,
}

/// The counters of a worker.
#[derive(Debug, Default)]
pub(crate) struct SwapMetrics {
    moved: Counter,
    unsupported: Counter,
    unknown_version: Counter,
    invalid: Counter,
    /// Connections that stay, since the instance failed that they were to move to.
    pub(crate) failed: Counter,
    /// Connections that stay, since the instance of their key is full.
    pub(crate) full: Counter,
    /// Connections closed, since they have not moved in time, or their state was refused.
    pub(crate) closed: Counter,
    pauses: Pauses,
}

impl SwapMetrics {
    /// A connection has moved while it slept.
    pub(crate) fn moved_asleep(&self) {
        self.moved.count();
    }

    /// A connection has moved, and was not served for this time.
    pub(crate) fn moved(&self, pause: Duration) {
        self.moved.count();
        self.pauses.add(pause);
    }

    /// The state of a connection was refused.
    pub(crate) fn refused(&self, error: ResumeError) {
        match error {
            ResumeError::Unsupported => self.unsupported.count(),
            ResumeError::UnknownVersion => self.unknown_version.count(),
            ResumeError::Invalid => self.invalid.count(),
        }
    }
}

pub(super) fn write(text: &mut Text, workers: &[&SwapMetrics], swaps: &SwapCounts) {
    text.family(
        "swaps_total",
        "New versions of the component, by outcome.",
        Kind::Counter,
        "outcome",
        &[
            ("done", swaps.done.load(Relaxed)),
            ("refused", swaps.refused.load(Relaxed)),
            ("returned", swaps.returned.load(Relaxed)),
        ],
    );
    let sum = |counter: fn(&SwapMetrics) -> &Counter| {
        let numbers = workers.iter().map(|worker| counter(worker).get());
        numbers.sum()
    };
    text.counter(
        "swap_moved_total",
        "Connections moved to another version of the component.",
        sum(|all| &all.moved),
    );
    text.family(
        "swap_kept_total",
        "Connections that could not move, by reason: how their state was refused, or what became of the instance.",
        Kind::Counter,
        "reason",
        &[
            ("unsupported", sum(|all| &all.unsupported)),
            ("unknown_version", sum(|all| &all.unknown_version)),
            ("invalid", sum(|all| &all.invalid)),
            ("failed", sum(|all| &all.failed)),
            ("full", sum(|all| &all.full)),
        ],
    );
    text.counter(
        "swap_closed_total",
        "Connections closed because they did not move in time (--swap-grace) or were refused (--swap-refused).",
        sum(|all| &all.closed),
    );
    let pauses = || workers.iter().map(|worker| &worker.pauses);
    text.seconds(
        "swap_longest_pause_seconds",
        "The longest time for which a connection was not served while it moved.",
        Kind::Gauge,
        Pauses::longest(pauses()),
    );
    text.seconds(
        "swap_pause_seconds_total",
        "The time for which connections were not served while they moved, of all moves together.",
        Kind::Counter,
        Pauses::sum(pauses()),
    );
}
