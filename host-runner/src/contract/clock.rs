//! The clock of a component's instants.

use std::time::{Duration, Instant};

use crate::contract::bindings;

/// A clock whose origin is its start.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock at zero.
    pub fn start() -> Self {
        Self(Instant::now())
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
