//! Warnings about what lasts, such as a limit that is reached: once a minute at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two warnings of the same kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// When a kind of warning was last logged, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    /// Whether to log the warning now.
    pub(crate) fn allows(&self) -> bool {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |at: Instant| now.saturating_duration_since(at) >= INTERVAL;
        let is_due = last.is_none_or(is_old);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_one_warning_in_a_minute() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let allows = |seconds| throttle.allows_at(now + Duration::from_secs(seconds));
        let allowed = [0, 59, 60, 61, 119, 120].map(allows);
        assert_eq!(allowed, [true, false, true, false, false, true]);
    }
}
