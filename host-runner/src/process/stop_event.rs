//! An event that happens once and that many wait for.

use std::future::Future;

use tokio::sync::watch;

/// Set once and seen by all, also by those who begin to wait afterwards.
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

    /// Waits until it is set. An event that is dropped counts as set: what it would have announced is over.
    pub fn wait(&self) -> impl Future<Output = ()> + use<> {
        let mut receiver = self.0.subscribe();
        async move {
            // An error says that the event is gone.
            let _ = receiver.wait_for(|set| *set).await;
        }
    }
}

impl Default for StopEvent {
    fn default() -> Self {
        Self::new()
    }
}
