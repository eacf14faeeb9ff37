//! What the workers of a process have in common: the limits that hold for all of them together, and what is
//! counted. None of it is touched while messages go to and fro, but by connections that cannot be sent all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;

use crate::limits::connections::Capacity;
use crate::limits::open_files;
use crate::limits::per_address::Admission;
use crate::limits::settings::LimitSettings;
use crate::limits::unsent::Debts;
use crate::observe::metrics::{self, Metrics};
use crate::observe::trace;

/// Limits and counters of the process.
#[derive(Debug)]
pub struct Shared {
    /// How many connections there may be.
    pub(crate) capacity: Capacity,
    /// How many of an address.
    pub(crate) admission: Arc<Admission>,
    /// What is unsent on all connections.
    pub(crate) debts: Arc<Debts>,
    /// What each worker counts.
    metrics: Vec<Arc<Metrics>>,
    /// How many workers accept.
    ready: watch::Sender<usize>,
    stopping: AtomicBool,
}

impl Shared {
    /// For so many workers, none of which accepts yet. Raises the limit of open files.
    pub(crate) fn new(settings: &LimitSettings, workers: usize) -> Self {
        Self {
            capacity: Capacity::new(open_files::connections(settings.max_connections, workers)),
            admission: Admission::new(settings.per_address),
            debts: Debts::new(settings.max_unsent),
            metrics: (0..workers).map(|_| Arc::default()).collect(),
            ready: watch::Sender::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// The counters of a worker, by its number.
    pub(crate) fn metrics_of(&self, worker: usize) -> Arc<Metrics> {
        self.metrics.get(worker).cloned().unwrap_or_default()
    }

    /// One more worker accepts.
    pub(crate) fn count_ready(&self) {
        self.ready
            .send_modify(|ready| *ready = ready.saturating_add(1));
    }

    /// Waits until all do.
    pub(crate) async fn all_ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender is here: there is no error.
        let _ = ready.wait_for(|ready| *ready >= self.metrics.len()).await;
    }

    /// The process has been asked to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Why clients should go elsewhere, if they should.
    pub(crate) fn unreadiness(&self) -> Option<&'static str> {
        if self.stopping.load(Relaxed) {
            Some("stopping")
        } else if *self.ready.borrow() < self.metrics.len() {
            Some("starting")
        } else if self.metrics.iter().any(|metrics| metrics.is_pausing()) {
            Some("the component fails")
        } else {
            None
        }
    }

    /// How many sockets are open.
    pub(crate) fn open(&self) -> u64 {
        self.metrics.iter().map(|metrics| metrics.open()).sum()
    }

    /// What is counted, as Prometheus reads it.
    pub(crate) fn metrics_text(&self) -> String {
        let now = metrics::Now {
            unsent: self.debts.sum(),
            max_connections: self.capacity.most(),
            spans: trace::counts(),
        };
        metrics::to_text(&self.metrics, &now)
    }
}
