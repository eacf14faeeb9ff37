//! Write timeout: gives up on peers that stop reading.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A timeout on the writes of one socket. Any byte the peer accepts is progress: a slow reader gets everything, one
/// that stops reading is disconnected.
#[derive(Debug)]
pub(crate) struct WriteTimeout {
    timeout: Duration,
    /// Runs while a write is pending.
    timer: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            timer: None,
        }
    }

    /// Passes on the outcome of a write, or fails if it has been pending for too long.
    pub(crate) fn check<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        timer.as_mut().poll(context).map(|()| {
            let text = "the peer has stopped reading";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}
