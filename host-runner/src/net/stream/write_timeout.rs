//! How long a peer may take nothing of what it is sent.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Watches the writes of one socket: any byte that the peer takes is progress, so that a slow reader
/// gets everything, and one that does not read is given up.
#[derive(Debug)]
pub(crate) struct Stall {
    patience: Duration,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            timer: None,
        }
    }

    /// What comes of a write: an error, if it has waited for too long.
    pub(crate) fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let patience = self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        timer.as_mut().poll(context).map(|()| {
            let text = "the peer takes nothing of what it is sent";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}
