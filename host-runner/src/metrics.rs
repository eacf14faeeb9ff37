//! What the runner counts, as Prometheus reads it.
//!
//! Plain cells, since all is on one thread: a count costs an addition.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::admission::Denial;
use crate::bindings::Report;
use crate::guest::FaultReason;

/// A number that only grows, until the process ends.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, number: u64) {
        self.0.set(self.0.get().wrapping_add(number));
    }

    pub(crate) fn count(&self) {
        self.add(1);
    }

    fn get(&self) -> u64 {
        self.0.get()
    }
}

/// The counters of a worker.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    denied_connections: Counter,
    denied_handshakes: Counter,
    denied_requests: Counter,
    /// Requests by the status of their answer; at most one for each there is.
    requests: RefCell<BTreeMap<u16, u64>>,
    pub(crate) takeovers: Counter,
    /// Takeovers that have ended, by how.
    pub(crate) ended_well: Counter,
    pub(crate) ended_by_fault: Counter,
    pub(crate) ended_by_failure: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    messages_received: Counter,
    messages_sent: Counter,
    pub(crate) instances: Counter,
    traps: Counter,
    deadlines: Counter,
    out_of_memory: Counter,
    blocked: Counter,
}

impl Metrics {
    /// A connection was not let in, or a request not answered.
    pub(crate) fn denied(&self, denial: Denial) {
        match denial {
            Denial::Connections => self.denied_connections.count(),
            Denial::Handshakes => self.denied_handshakes.count(),
            Denial::Requests => self.denied_requests.count(),
        }
    }

    /// A request has its answer.
    pub(crate) fn answered(&self, status: u16) {
        let mut requests = self.requests.borrow_mut();
        let number = requests.entry(status).or_default();
        *number = number.wrapping_add(1);
    }

    /// What a guest says of a connection that has ended.
    pub(crate) fn reported(&self, report: &Report) {
        self.messages_received.add(report.messages_received);
        self.messages_sent.add(report.messages_sent);
    }

    /// An instance has failed.
    pub(crate) fn faulted(&self, reason: &FaultReason) {
        match reason {
            FaultReason::Trap(_) => self.traps.count(),
            FaultReason::Deadline(_) => self.deadlines.count(),
            FaultReason::Memory(_) => self.out_of_memory.count(),
            FaultReason::Blocked => self.blocked.count(),
        }
    }

    /// The text format of Prometheus, with what is so now: the unsent bytes, the places taken on instances; and
    /// the spans that were sent and dropped, if there is a collector.
    pub(crate) fn to_text(
        &self,
        unsent: usize,
        instances: usize,
        spans: Option<(u64, u64)>,
    ) -> String {
        let open = self.accepted.get().saturating_sub(self.closed.get());
        let ended = [
            ("closed", &self.ended_well),
            ("guest_fault", &self.ended_by_fault),
            ("failed", &self.ended_by_failure),
        ];
        let over: u64 = ended.iter().map(|(_, counter)| counter.get()).sum();
        let requests: Vec<(String, u64)> = {
            let requests = self.requests.borrow();
            requests
                .iter()
                .map(|(status, number)| (status.to_string(), *number))
                .collect()
        };
        let mut text = Text::default();
        text.gauge("connections_open", "Sockets that are open.", open);
        text.counter(
            "connections_total",
            "Sockets that were accepted.",
            &self.accepted,
        );
        text.family(
            "connections_denied_total",
            "Sockets that were not let in, by the limit.",
            "limit",
            &[
                ("connections", self.denied_connections.get()),
                ("handshakes", self.denied_handshakes.get()),
            ],
        );
        text.family(
            "requests_total",
            "Requests, by the status of the answer; raw takeovers have none.",
            "status",
            &requests,
        );
        text.counter(
            "requests_denied_total",
            "Requests that were refused, for there were too many from their address.",
            &self.denied_requests,
        );
        text.gauge(
            "takeovers_open",
            "Sockets in the hands of the app.",
            self.takeovers.get().saturating_sub(over),
        );
        text.counter(
            "takeovers_total",
            "Sockets that the app has taken over.",
            &self.takeovers,
        );
        text.family(
            "takeovers_ended_total",
            "Those that have ended, by how.",
            "how",
            &ended.map(|(how, counter)| (how, counter.get())),
        );
        text.counter(
            "received_bytes_total",
            "Bytes received on sockets that were taken over.",
            &self.bytes_received,
        );
        text.counter(
            "sent_bytes_total",
            "Bytes put out on sockets that were taken over.",
            &self.bytes_sent,
        );
        text.counter(
            "received_messages_total",
            "Messages received, counted when their connection has ended.",
            &self.messages_received,
        );
        text.counter(
            "sent_messages_total",
            "Messages sent, counted when their connection has ended.",
            &self.messages_sent,
        );
        text.gauge(
            "unsent_bytes",
            "Output that waits for clients to take it.",
            unsent as u64,
        );
        text.gauge("instances", "Instances of the component.", instances as u64);
        text.counter(
            "instances_total",
            "Instances that were made.",
            &self.instances,
        );
        text.family(
            "guest_faults_total",
            "Instances that have failed, by what they did.",
            "reason",
            &[
                ("trap", self.traps.get()),
                ("deadline", self.deadlines.get()),
                ("out_of_memory", self.out_of_memory.get()),
                ("blocked", self.blocked.get()),
            ],
        );
        if let Some((sent, dropped)) = spans {
            text.family(
                "trace_spans_total",
                "Spans of traces, by what became of them.",
                "outcome",
                &[("sent", sent), ("dropped", dropped)],
            );
        }
        text.0
    }
}

/// A text that is written. Writing to a string does not fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP wasocket_{name} {help}\n# TYPE wasocket_{name} {kind}"
        );
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.0, "wasocket_{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        let _ = writeln!(self.0, "wasocket_{name} {}", counter.get());
    }

    /// Counters that differ in a label. The labels' values are ours, and need no escapes.
    fn family(&mut self, name: &str, help: &str, label: &str, values: &[(impl AsRef<str>, u64)]) {
        self.head(name, "counter", help);
        for (of, value) in values {
            let _ = writeln!(
                self.0,
                "wasocket_{name}{{{label}=\"{}\"}} {value}",
                of.as_ref()
            );
        }
    }
}
