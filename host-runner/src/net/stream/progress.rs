//! The progress of a peer: what it has acknowledged, not what the system has accepted for it.
//!
//! A system takes megabytes for a peer that reads nothing, and then nothing for minutes from a peer that reads slowly.
//! So a peer gets as long as it takes, as long as it takes something: the number of bytes that it has acknowledged has
//! to grow. Where the system does not tell, what it accepts has to do.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How many times per timeout a peer that should take output is looked at.
const LOOKS: u32 = 8;

/// The first and the longest time between two looks at whether everything is acknowledged, since no event says so.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(250);

/// The number of bytes written to a socket that its peer has not acknowledged (tcp(7)); for a Unix socket, 0 once the
/// peer has read everything. `None` if the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn unacknowledged(socket: impl AsFd) -> Option<usize> {
    use rustix::ioctl::{Getter, Opcode, ioctl};

    /// `SIOCOUTQ`, of which this is the older name.
    const TIOCOUTQ: Opcode = 0x5411;
    #[allow(unsafe_code, reason = "rustix has no function of its own for it")]
    // SAFETY: this is the opcode on every architecture that wasmtime compiles for, and it writes a C `int`.
    let queued = unsafe { ioctl(socket, Getter::<TIOCOUTQ, i32>::new()) };
    queued.ok().and_then(|queued| usize::try_from(queued).ok())
}

/// As above: other systems do not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unacknowledged(_: impl AsFd) -> Option<usize> {
    None
}

/// The time that the peer of one socket has to take output.
#[derive(Debug)]
pub(crate) struct Progress {
    timeout: Duration,
    /// The number of bytes written so far.
    written: u64,
    /// Runs while a write is pending.
    write: Option<Box<Watch>>,
    /// Runs while something is unacknowledged, if that is waited for.
    delivery: Option<Box<Watch>>,
}

impl Progress {
    /// A peer that fails if it takes nothing for this long.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            written: 0,
            write: None,
            delivery: None,
        }
    }

    /// Changes the timeout.
    pub(crate) fn limit(&mut self, timeout: Duration) {
        if timeout != self.timeout {
            *self = Self {
                written: self.written,
                ..Self::new(timeout)
            };
        }
    }

    /// Counts bytes written.
    pub(crate) fn wrote(&mut self, length: usize) {
        self.written = self.written.saturating_add(length as u64);
    }

    /// Passes on the outcome of a write, or fails if it has been pending while the peer took nothing for too long.
    pub(crate) fn check<T>(
        &mut self,
        context: &mut Context<'_>,
        unacknowledged: impl Fn() -> Option<usize>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write = None;
            return outcome;
        }
        let (timeout, written) = (self.timeout, self.written);
        let acknowledged = || acknowledged(written, unacknowledged());
        let pause = timeout / LOOKS;
        let watch = self
            .write
            .get_or_insert_with(|| Watch::begin(acknowledged(), pause));
        watch
            .poll_stalled(context, timeout, pause, acknowledged)
            .map(Err)
    }

    /// Waits until the peer has acknowledged everything, or fails if it has acknowledged nothing for too long.
    pub(crate) fn poll_delivered(
        &mut self,
        context: &mut Context<'_>,
        unacknowledged: impl Fn() -> Option<usize>,
    ) -> Poll<io::Result<()>> {
        if unacknowledged().unwrap_or(0) == 0 {
            self.delivery = None;
            return Poll::Ready(Ok(()));
        }
        let (timeout, written) = (self.timeout, self.written);
        let acknowledged = || acknowledged(written, unacknowledged());
        let watch = self
            .delivery
            .get_or_insert_with(|| Watch::begin(acknowledged(), FIRST_LOOK));
        let longest = LAST_LOOK.min(timeout / LOOKS);
        let stalled = watch.poll_stalled(context, timeout, longest, acknowledged);
        if unacknowledged() == Some(0) {
            self.delivery = None;
            return Poll::Ready(Ok(()));
        }
        stalled.map(Err)
    }
}

/// The number of bytes acknowledged. What TLS adds makes it too small, by the same for as long as nothing is written.
fn acknowledged(written: u64, unacknowledged: Option<usize>) -> i128 {
    let left = unacknowledged.map_or(0, |left| left as i128);
    i128::from(written) - left
}

/// When the number of acknowledged bytes last grew.
#[derive(Debug)]
struct Watch {
    acknowledged: i128,
    grown_at: Instant,
    pause: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    fn begin(acknowledged: i128, pause: Duration) -> Box<Self> {
        Box::new(Self {
            acknowledged,
            grown_at: Instant::now(),
            pause,
            timer: Box::pin(sleep(pause)),
        })
    }

    /// Ready with an error once the number has not grown for the timeout.
    fn poll_stalled(
        &mut self,
        context: &mut Context<'_>,
        timeout: Duration,
        longest: Duration,
        acknowledged: impl Fn() -> i128,
    ) -> Poll<io::Error> {
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let acknowledged = acknowledged();
            if acknowledged > self.acknowledged {
                self.acknowledged = acknowledged;
                self.grown_at = now;
            }
            let stalled = now.duration_since(self.grown_at);
            if stalled >= timeout {
                let text = "the peer has stopped reading (--send-timeout)";
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.pause = self.pause.saturating_mul(2).min(longest);
            let left = timeout.saturating_sub(stalled);
            self.timer.as_mut().reset(now + self.pause.min(left));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(80);

    /// Polls a write that stays pending while the peer acknowledges one byte each time it is looked at.
    #[tokio::test]
    async fn a_peer_that_acknowledges_has_as_long_as_it_takes() {
        let mut progress = Progress::new(TIMEOUT);
        let left = Cell::new(20_usize);
        progress.wrote(20);
        let since = Instant::now();
        let outcome: io::Result<()> = poll_fn(|context| {
            let look = || {
                left.set(left.get().saturating_sub(1));
                Some(left.get())
            };
            progress.check(context, look, Poll::Pending)
        })
        .await;
        assert!(outcome.is_err());
        // The last byte was acknowledged long after the first timeout.
        assert!(since.elapsed() > 2 * TIMEOUT, "{:?}", since.elapsed());
    }

    #[tokio::test]
    async fn a_peer_that_acknowledges_nothing_fails() {
        for left in [None, Some(7)] {
            let mut progress = Progress::new(TIMEOUT);
            let outcome: io::Result<()> =
                poll_fn(|context| progress.check(context, || left, Poll::Pending)).await;
            let error = outcome.map_err(|error| error.kind());
            assert_eq!(error, Err(io::ErrorKind::TimedOut));
        }
    }

    #[tokio::test]
    async fn waits_until_everything_is_acknowledged() {
        let mut progress = Progress::new(TIMEOUT);
        let left = Cell::new(5_usize);
        let look = || {
            left.set(left.get().saturating_sub(1));
            Some(left.get())
        };
        let outcome = poll_fn(|context| progress.poll_delivered(context, look)).await;
        assert!(outcome.is_ok() && left.get() == 0);
    }
}
