//! All metrics on a page: those of the workers are added up on request.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasocket_bus::Bus;

use super::counter::Counter;
use super::handover::{self, HandoverCounts};
use super::swap::{self, SwapCounts};
use super::text::{Kind, Text};
use super::{Metrics, sleep, topics};

/// The sums over all workers.
struct Sum<'a>(&'a [Arc<Metrics>]);

impl Sum<'_> {
    fn of(&self, counter: impl Fn(&Metrics) -> &Counter) -> u64 {
        self.0.iter().map(|metrics| counter(metrics).get()).sum()
    }

    fn requests(&self) -> Vec<(String, u64)> {
        let mut sum = BTreeMap::<u16, u64>::new();
        for metrics in self.0 {
            for (status, number) in metrics.requests().iter() {
                let of_all = sum.entry(*status).or_default();
                *of_all = of_all.wrapping_add(*number);
            }
        }
        let named = |(status, number): (u16, u64)| (status.to_string(), number);
        sum.into_iter().map(named).collect()
    }

    fn open_by_worker(&self) -> Vec<(String, u64)> {
        let named =
            |(worker, metrics): (usize, &Arc<Metrics>)| (worker.to_string(), metrics.open());
        self.0.iter().enumerate().map(named).collect()
    }
}

/// The same part of all workers.
fn parts<T>(workers: &[Arc<Metrics>], part: fn(&Metrics) -> &T) -> Vec<&T> {
    workers.iter().map(|worker| part(worker)).collect()
}

/// Values that are read on request.
pub(crate) struct Now<'a> {
    /// Unsent output of all clients, in bytes.
    pub(crate) unsent: usize,
    /// The limit on connections.
    pub(crate) max_connections: usize,
    /// Numbers of spans sent and dropped, if there is a collector.
    pub(crate) spans: Option<(u64, u64)>,
    /// Log lines that were not written.
    pub(crate) lost_log_lines: u64,
    /// How attempts to replace the component have ended.
    pub(crate) swaps: &'a SwapCounts,
    /// How handovers have ended.
    pub(crate) handovers: &'a HandoverCounts,
}

/// All metrics in Prometheus's text format.
pub(crate) fn to_text(workers: &[Arc<Metrics>], bus: &Bus, now: &Now<'_>) -> String {
    let sum = Sum(workers);
    let ended = [
        ("closed", sum.of(|all| &all.ended_well)),
        ("guest_fault", sum.of(|all| &all.ended_by_fault)),
        ("failed", sum.of(|all| &all.ended_by_failure)),
    ];
    let over: u64 = ended.iter().map(|(_, number)| number).sum();
    let mut text = Text::default();
    text.gauge(
        "connections_open",
        "Open sockets.",
        workers.iter().map(|metrics| metrics.open()).sum(),
    );
    text.gauge(
        "connections_limit",
        "Limit on open sockets.",
        now.max_connections as u64,
    );
    text.family(
        "worker_connections_open",
        "Open sockets by worker.",
        Kind::Gauge,
        "worker",
        &sum.open_by_worker(),
    );
    text.counter(
        "connections_total",
        "Sockets accepted.",
        sum.of(|all| &all.accepted),
    );
    text.family(
        "moves_total",
        "Moves to the worker that owns a path (--instance-by).",
        Kind::Counter,
        "what",
        &[
            ("connection", sum.of(|all| &all.moved_out)),
            ("stream", sum.of(|all| &all.streams_moved)),
        ],
    );
    text.family(
        "connections_denied_total",
        "Sockets refused, by limit.",
        Kind::Counter,
        "limit",
        &[
            ("connections", sum.of(|all| &all.denied_connections)),
            ("handshakes", sum.of(|all| &all.denied_handshakes)),
        ],
    );
    text.family(
        "requests_total",
        "Requests by response status; raw takeovers have none.",
        Kind::Counter,
        "status",
        &sum.requests(),
    );
    text.counter(
        "requests_denied_total",
        "Requests refused because their address sent too many.",
        sum.of(|all| &all.denied_requests),
    );
    text.counter(
        "http2_floods_total",
        "HTTP/2 connections closed for flooding (no-op frames or resets).",
        sum.of(|all| &all.floods),
    );
    let takeovers = sum.of(|all| &all.takeovers);
    text.gauge(
        "takeovers_open",
        "Sockets taken over by the app and still open.",
        takeovers.saturating_sub(over.saturating_add(sum.of(|all| &all.handover.left))),
    );
    text.counter(
        "takeovers_total",
        "Sockets taken over by the app.",
        takeovers,
    );
    text.family(
        "takeovers_ended_total",
        "Takeovers that have ended, by outcome.",
        Kind::Counter,
        "how",
        &ended,
    );
    text.counter(
        "received_bytes_total",
        "Bytes received on sockets that were taken over.",
        sum.of(|all| &all.bytes_received),
    );
    text.counter(
        "sent_bytes_total",
        "Bytes of output to sockets that were taken over.",
        sum.of(|all| &all.bytes_sent),
    );
    text.counter(
        "received_messages_total",
        "Messages received, counted when their connection ends.",
        sum.of(|all| &all.messages_received),
    );
    text.counter(
        "sent_messages_total",
        "Messages sent, counted when their connection ends.",
        sum.of(|all| &all.messages_sent),
    );
    text.gauge(
        "unsent_bytes",
        "Output waiting to be sent to clients, in bytes.",
        now.unsent as u64,
    );
    text.gauge(
        "instances",
        "Instances of the component.",
        workers.iter().map(|all| all.instances_now.get()).sum(),
    );
    text.counter(
        "instances_total",
        "Instances started.",
        sum.of(|all| &all.instances),
    );
    text.gauge(
        "workers_backing_off",
        "Workers that start no instances for now because previous ones failed.",
        workers.iter().map(|all| u64::from(all.is_pausing())).sum(),
    );
    text.counter(
        "long_calls_total",
        "Calls finished on another thread because they took long or waited for files.",
        sum.of(|all| &all.long_calls),
    );
    text.family(
        "guest_faults_total",
        "Failed instances, by reason.",
        Kind::Counter,
        "reason",
        &[
            ("trap", sum.of(|all| &all.traps)),
            ("deadline", sum.of(|all| &all.deadlines)),
            ("out_of_memory", sum.of(|all| &all.out_of_memory)),
            ("blocked", sum.of(|all| &all.blocked)),
            ("runner", sum.of(|all| &all.runner_bugs)),
            ("system", sum.of(|all| &all.no_memory)),
        ],
    );
    swap::write(&mut text, &parts(workers, |all| &all.swap), now.swaps);
    sleep::write(&mut text, &parts(workers, |all| &all.sleep));
    handover::write(
        &mut text,
        &parts(workers, |all| &all.handover),
        now.handovers,
    );
    topics::write(&mut text, &parts(workers, |all| &all.topics), bus);
    if let Some((sent, dropped)) = now.spans {
        text.family(
            "trace_spans_total",
            "Spans of traces, by outcome.",
            Kind::Counter,
            "outcome",
            &[("sent", sent), ("dropped", dropped)],
        );
    }
    text.counter(
        "log_lines_lost_total",
        "Log lines that could not be written, or that nothing read in time.",
        now.lost_log_lines,
    );
    text.family(
        "build_info",
        "The version of the program.",
        Kind::Gauge,
        "version",
        &[(env!("CARGO_PKG_VERSION"), 1)],
    );
    text.process();
    text.into_string()
}
