//! An event that many wait for.

use std::future::Future;

use tokio::sync::watch;

/// An event that is seen by all once it is set, including those that start to wait afterwards.
#[derive(Debug)]
pub struct StopEvent(watch::Sender<bool>);

impl StopEvent {
    /// An event that is not set yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Sets it. Setting it again changes nothing.
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    /// Takes it back, for those that begin to wait afterwards.
    pub fn clear(&self) {
        self.0.send_replace(false);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is not set.
    pub fn wait_until_cleared(&self) -> impl Future<Output = ()> + use<> {
        let mut receiver = self.0.subscribe();
        async move {
            // An error means that the event is gone.
            let _ = receiver.wait_for(|set| !*set).await;
        }
    }

    /// Waits until it is set. If the event is dropped, it counts as set.
    pub fn wait(&self) -> impl Future<Output = ()> + use<> {
        let mut receiver = self.0.subscribe();
        async move {
            // An error means that the event is gone.
            let _ = receiver.wait_for(|set| *set).await;
        }
    }
}

impl Default for StopEvent {
    fn default() -> Self {
        Self::new()
    }
}
