//! What a worker counts of connections that sleep.

use super::counter::{Counter, Gauge};
use super::text::{Kind, Text};

/// What a connection was woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Bytes, or the end of the stream.
    Input,
    /// Something of a topic.
    Topic,
    /// An instant that the component or a limit has set.
    Time,
    /// It is to end.
    Stop,
}

/// The counters of a worker.
#[derive(Debug, Default)]
pub(crate) struct SleepMetrics {
    /// Connections that sleep now.
    pub(crate) asleep: Gauge,
    pub(crate) fell_asleep: Counter,
    /// Pings sent in place of the component.
    pub(crate) pings: Counter,
    for_input: Counter,
    for_topic: Counter,
    for_time: Counter,
    for_stop: Counter,
    /// Connections that no instance could resume.
    pub(crate) lost: Counter,
}

impl SleepMetrics {
    /// A connection is woken.
    pub(crate) fn woken(&self, reason: Reason) {
        match reason {
            Reason::Input => self.for_input.count(),
            Reason::Topic => self.for_topic.count(),
            Reason::Time => self.for_time.count(),
            Reason::Stop => self.for_stop.count(),
        }
    }
}

pub(super) fn write(text: &mut Text, workers: &[&SleepMetrics]) {
    let sum = |counter: fn(&SleepMetrics) -> &Counter| {
        let numbers = workers.iter().map(|worker| counter(worker).get());
        numbers.sum()
    };
    text.gauge(
        "connections_asleep",
        "Connections that are on no instance until something happens (--hibernate-after).",
        workers.iter().map(|worker| worker.asleep.get()).sum(),
    );
    text.counter(
        "hibernations_total",
        "Times that a connection fell asleep.",
        sum(|all| &all.fell_asleep),
    );
    text.family(
        "wakes_total",
        "Times that a connection was woken, by what for.",
        Kind::Counter,
        "for",
        &[
            ("input", sum(|all| &all.for_input)),
            ("topic", sum(|all| &all.for_topic)),
            ("time", sum(|all| &all.for_time)),
            ("stop", sum(|all| &all.for_stop)),
        ],
    );
    text.counter(
        "hibernation_pings_total",
        "Pings sent to clients whose connections slept on.",
        sum(|all| &all.pings),
    );
    text.counter(
        "wakes_failed_total",
        "Connections lost because no instance could resume them.",
        sum(|all| &all.lost),
    );
}
