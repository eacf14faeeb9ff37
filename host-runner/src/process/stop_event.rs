//! An event that happens once and that many wait for.

use std::future::Future;

use tokio::sync::watch;

/// Rung once and heard by all, also by those who begin to listen afterwards.
#[derive(Debug)]
pub struct Bell(watch::Sender<bool>);

impl Bell {
    /// A bell that has not rung yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Rings. Ringing again changes nothing.
    pub fn ring(&self) {
        self.0.send_replace(true);
    }

    /// Whether the bell has rung.
    pub fn has_rung(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the bell to ring. A bell that is dropped counts as rung: what it would have
    /// announced is over.
    pub fn rung(&self) -> impl Future<Output = ()> + use<> {
        let mut receiver = self.0.subscribe();
        async move {
            // An error says that the bell is gone.
            let _ = receiver.wait_for(|rung| *rung).await;
        }
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}
