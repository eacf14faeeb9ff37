//! State shared by all workers: the limits that apply to all of them together, and the metrics. Not touched for each
//! message, except on connections whose output cannot be sent at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;
use wasocket_bus::{Bus, EngineState};

use crate::guest::wasi::Grants;
use crate::limits::connections::ConnectionLimit;
use crate::limits::instances::InstanceLimit;
use crate::limits::open_files;
use crate::limits::per_address::PerAddressLimiter;
use crate::limits::refusal_log::RefusalLog;
use crate::limits::settings::LimitSettings;
use crate::limits::unsent::UnsentBudget;
use crate::observe::log_writer;
use crate::observe::metrics::handover::HandoverCounts;
use crate::observe::metrics::swap::SwapCounts;
use crate::observe::metrics::{self, Metrics};
use crate::observe::trace;
use crate::process::heartbeat::Heartbeats;
use crate::process::open_connections::OpenConnections;
use crate::process::service_manager::watchdog_limit;
use crate::process::stop_event::StopEvent;
use crate::topics::settings::TopicSettings;

/// Limits and metrics of the process.
#[derive(Debug)]
pub struct Shared {
    /// The limit on connections.
    pub(crate) connection_limit: ConnectionLimit,
    /// The limit on instances.
    pub(crate) instance_limit: Arc<InstanceLimit>,
    /// The limits on each address.
    pub(crate) per_address: Arc<PerAddressLimiter>,
    /// The limit on log lines about refusals.
    pub(crate) refusal_log: RefusalLog,
    /// The budget for unsent output.
    pub(crate) unsent: Arc<UnsentBudget>,
    /// Whether connections are open.
    pub(crate) open_connections: OpenConnections,
    /// What connections may do with topics.
    pub(crate) topics: Arc<TopicSettings>,
    /// The topics of the process.
    pub(crate) bus: Bus,
    /// How attempts to replace the component have ended.
    pub(crate) swaps: SwapCounts,
    /// The heartbeats of the workers.
    pub(crate) heartbeats: Heartbeats,
    /// The metrics of each worker.
    metrics: Vec<Arc<Metrics>>,
    /// The number of workers that accept.
    ready: watch::Sender<usize>,
    stopping: AtomicBool,
    /// Set while another process accepts in place of this one.
    pub(crate) relieved: StopEvent,
    /// Set once what was another process's is this one's.
    pub(crate) inherited: StopEvent,
    /// How handovers to other processes have ended.
    pub(crate) handovers: HandoverCounts,
}

impl Shared {
    /// For this many workers, none of which accepts yet. Raises the limit on open files.
    pub(crate) fn new(
        settings: &LimitSettings,
        workers: usize,
        grants: &Grants,
        topics: &Arc<TopicSettings>,
        bus: Bus,
    ) -> Self {
        let max = settings.max_connections;
        let max = open_files::connections(max, workers, grants.include_files());
        Self {
            connection_limit: ConnectionLimit::new(max, &grants.files),
            instance_limit: InstanceLimit::of_system(),
            per_address: PerAddressLimiter::new(settings.per_address),
            refusal_log: RefusalLog::default(),
            unsent: UnsentBudget::new(settings.max_unsent),
            open_connections: OpenConnections::new(),
            topics: Arc::clone(topics),
            bus,
            swaps: SwapCounts::default(),
            heartbeats: Heartbeats::new(workers, watchdog_limit()),
            metrics: (0..workers).map(|_| Arc::default()).collect(),
            ready: watch::Sender::new(0),
            stopping: AtomicBool::new(false),
            relieved: StopEvent::new(),
            inherited: StopEvent::new(),
            handovers: HandoverCounts::default(),
        }
    }

    /// The number of times that a connection fell asleep.
    pub(crate) fn fell_asleep(&self) -> u64 {
        self.metrics
            .iter()
            .map(|all| all.sleep.fell_asleep.get())
            .sum()
    }

    /// The metrics of a worker, by its index.
    pub(crate) fn metrics_of(&self, worker: usize) -> Arc<Metrics> {
        self.metrics.get(worker).cloned().unwrap_or_default()
    }

    /// Records that one more worker accepts.
    pub(crate) fn count_ready(&self) {
        self.ready
            .send_modify(|ready| *ready = ready.saturating_add(1));
    }

    /// Waits until all workers accept.
    pub(crate) async fn all_ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender exists, so this cannot fail.
        let _ = ready.wait_for(|ready| *ready >= self.metrics.len()).await;
    }

    /// Records that the process was asked to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Why clients should go elsewhere; `None` if they should not.
    pub(crate) fn unreadiness(&self) -> Option<&'static str> {
        if self.stopping.load(Relaxed) {
            Some("stopping")
        } else if *self.ready.borrow() < self.metrics.len() {
            Some("starting")
        } else if self.metrics.iter().any(|metrics| metrics.is_pausing()) {
            Some("the component keeps failing")
        } else if self.heartbeats.hanging().is_some() {
            Some("a worker hangs")
        } else if self.connection_limit.is_reached() {
            Some("full: no more connections (--max-connections)")
        } else if self.instance_limit.is_reached() {
            Some("full: no more instances (vm.max_map_count)")
        } else if self.unsent.is_exceeded() {
            Some("full: too much is unsent (--max-unsent)")
        } else {
            None
        }
    }

    /// What a runner that is ready says. One whose bus is away is: its clients would gain nothing elsewhere.
    pub(crate) fn readiness(&self) -> &'static str {
        match self.bus.status().engine {
            EngineState::Local | EngineState::Connected { .. } => "ready",
            EngineState::Away { .. } => {
                "ready, but the bus is away (--bus): topics reach only the clients of this runner"
            }
        }
    }

    /// Number of open sockets.
    pub(crate) fn open(&self) -> u64 {
        self.metrics.iter().map(|metrics| metrics.open()).sum()
    }

    /// All metrics in Prometheus's text format.
    pub(crate) fn metrics_text(&self) -> String {
        let now = metrics::Now {
            unsent: self.unsent.total(),
            max_connections: self.connection_limit.max(),
            spans: trace::counts(),
            lost_log_lines: log_writer::lost(),
            swaps: &self.swaps,
            handovers: &self.handovers,
        };
        metrics::to_text(&self.metrics, &self.bus, &now)
    }
}
