use alloc::rc::Rc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use super::shared::Shared;
use crate::protocol::Instant;

/// The future returned by [`Sender::sleep`](super::Sender::sleep).
pub struct Sleep {
    shared: Rc<Shared>,
    number: u64,
}

impl Sleep {
    pub(super) fn until(shared: &Rc<Shared>, at: Instant) -> Self {
        Self {
            shared: Rc::clone(shared),
            number: shared.add_timer(at),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.shared.poll_timer(self.number, context)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.shared.remove_timer(self.number);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

/// The shortest interval: zero would never let the host rest.
const MIN_PERIOD: Duration = Duration::from_millis(1);

/// Ticks at regular times, like Go's `time.Ticker`. Returned by
/// [`Sender::interval`](super::Sender::interval).
///
/// The first tick is due one period from now, and each further tick one period later, however long the app
/// takes to handle them. Missed ticks do not add up: one of them comes late, at once, and the next on
/// schedule.
pub struct Interval {
    shared: Rc<Shared>,
    period: Duration,
    due: Instant,
}

impl Interval {
    pub(super) fn new(shared: &Rc<Shared>, period: Duration) -> Self {
        let period = period.max(MIN_PERIOD);
        Self {
            shared: Rc::clone(shared),
            period,
            due: shared.now().after(period),
        }
    }

    /// Waits for the next tick, and returns when it was due. Dropping the future early does not consume a
    /// tick.
    pub async fn tick(&mut self) -> Instant {
        if self.due > self.shared.now() {
            Sleep::until(&self.shared, self.due).await;
        }
        let (due, now) = (self.due, self.shared.now());
        self.due = next(due, self.period, now);
        due
    }

    /// When the next tick is due, to wait for something else until then with
    /// [`timeout_at`](super::Sender::timeout_at).
    #[must_use]
    pub fn due(&self) -> Instant {
        self.due
    }
}

/// The first instant after `now` that is a whole number of periods after `due`.
fn next(due: Instant, period: Duration, now: Instant) -> Instant {
    let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    let late = now.as_nanos().saturating_sub(due.as_nanos());
    now.after(Duration::from_nanos(period - late % period))
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("period", &self.period)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_are_passed_over() {
        let at = Instant::from_nanos;
        let next = |due, period, now| next(at(due), Duration::from_nanos(period), at(now));
        assert_eq!(next(10, 10, 10), at(20));
        assert_eq!(next(10, 10, 12), at(20));
        assert_eq!(next(10, 10, 20), at(30));
        assert_eq!(next(10, 10, 59), at(60));
        assert_eq!(next(5, u64::MAX, u64::MAX - 1), at(u64::MAX));
    }
}
