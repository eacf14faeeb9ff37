use core::time::Duration;

use crate::protocol::{Instant, Limits, ProtocolError};

/// The largest burst: one second's worth.
const BURST: Duration = Duration::from_secs(1);

/// Limits the number of messages that a peer may send per second.
///
/// Each message costs its share of a second, and passing time pays for it. A peer may owe up to one second.
/// Silence earns no credit, so a peer can never send more than two seconds' worth in one second. Messages
/// that came while nothing was read may have been sent over all that time, so they may all be read at once.
#[derive(Debug)]
pub(super) struct Rate {
    /// The cost of a message; `None` without a limit.
    cost: Option<Duration>,
    /// When everything is paid for.
    paid: Instant,
    /// Since when nothing has been read because the app is busy.
    held: Option<Instant>,
    /// The longest such time, by which the peer may owe more.
    longest: Duration,
}

impl Rate {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            cost: cost(limits),
            paid: Instant::default(),
            held: None,
            longest: Duration::ZERO,
        }
    }

    /// Applies changed limits. What is owed stays owed.
    pub(super) fn limit(&mut self, limits: &Limits) {
        self.cost = cost(limits);
    }

    /// Counts a message that begins.
    pub(super) fn message(&mut self, now: Instant) -> Result<(), ProtocolError> {
        let Some(cost) = self.cost else {
            return Ok(());
        };
        self.paid = self.paid.max(now).after(cost);
        if self.paid.since(now) > BURST.saturating_add(self.longest) {
            return Err(ProtocolError::TooManyMessages);
        }
        Ok(())
    }

    /// Notes whether reading from the peer has stopped.
    pub(super) fn hold(&mut self, held: bool, now: Instant) {
        match (held, self.held) {
            (true, None) => self.held = Some(now),
            (false, Some(since)) => {
                self.longest = self.longest.max(now.since(since));
                self.held = None;
            }
            _ => {}
        }
    }
}

/// The cost of a message under these limits.
fn cost(limits: &Limits) -> Option<Duration> {
    let most = limits.max_messages_per_second;
    most.map(|most| BURST / most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1 << 40);

    fn rate(most: u32) -> Rate {
        Rate::new(&Limits {
            max_messages_per_second: Some(most),
            ..Limits::default()
        })
    }

    /// The number of messages that are allowed at once at this time.
    fn allowed(rate: &mut Rate, millis: u64) -> usize {
        let now = START.after(Duration::from_millis(millis));
        let messages = (0..1000).map(|_| rate.message(now));
        messages.take_while(Result::is_ok).count()
    }

    #[test]
    fn allows_one_second_burst_then_refills() {
        for most in [1, 3, 7, 100] {
            assert_eq!(allowed(&mut rate(most), 0), most as usize, "{most}");
        }
        let mut rate = rate(10);
        for tenth in 0..1000 {
            let now = START.after(Duration::from_millis(tenth * 100));
            assert!(rate.message(now).is_ok(), "{tenth}");
        }
        // Silence earns no credit.
        assert_eq!(allowed(&mut rate, 1_000_000), 10);
    }

    #[test]
    fn none_is_unlimited_and_zero_allows_one() {
        let mut none = Rate::new(&Limits::default());
        assert_eq!(allowed(&mut none, 0), 1000);
        assert_eq!(allowed(&mut rate(0), 0), 1);
        assert!(allowed(&mut rate(u32::MAX), 0) == 1000);
    }

    #[test]
    fn allows_what_came_while_nothing_was_read() {
        let mut rate = rate(10);
        let at = |seconds| START.after(Duration::from_secs(seconds));
        rate.hold(true, at(0));
        rate.hold(true, at(3));
        rate.hold(false, at(5));
        assert_eq!(allowed(&mut rate, 5_000), 60);
        // The average stays the same.
        rate.hold(false, at(6));
        assert_eq!(allowed(&mut rate, 6_000), 9);
    }
}
