//! Metrics, as an operator's Prometheus reads them.
//!
//! ```text
//!   page ──▶ Metrics, of each worker ──▶ handover, sleep, swap, topics ──▶ text, counter
//! ```

mod counter;
pub(crate) mod handover;
mod page;
pub(crate) mod sleep;
pub(crate) mod swap;
mod text;
pub(crate) mod topics;

pub(crate) use page::{Now, to_text};

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::counter::{Counter, Gauge};
use self::handover::HandoverMetrics;
use self::sleep::SleepMetrics;
use self::swap::SwapMetrics;
use self::topics::TopicMetrics;
use crate::contract::bindings::Report;
use crate::guest::fault::FaultReason;
use crate::limits::per_address::Denial;

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
