//! Whether the workers are alive. Each beats from its event loop, so a worker that hangs falls silent.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How often a worker beats.
const INTERVAL: Duration = Duration::from_secs(1);

/// A worker that has not beaten for this long hangs. Long calls into guests do not count: they finish on another thread.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The last beat of each worker.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    began: Instant,
    /// Milliseconds since then.
    last: Vec<AtomicU64>,
}

impl Heartbeats {
    /// For this many workers. The time until the first beat counts.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            began: Instant::now(),
            last: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Beats for a worker, by its index, for as long as its event loop runs.
    pub(crate) async fn beat(&self, worker: usize) {
        let Some(last) = self.last.get(worker) else {
            return;
        };
        loop {
            last.store(self.now(), Relaxed);
            sleep(INTERVAL).await;
        }
    }

    /// The index of a worker that hangs, if one does.
    pub(crate) fn hanging(&self) -> Option<usize> {
        let now = self.now();
        let is_silent = |last: &AtomicU64| {
            Duration::from_millis(now.saturating_sub(last.load(Relaxed))) > MAX_SILENCE
        };
        self.last.iter().position(is_silent)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
