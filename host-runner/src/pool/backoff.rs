//! Exponential backoff between starts of instances that keep failing.
//!
//! Without it, a component that fails when it starts, or at its first call, would be started as fast as clients send
//! requests. While any instance is stable, the component is not broken and there is no backoff: a client that makes
//! other instances fail must not be able to impose it on everyone.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The age at which an instance is stable.
const STABLE_AGE: Duration = Duration::from_secs(1);

/// The number of early failures in a row that cause no backoff.
const FREE_FAILURES: u32 = 5;

/// The first delay, and the longest. Each is twice the one before.
const MIN_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The recent failures of a pool's instances.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Instances in a row that failed before they were stable.
    failures: Cell<u32>,
    until: Cell<Option<Instant>>,
}

impl Backoff {
    /// Records the failure of an instance that started at `started`. Returns the instant until which none may be
    /// started, if there is a backoff.
    pub(crate) fn failed(&self, started: Instant, now: Instant) -> Option<Instant> {
        if is_stable(started, now) {
            self.clear();
            return None;
        }
        self.failures.set(self.failures.get().saturating_add(1));
        let doublings = self
            .failures
            .get()
            .checked_sub(FREE_FAILURES.saturating_add(1))?;
        let delay = MIN_DELAY.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        let until = now.checked_add(delay.min(MAX_DELAY));
        if self.until.replace(until).is_none() {
            tracing::warn!(
                "instances keep failing within a second of starting; backing off, requests get 503"
            );
        }
        until
    }

    /// The time left until an instance may be started. `started` are the start times of the live ones.
    pub(crate) fn remaining(
        &self,
        mut started: impl Iterator<Item = Instant>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Duration> {
        if self.failures.get() == 0 {
            return None;
        }
        let now = now();
        if started.any(|started| is_stable(started, now)) {
            self.clear();
        }
        let left = self.until.get()?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Starts over, without a log line: the component was replaced.
    pub(crate) fn reset(&self) {
        self.failures.set(0);
        self.until.set(None);
    }

    fn clear(&self) {
        self.failures.set(0);
        if self.until.take().is_some() {
            tracing::info!("instances are stable again; backoff cleared");
        }
    }
}

fn is_stable(started: Instant, now: Instant) -> bool {
    now.saturating_duration_since(started) >= STABLE_AGE
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    /// The delays, in milliseconds, after this number of failures, each at the end of the previous delay.
    fn delays(backoff: &Backoff, number: usize) -> Vec<u128> {
        let mut now = Instant::now();
        let delays = (0..number).map(|_| {
            let until = backoff.failed(now, now).unwrap_or(now);
            let delay = until.saturating_duration_since(now).as_millis();
            now = until;
            delay
        });
        delays.collect()
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut expected = vec![0; 5];
        expected.extend([10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000]);
        expected.extend([10_000; 40]);
        assert_eq!(delays(&Backoff::default(), expected.len()), expected);
    }

    #[test]
    fn delays_end_on_time() {
        let (backoff, started) = (Backoff::default(), Instant::now());
        let remaining =
            |after| backoff.remaining(iter::empty(), || started + Duration::from_millis(after));
        assert_eq!(remaining(0), None);
        for _ in 0..7 {
            backoff.failed(started, started);
        }
        assert_eq!(remaining(0), Some(Duration::from_millis(20)));
        assert_eq!(remaining(19), Some(Duration::from_millis(1)));
        assert_eq!(remaining(20), None);
        backoff.failed(started, started);
        assert_eq!(
            remaining(0),
            Some(Duration::from_millis(40)),
            "it continues"
        );
    }

    #[test]
    fn a_stable_instance_clears_the_backoff() {
        let backoff = Backoff::default();
        let started = Instant::now();
        for _ in 0..20 {
            backoff.failed(started, started);
        }
        let later = started + Duration::from_millis(999);
        assert!(backoff.remaining(iter::once(started), || later).is_some());
        let later = started + STABLE_AGE;
        assert_eq!(backoff.remaining(iter::once(started), || later), None);
        assert_eq!(delays(&backoff, 6), [0, 0, 0, 0, 0, 10]);
        assert_eq!(backoff.failed(started, later), None, "it was stable");
        assert_eq!(delays(&backoff, 6), [0, 0, 0, 0, 0, 10]);
    }
}
