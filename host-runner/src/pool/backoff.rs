//! Pauses between instances that fail one after the other.
//!
//! A component that fails at its start, or at the first thing that it is asked, would otherwise be started as fast as
//! clients ask. As long as one of its instances lives well it is not broken: then whoever makes others fail must not be able
//! to have pauses made for all.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long an instance lives that lives well.
const WELL: Duration = Duration::from_secs(1);

/// How many may fail sooner, one after the other, before there are pauses.
const FREE: u32 = 5;

/// The pause behind the first one more, and the longest. Each is twice the one before.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(10);

/// How the instances of a pool have ended of late.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Those that have not lived well, one after the other.
    failed: Cell<u32>,
    until: Cell<Option<Instant>>,
}

impl Backoff {
    /// An instance has failed that was born then. Returns until when none shall be made, if that is so.
    pub(crate) fn failed(&self, born: Instant, now: Instant) -> Option<Instant> {
        if is_well(born, now) {
            self.recover();
            return None;
        }
        self.failed.set(self.failed.get().saturating_add(1));
        let beyond = self.failed.get().checked_sub(FREE.saturating_add(1))?;
        let pause = FIRST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
        let until = now.checked_add(pause.min(LONGEST));
        if self.until.replace(until).is_none() {
            tracing::warn!(
                "instances fail one after the other, within a second: the next ones are made after pauses, and \
                 requests get 503 meanwhile"
            );
        }
        until
    }

    /// How long no instance shall be made, with these there that were born then.
    pub(crate) fn pause(
        &self,
        mut born: impl Iterator<Item = Instant>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Duration> {
        if self.failed.get() == 0 {
            return None;
        }
        let now = now();
        if born.any(|born| is_well(born, now)) {
            self.recover();
        }
        let left = self.until.get()?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// The component is another now.
    pub(crate) fn forget(&self) {
        self.failed.set(0);
        self.until.set(None);
    }

    fn recover(&self) {
        self.failed.set(0);
        if self.until.take().is_some() {
            tracing::info!("instances live on: the next ones are made without pauses");
        }
    }
}

fn is_well(born: Instant, now: Instant) -> bool {
    now.saturating_duration_since(born) >= WELL
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    /// The pauses behind so many failures, each at the end of the pause before.
    fn pauses(backoff: &Backoff, number: usize) -> Vec<u128> {
        let mut now = Instant::now();
        let pauses = (0..number).map(|_| {
            let until = backoff.failed(now, now).unwrap_or(now);
            let pause = until.saturating_duration_since(now).as_millis();
            now = until;
            pause
        });
        pauses.collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut expected = vec![0; 5];
        expected.extend([10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000]);
        expected.extend([10_000; 40]);
        assert_eq!(pauses(&Backoff::default(), expected.len()), expected);
    }

    #[test]
    fn a_pause_is_over_in_its_time() {
        let (backoff, born) = (Backoff::default(), Instant::now());
        let pause = |later| backoff.pause(iter::empty(), || born + Duration::from_millis(later));
        assert_eq!(pause(0), None);
        for _ in 0..7 {
            backoff.failed(born, born);
        }
        assert_eq!(pause(0), Some(Duration::from_millis(20)));
        assert_eq!(pause(19), Some(Duration::from_millis(1)));
        assert_eq!(pause(20), None);
        backoff.failed(born, born);
        assert_eq!(pause(0), Some(Duration::from_millis(40)), "it goes on");
    }

    #[test]
    fn one_that_lives_well_ends_it() {
        let backoff = Backoff::default();
        let born = Instant::now();
        for _ in 0..20 {
            backoff.failed(born, born);
        }
        let later = born + Duration::from_millis(999);
        assert!(backoff.pause(iter::once(born), || later).is_some());
        let later = born + WELL;
        assert_eq!(backoff.pause(iter::once(born), || later), None);
        assert_eq!(pauses(&backoff, 6), [0, 0, 0, 0, 0, 10]);
        assert_eq!(backoff.failed(born, later), None, "it has lived well");
        assert_eq!(pauses(&backoff, 6), [0, 0, 0, 0, 0, 10]);
    }
}
