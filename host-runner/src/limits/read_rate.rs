//! The limit on the rate at which a connection is read.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::contract::bindings::Instant;

/// A bucket of bytes, or of what else is counted, that fills in one second. Reading more than it holds leaves a deficit, of one second at most,
/// and reading pauses until it is made up: what the client sends meanwhile waits in the system's buffers, then at
/// the client (RFC 9293 §3.8.6).
pub(crate) struct ReadRate {
    per_second: u32,
    left: f64,
    since: Instant,
    pause: Option<Pin<Box<Sleep>>>,
}

impl ReadRate {
    /// A full bucket; `None` if `per_second` is 0, which means no limit.
    pub(crate) fn new(per_second: u32, now: Instant) -> Option<Box<Self>> {
        (per_second > 0).then(|| {
            Box::new(Self {
                per_second,
                left: per_second.into(),
                since: now,
                pause: None,
            })
        })
    }

    /// The most bytes to read at once.
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.per_second).unwrap_or(usize::MAX)
    }

    /// Counts bytes that were read.
    pub(crate) fn received(&mut self, length: usize, now: Instant) {
        let per_second = f64::from(self.per_second);
        let passed = Duration::from_nanos(now.saturating_sub(self.since)).as_secs_f64();
        self.since = now;
        self.left = (self.left + passed * per_second).min(per_second);
        self.left -= u32::try_from(length).map_or(f64::MAX, f64::from);
        if self.left < 0.0 {
            let deficit = Duration::try_from_secs_f64(-self.left / per_second);
            self.pause = Some(Box::pin(sleep(deficit.unwrap_or(Duration::MAX))));
        }
    }

    /// Ready when more may be read.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause.as_mut();
        if pause.is_some_and(|pause| pause.as_mut().poll(context).is_pending()) {
            return Poll::Pending;
        }
        self.pause = None;
        Poll::Ready(())
    }
}

impl fmt::Debug for ReadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.left, self.per_second)
    }
}
