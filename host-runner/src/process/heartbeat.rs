//! Whether the workers are alive. Each beats from its event loop, so a worker that hangs falls silent.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How often a worker beats.
const INTERVAL: Duration = Duration::from_secs(1);

/// A worker that has not beaten for this long hangs, or for as long as the service manager's watchdog waits if that is
/// less. Long calls into guests do not count: they finish on another thread.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The last beat of each worker.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    began: Instant,
    /// Milliseconds since then.
    last: Vec<AtomicU64>,
    max_silence: Duration,
}

impl Heartbeats {
    /// For this many workers. The time until the first beat counts. `watchdog`: how long the service manager waits.
    pub(crate) fn new(workers: usize, watchdog: Option<Duration>) -> Self {
        let max_silence = watchdog.unwrap_or(MAX_SILENCE);
        Self {
            began: Instant::now(),
            last: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            max_silence: max_silence.clamp(2 * INTERVAL, MAX_SILENCE),
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
            Duration::from_millis(now.saturating_sub(last.load(Relaxed))) > self.max_silence
        };
        self.last.iter().position(is_silent)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
