//! What a worker counts of topics, and what the operator sees of it and of the bus.

use std::sync::OnceLock;

use wasocket_bus::{Bus, EngineState};

use super::counter::Counter;
use super::text::{Kind, Text};

/// The counters of topics of a worker.
#[derive(Debug, Default)]
pub(crate) struct TopicMetrics {
    /// Publications of apps that were handed to the bus.
    pub(crate) publications: Counter,
    /// Publications that were refused.
    pub(crate) refused: Counter,
    /// Publications that connections were given.
    pub(crate) deliveries: Counter,
    /// Publications that were dropped on the way to a connection.
    drops: Counter,
    /// Gaps that connections were told.
    pub(crate) gaps: Counter,
    /// Connections that were too slow.
    too_slow: Counter,
    /// Publications and deliveries by the prefixes that the operator names.
    prefixes: OnceLock<Vec<PrefixMetrics>>,
}

#[derive(Debug, Default)]
struct PrefixMetrics {
    prefix: String,
    publications: Counter,
    deliveries: Counter,
}

/// The place of a topic's prefix among those that are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix(usize);

impl TopicMetrics {
    /// Sets the prefixes by which is counted.
    pub(crate) fn count_by(&self, prefixes: &[String]) {
        let of = |prefix: &String| PrefixMetrics {
            prefix: prefix.clone(),
            ..PrefixMetrics::default()
        };
        // Only the first worker of this number sets them.
        let _ = self.prefixes.set(prefixes.iter().map(of).collect());
    }

    /// The longest prefix of this topic that is counted.
    pub(crate) fn prefix(&self, topic: &str) -> Option<Prefix> {
        let all = self.prefixes.get()?.iter().enumerate();
        let of_topic = all.filter(|(_, of)| topic.starts_with(&*of.prefix));
        let longest = of_topic.max_by_key(|(_, of)| of.prefix.len());
        longest.map(|(index, _)| Prefix(index))
    }

    /// Counts a publication of this topic.
    pub(crate) fn published(&self, topic: &str) {
        self.publications.count();
        if let Some(of) = self.at(self.prefix(topic)) {
            of.publications.count();
        }
    }

    /// Counts deliveries of topics with this prefix.
    pub(crate) fn delivered(&self, prefix: Option<Prefix>, connections: usize) {
        self.deliveries.add(connections as u64);
        if let Some(of) = self.at(prefix) {
            of.deliveries.add(connections as u64);
        }
    }

    /// Counts what was dropped because a subscriber was slow.
    pub(crate) fn dropped(&self, publications: u64, gaps: u64, is_too_slow: bool) {
        if publications > 0 {
            self.drops.add(publications);
            self.gaps.add(gaps);
        }
        if is_too_slow {
            self.too_slow.count();
        }
    }

    fn at(&self, prefix: Option<Prefix>) -> Option<&PrefixMetrics> {
        self.prefixes.get()?.get(prefix?.0)
    }
}

/// Writes what is known of topics.
pub(super) fn write(text: &mut Text, workers: &[&TopicMetrics], bus: &Bus) {
    let status = bus.status();
    let counters = bus.counters();
    let sum = |of: fn(&TopicMetrics) -> &Counter| -> u64 {
        workers.iter().map(|all| of(all).get()).sum()
    };
    text.gauge(
        "topics",
        "Topics with subscribers in this runner.",
        status.topics as u64,
    );
    text.gauge(
        "subscriptions",
        "Subscriptions of connections of this runner.",
        status.subscriptions as u64,
    );
    text.gauge(
        "history_bytes",
        "History of topics that this runner keeps, in bytes.",
        status.history_bytes as u64,
    );
    text.counter(
        "publications_total",
        "Publications of apps.",
        sum(|all| &all.publications),
    );
    text.counter(
        "publications_refused_total",
        "Publications that were refused, or reached subscribers of this runner only.",
        sum(|all| &all.refused),
    );
    text.counter(
        "deliveries_total",
        "Publications given to connections, one for each connection.",
        sum(|all| &all.deliveries),
    );
    by_prefix(text, workers);
    text.counter(
        "publications_dropped_total",
        "Publications dropped on the way to a connection that did not keep up, or to a busy worker.",
        sum(|all| &all.drops).saturating_add(counters.dropped.get()),
    );
    text.counter(
        "gaps_total",
        "Gaps told to connections.",
        sum(|all| &all.gaps),
    );
    text.counter(
        "slow_subscribers_total",
        "Connections closed because they did not keep up with what was published.",
        sum(|all| &all.too_slow),
    );
    text.family(
        "recoveries_total",
        "Subscriptions from a position, by outcome.",
        Kind::Counter,
        "outcome",
        &[
            ("complete", counters.recovered.get()),
            ("incomplete", counters.not_recovered.get()),
        ],
    );
    engine(text, bus);
}

fn by_prefix(text: &mut Text, workers: &[&TopicMetrics]) {
    let prefixes = workers.first().and_then(|all| all.prefixes.get());
    let Some(prefixes) = prefixes.filter(|all| !all.is_empty()) else {
        return;
    };
    let sum = |index: usize, of: fn(&PrefixMetrics) -> &Counter| -> u64 {
        let at = |all: &&TopicMetrics| all.at(Some(Prefix(index))).map(|all| of(all).get());
        workers.iter().filter_map(at).sum()
    };
    let all = |of: fn(&PrefixMetrics) -> &Counter| -> Vec<(String, u64)> {
        let named = |(index, all): (usize, &PrefixMetrics)| (escaped(&all.prefix), sum(index, of));
        prefixes.iter().enumerate().map(named).collect()
    };
    text.family(
        "topic_publications_total",
        "Publications of apps, by prefix of the topic (--metrics-topics).",
        Kind::Counter,
        "prefix",
        &all(|all| &all.publications),
    );
    text.family(
        "topic_deliveries_total",
        "Publications given to connections, by prefix of the topic (--metrics-topics).",
        Kind::Counter,
        "prefix",
        &all(|all| &all.deliveries),
    );
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// How the engine is, if there is one.
fn engine(text: &mut Text, bus: &Bus) {
    let status = bus.status();
    let counters = bus.counters();
    if status.engine == EngineState::Local {
        return;
    }
    let is_connected = matches!(status.engine, EngineState::Connected { .. });
    text.gauge(
        "bus_connected",
        "Whether the runner is connected to the bus (1) or not (0).",
        is_connected.into(),
    );
    text.counter(
        "bus_connections_total",
        "Connections made to the bus.",
        counters.connections.get(),
    );
    text.counter(
        "bus_errors_total",
        "Requests that the bus refused.",
        counters.engine_errors.get(),
    );
    text.gauge(
        "bus_unconfirmed",
        "Publications that the bus has not confirmed.",
        status.unconfirmed as u64,
    );
    text.gauge(
        "bus_unconfirmed_bytes",
        "Publications that the bus has not confirmed, in bytes.",
        status.unconfirmed_bytes as u64,
    );
    text.seconds(
        "bus_lag_seconds",
        "How long the oldest publication has been waiting for the bus to confirm it.",
        Kind::Gauge,
        status.lag,
    );
    text.counter(
        "bus_lost_total",
        "Publications that no other runner gets, since the bus was away for too long or refused them.",
        counters.lost.get(),
    );
}
