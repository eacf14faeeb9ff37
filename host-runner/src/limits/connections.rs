//! How many connections the process has room for.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often it is logged that there is no room.
const FULL_INTERVAL: Duration = Duration::from_secs(60);

/// Room for so many connections, of all workers together. Asked when one comes and when it ends, and never
/// between.
#[derive(Debug)]
pub(crate) struct Capacity {
    most: usize,
    free: Arc<Semaphore>,
    told_at: Mutex<Option<Instant>>,
}

impl Capacity {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            most,
            free: Arc::new(Semaphore::new(most)),
            told_at: Mutex::default(),
        }
    }

    /// How many connections there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Waits until there is room, and does not take it: a worker to which nobody comes must keep none.
    pub(crate) async fn room(&self) {
        if self.free.available_permits() == 0 {
            self.tell_full();
        }
        // It is never closed.
        drop(self.free.acquire().await);
    }

    /// Takes room, until what comes is dropped. Where another worker was faster, it is waited for: each worker
    /// has one such connection at most.
    pub(crate) fn take(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let free = Arc::clone(&self.free);
        // Now, and not when this is polled first: the next one to come shall see it.
        let taken = Arc::clone(&free).try_acquire_owned();
        async move {
            match taken {
                Ok(room) => Some(room),
                Err(_) => free.acquire_owned().await.ok(),
            }
        }
    }

    /// Takes room, if there is some.
    pub(crate) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    fn tell_full(&self) {
        let now = Instant::now();
        let is_old = |at: Instant| now.saturating_duration_since(at) >= FULL_INTERVAL;
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(is_old) {
            *told_at = Some(now);
            let most = self.most;
            tracing::warn!("{most} connections are open: others wait (--max-connections)");
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
    fn there_is_room_until_it_is_taken() {
        let capacity = Capacity::new(2);
        let first = poll(capacity.take());
        assert!(poll(capacity.room()).is_ready());
        let second = capacity.take();
        assert!(poll(capacity.room()).is_pending(), "taken before the poll");
        let mut third = pin!(capacity.take());
        let context = &mut Context::from_waker(Waker::noop());
        assert!(third.as_mut().poll(context).is_pending());
        drop(first);
        let third = third.as_mut().poll(context);
        assert!(third.is_ready());
        assert!(poll(capacity.room()).is_pending());
        drop(second);
        assert!(poll(capacity.room()).is_ready());
    }
}
