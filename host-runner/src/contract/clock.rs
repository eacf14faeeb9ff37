//! The clock of a component's instants.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::contract::bindings;

/// The system's monotonic clock, in nanoseconds: the same for all processes.
pub(crate) fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Later than any instant that will come.
pub(crate) const NEVER: bindings::Instant = bindings::Instant::MAX;

/// This long after the instant; never, if there is no time.
pub(crate) fn after(instant: bindings::Instant, time: Option<Duration>) -> bindings::Instant {
    let nanos = time.map_or(NEVER, |time| {
        u64::try_from(time.as_nanos()).unwrap_or(NEVER)
    });
    instant.saturating_add(nanos)
}

/// A clock whose origin is its start.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock at zero.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// A clock that has run for this long, as far as the system can tell.
    pub fn started_before(time: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_sub(time).unwrap_or(now))
    }

    /// The time now.
    pub fn now(self) -> bindings::Instant {
        // Overflows after 584 years.
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time of `instant`; `None` if it is too far in the future.
    pub fn at(self, instant: bindings::Instant) -> Option<tokio::time::Instant> {
        let instant = self.0.checked_add(Duration::from_nanos(instant))?;
        Some(tokio::time::Instant::from_std(instant))
    }
}
