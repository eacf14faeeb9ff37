//! The limit on instances, over all workers: as many as the system has memory maps for.
//!
//! Beyond it, the system would fail in the middle of a call of any instance, whose memory needs a map to grow.

use std::fs;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::guest::wasi::throttle::Throttle;

/// The memory maps of an instance: its memory, its stack, and their guard pages; seven were measured.
const MAPS: usize = 8;

/// The memory maps kept for the rest of the process.
const RESERVED: usize = 2048;

/// The limit on instances.
#[derive(Debug)]
pub(crate) struct InstanceLimit {
    permits: Arc<Semaphore>,
    warnings: Throttle,
}

impl InstanceLimit {
    /// The limit that the system's limit on memory maps implies.
    pub(crate) fn of_system() -> Arc<Self> {
        let text = fs::read_to_string("/proc/sys/vm/max_map_count");
        let maps: Option<usize> = text.ok().and_then(|text| text.trim().parse().ok());
        Arc::new(Self::new(
            maps.map_or(usize::MAX, |maps| maps.saturating_sub(RESERVED) / MAPS),
        ))
    }

    fn new(max: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))),
            warnings: Throttle::default(),
        }
    }

    /// Takes a permit for an instance, if there is one.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        if permit.is_none() {
            self.warn("there are as many as the memory maps allow (vm.max_map_count)");
        }
        permit
    }

    /// Whether there are no more.
    pub(crate) fn is_reached(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// Logs why no instance is started, at most once a minute.
    pub(crate) fn warn(&self, cause: &str) {
        if self.warnings.allows() {
            tracing::warn!(
                "no room for another instance, requests that need one get 503: {cause}; raise the limit of the system, or \
                 --connections-per-instance"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_run_out_and_return() {
        let limit = InstanceLimit::new(1);
        let permit = limit.take();
        assert!(permit.is_some() && limit.is_reached());
        assert!(limit.take().is_none());
        drop(permit);
        assert!(limit.take().is_some());
    }
}
