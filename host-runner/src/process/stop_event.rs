//! An event that is set once and that many wait for.

use std::future::Future;

use tokio::sync::watch;

/// An event that is set once and seen by all, including those that start to wait afterwards.
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
