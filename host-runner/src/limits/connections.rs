//! The limit on connections of the process.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::guest::wasi::OpenFiles;
use crate::guest::wasi::throttle::Throttle;

/// The limit on open connections, over all workers. Consulted only when a connection opens or ends.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max: usize,
    permits: Arc<Semaphore>,
    warnings: Throttle,
}

impl ConnectionLimit {
    /// Keeps a file for each of them.
    pub(crate) fn new(max: usize, files: &OpenFiles) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(max));
        files.keep_for(&permits);
        Self {
            max,
            permits,
            warnings: Throttle::default(),
        }
    }

    /// The most connections.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Whether there are no more.
    pub(crate) fn is_reached(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// Waits until a permit is available, without taking it: an idle worker must not hold one.
    pub(crate) async fn available(&self) {
        if self.is_reached() {
            self.warn();
        }
        // Never closed.
        drop(self.permits.acquire().await);
    }

    /// Takes a permit, held until it is dropped. If another worker took the last one first, the future waits: each
    /// worker has one such connection at most.
    pub(crate) fn acquire(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let permits = Arc::clone(&self.permits);
        // Taken now, not at the first poll: the next call of `available` must see it.
        let acquired = Arc::clone(&permits).try_acquire_owned();
        async move {
            match acquired {
                Ok(permit) => Some(permit),
                Err(_) => permits.acquire_owned().await.ok(),
            }
        }
    }

    /// Takes a permit if one is available.
    pub(crate) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    fn warn(&self) {
        if self.warnings.allows() {
            let max = self.max;
            tracing::warn!(
                "connection limit reached ({max}); new connections are waiting (--max-connections)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn permits_run_out_and_return() {
        let limit = ConnectionLimit::new(2, &OpenFiles::default());
        let first = poll(limit.acquire());
        assert!(poll(limit.available()).is_ready());
        let second = limit.acquire();
        assert!(
            poll(limit.available()).is_pending(),
            "acquired before the poll"
        );
        let mut third = pin!(limit.acquire());
        let context = &mut Context::from_waker(Waker::noop());
        assert!(third.as_mut().poll(context).is_pending());
        drop(first);
        let third = third.as_mut().poll(context);
        assert!(third.is_ready());
        assert!(poll(limit.available()).is_pending());
        drop(second);
        assert!(poll(limit.available()).is_ready());
    }
}
