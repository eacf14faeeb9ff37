//! The time as components are told it.

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
        // The cast fails after 584 years.
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// When `instant` is; none if it is too far away to ever come.
    pub fn at(self, instant: bindings::Instant) -> Option<tokio::time::Instant> {
        let instant = self.0.checked_add(Duration::from_nanos(instant))?;
        Some(tokio::time::Instant::from_std(instant))
    }
}
