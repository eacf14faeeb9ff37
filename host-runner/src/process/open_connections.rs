//! The open connections of all workers: while there are any, a worker may have to take over one of them.

use tokio::sync::watch;

/// Knows whether connections are open, wherever they are served.
#[derive(Debug)]
pub(crate) struct OpenConnections(watch::Sender<()>);

/// Held for each connection, and by each worker that accepts some.
#[derive(Debug)]
pub(crate) struct OpenConnection(#[allow(dead_code, reason = "it is counted")] watch::Receiver<()>);

impl OpenConnections {
    /// Without connections.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Counts a connection until the value is dropped.
    pub(crate) fn count(&self) -> OpenConnection {
        OpenConnection(self.0.subscribe())
    }

    /// Waits until there is no connection.
    pub(crate) async fn all_closed(&self) {
        self.0.closed().await;
    }
}
