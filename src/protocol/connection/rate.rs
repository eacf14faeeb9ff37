use core::time::Duration;

use crate::protocol::{Instant, Limits, ProtocolError};

/// How much may come at once: what a second allows.
const BURST: Duration = Duration::from_secs(1);

/// Counts the messages of a peer against what it may send in a second.
///
/// Each message costs its part of a second, and time pays for it. A peer may owe a second: what it saved while it
/// was silent is not counted, so that it can never send more than two seconds' worth in one. Messages that came while
/// nothing was read may have been sent in all that time, and are allowed to be read at once.
#[derive(Debug)]
pub(super) struct Rate {
    /// What a message costs; none without a limit.
    cost: Option<Duration>,
    /// When all is paid for.
    paid: Instant,
    /// Since when nothing is read, for the app has enough to do.
    held: Option<Instant>,
    /// The longest that it was so: the peer may owe as much more.
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

    /// The limits are others. What is owed stays owed.
    pub(super) fn limit(&mut self, limits: &Limits) {
        self.cost = cost(limits);
    }

    /// A message begins.
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

    /// Nothing is read from now on, or is again.
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

/// What a message costs by these limits.
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

    /// How many messages are allowed at once at this time.
    fn allowed(rate: &mut Rate, millis: u64) -> usize {
        let now = START.after(Duration::from_millis(millis));
        let messages = (0..1000).map(|_| rate.message(now));
        messages.take_while(Result::is_ok).count()
    }

    #[test]
    fn a_second_s_worth_may_come_at_once_and_time_brings_more() {
        for most in [1, 3, 7, 100] {
            assert_eq!(allowed(&mut rate(most), 0), most as usize, "{most}");
        }
        let mut rate = rate(10);
        for tenth in 0..1000 {
            let now = START.after(Duration::from_millis(tenth * 100));
            assert!(rate.message(now).is_ok(), "{tenth}");
        }
        // Silence is not saved up.
        assert_eq!(allowed(&mut rate, 1_000_000), 10);
    }

    #[test]
    fn none_is_no_limit_and_zero_is_one() {
        let mut none = Rate::new(&Limits::default());
        assert_eq!(allowed(&mut none, 0), 1000);
        assert_eq!(allowed(&mut rate(0), 0), 1);
        assert!(allowed(&mut rate(u32::MAX), 0) == 1000);
    }

    #[test]
    fn what_came_while_nothing_was_read_is_allowed() {
        let mut rate = rate(10);
        let at = |seconds| START.after(Duration::from_secs(seconds));
        rate.hold(true, at(0));
        rate.hold(true, at(3));
        rate.hold(false, at(5));
        assert_eq!(allowed(&mut rate, 5_000), 60);
        // The average is what it was.
        rate.hold(false, at(6));
        assert_eq!(allowed(&mut rate, 6_000), 9);
    }
}
