//! Metrics in Prometheus's text format.
//!
//! Each worker has counters of its own, which only it writes, so that counting costs one addition. They are added up on
//! request.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasocket_bus::Bus;

use crate::contract::bindings::Report;
use crate::guest::fault::FaultReason;
use crate::limits::open_files;
use crate::limits::per_address::Denial;
use crate::observe::handover_metrics::{self, HandoverCounts, HandoverMetrics};
use crate::observe::process_stats;
use crate::observe::sleep_metrics::{self, SleepMetrics};
use crate::observe::swap_metrics::{self, SwapCounts, SwapMetrics};
use crate::observe::topic_metrics::{self, TopicMetrics};

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

/// The counters of a worker.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    /// Connections moved to another worker, and from another to this one.
    pub(crate) moved_out: Counter,
    pub(crate) moved_in: Counter,
    /// HTTP/2 streams moved to another worker.
    pub(crate) streams_moved: Counter,
    denied_connections: Counter,
    denied_handshakes: Counter,
    pub(crate) denied_requests: Counter,
    /// HTTP/2 connections closed for flooding.
    pub(crate) floods: Counter,
    /// Requests by response status.
    requests: Mutex<BTreeMap<u16, u64>>,
    pub(crate) takeovers: Counter,
    /// Takeovers that have ended, by outcome.
    pub(crate) ended_well: Counter,
    pub(crate) ended_by_fault: Counter,
    pub(crate) ended_by_failure: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    messages_received: Counter,
    messages_sent: Counter,
    /// What has happened on topics.
    pub(crate) topics: TopicMetrics,
    /// What has moved to new versions of the component.
    pub(crate) swap: SwapMetrics,
    /// Which connections sleep.
    pub(crate) sleep: SleepMetrics,
    /// What has gone to other processes, and come from them.
    pub(crate) handover: HandoverMetrics,
    pub(crate) instances: Counter,
    pub(crate) long_calls: Counter,
    /// Instances that exist now.
    pub(crate) instances_now: Gauge,
    traps: Counter,
    deadlines: Counter,
    out_of_memory: Counter,
    blocked: Counter,
    /// A thread of the runner panicked during a call.
    runner_bugs: Counter,
    /// The system refused memory.
    no_memory: Counter,
    /// No instance is started until then, since the previous ones failed.
    pause: Mutex<Option<Instant>>,
}

impl Metrics {
    /// A connection was refused.
    pub(crate) fn denied(&self, denial: Denial) {
        match denial {
            Denial::Connections(_) => self.denied_connections.count(),
            Denial::Handshakes(_) => self.denied_handshakes.count(),
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, status: u16) {
        let mut requests = self.requests();
        let number = requests.entry(status).or_default();
        *number = number.wrapping_add(1);
    }

    /// Adds a guest's report on a connection that has ended.
    pub(crate) fn reported(&self, report: &Report) {
        self.messages_received.add(report.messages_received);
        self.messages_sent.add(report.messages_sent);
    }

    /// An instance failed.
    pub(crate) fn faulted(&self, reason: &FaultReason) {
        match reason {
            FaultReason::Trap(_) => self.traps.count(),
            FaultReason::Deadline(_)
            | FaultReason::Starved(_)
            | FaultReason::Files(_)
            | FaultReason::Start(_) => self.deadlines.count(),
            FaultReason::Memory(_) => self.out_of_memory.count(),
            FaultReason::Blocked => self.blocked.count(),
            FaultReason::Runner(_) => self.runner_bugs.count(),
            FaultReason::System(_) => self.no_memory.count(),
        }
    }

    /// Sets the time until which no instance is started.
    pub(crate) fn pause(&self, until: Option<Instant>) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    pub(crate) fn is_pausing(&self) -> bool {
        let pause = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        pause.is_some_and(|until| until > Instant::now())
    }

    /// Number of open sockets.
    pub(crate) fn open(&self) -> u64 {
        // Read first, so that it is not greater than the other even if a connection opens in between.
        let gone = self.closed.get().wrapping_add(self.moved_out.get());
        let come = self.accepted.get().wrapping_add(self.moved_in.get());
        come.saturating_sub(gone)
    }

    fn requests(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        takeovers.saturating_sub(over),
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
    swap_metrics::write(&mut text, workers, now.swaps);
    sleep_metrics::write(&mut text, workers);
    handover_metrics::write(&mut text, workers, now.handovers);
    topic_metrics::write(&mut text, workers, bus);
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
    text.0
}

/// The type of a metric.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// The text being written. Writing to a string does not fail.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(
            self.0,
            "# HELP wasocket_{name} {help}\n# TYPE wasocket_{name} {kind}"
        );
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, Kind::Gauge, help);
        let _ = writeln!(self.0, "wasocket_{name} {value}");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, Kind::Counter, help);
        let _ = writeln!(self.0, "wasocket_{name} {value}");
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str, kind: Kind, value: Duration) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "wasocket_{name} {}", value.as_secs_f64());
    }

    /// Metrics of the process, under the names that Prometheus's client libraries use.
    fn process(&mut self) {
        let numbers = [
            ("start_time_seconds", Some(process_stats::began())),
            ("resident_memory_bytes", process_stats::memory()),
            ("open_fds", process_stats::open_files()),
            ("max_fds", open_files::limit()),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                let _ = writeln!(
                    self.0,
                    "# HELP process_{name} Of this process.\n# TYPE process_{name} gauge\nprocess_{name} {value}"
                );
            }
        }
    }

    /// Numbers that differ in a label, whose values need no escaping.
    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: Kind,
        label: &str,
        values: &[(impl AsRef<str>, u64)],
    ) {
        self.head(name, kind, help);
        for (of, value) in values {
            let _ = writeln!(
                self.0,
                "wasocket_{name}{{{label}=\"{}\"}} {value}",
                of.as_ref()
            );
        }
    }
}
