//! The timer that wakes a guest when it asked for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until};

use crate::contract::bindings::Instant;
use crate::contract::clock::Clock;

/// The timer of one connection. Its `Sleep` is made when it is first needed.
#[derive(Default)]
pub(crate) struct Timer {
    wake_at: Wake,
    sleep: Option<Pin<Box<Sleep>>>,
    yielding: Option<Yield>,
}

/// Lets other tasks run first, once.
type Yield = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Wake {
    #[default]
    Never,
    /// The runtime's timers have a resolution of a millisecond, so a guest that has more to do now is called again
    /// once the other tasks have run.
    AtOnce,
    At(tokio::time::Instant),
}

impl Timer {
    /// A timer that goes off never, with this to wait by.
    pub(crate) fn with(sleep: Option<Pin<Box<Sleep>>>) -> Self {
        Self {
            sleep,
            ..Self::default()
        }
    }

    /// What the timer waits by.
    pub(crate) fn into_sleep(self) -> Option<Pin<Box<Sleep>>> {
        self.sleep
    }

    /// Sets the timer to the instant requested by the call made at `called_at`. Returns whether it must be polled to go
    /// off then.
    pub(crate) fn set(
        &mut self,
        wake_at: Option<Instant>,
        called_at: Instant,
        clock: Clock,
    ) -> bool {
        let wake_at = match wake_at {
            Some(instant) if instant <= called_at => Wake::AtOnce,
            Some(instant) => clock.at(instant).map_or(Wake::Never, Wake::At),
            None => Wake::Never,
        };
        self.wake_at = wake_at;
        let Wake::At(instant) = wake_at else {
            return wake_at == Wake::AtOnce;
        };
        match &mut self.sleep {
            // The deadline moves back with each message. The `Sleep` still goes off before it, and looking again
            // then costs less than moving the `Sleep` each time.
            Some(sleep) if sleep.deadline() <= instant && !sleep.is_elapsed() => return false,
            Some(sleep) => sleep.as_mut().reset(instant),
            none => *none = Some(Box::pin(sleep_until(instant))),
        }
        true
    }

    /// Returns `Ready` once when the time has come.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.wake_at {
            Wake::Never => return Poll::Pending,
            Wake::AtOnce => {
                let yielding = self.yielding.get_or_insert_with(|| Box::pin(yield_now()));
                ready!(yielding.as_mut().poll(context));
                self.yielding = None;
            }
            Wake::At(instant) => {
                let Some(sleep) = &mut self.sleep else {
                    return Poll::Pending;
                };
                ready!(sleep.as_mut().poll(context));
                if sleep.deadline() < instant {
                    sleep.as_mut().reset(instant);
                    ready!(sleep.as_mut().poll(context));
                }
            }
        }
        self.wake_at = Wake::Never;
        Poll::Ready(())
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wake_at.fmt(f)
    }
}
