//! When a session is idle, and may sleep.

use std::time::Duration;

use crate::contract::bindings::Instant;
use crate::contract::clock::{NEVER, after};

/// The longest read that counts as the answer to something that the component sends by itself: a masked control frame.
const MAX_ANSWER: usize = 131;

/// The most times that the pause doubles before a connection that cannot sleep is asked again.
const MAX_DOUBLINGS: u8 = 6;

/// How long a connection has not been used. What it sends at an instant that it asked for, such as a ping, does not count,
/// nor does the next short read, which is most likely the answer. If it is something else, the connection sleeps a little
/// early.
#[derive(Debug)]
pub(in super::super) struct Doze {
    after: Option<Duration>,
    /// When it was last used, or could last not sleep.
    since: Instant,
    /// Whether it has been used in the present call.
    is_used: bool,
    awaits_answer: bool,
    /// The number of times in a row that it could not sleep.
    refusals: u8,
}

impl Doze {
    /// A connection that is used now, and may sleep once it has not been for this long.
    pub(in super::super) fn new(hibernate_after: Option<Duration>, now: Instant) -> Self {
        Self {
            after: hibernate_after,
            since: now,
            is_used: false,
            awaits_answer: false,
            refusals: 0,
        }
    }

    /// Something was received.
    pub(in super::super) fn received(&mut self, length: usize) {
        let is_answer = self.awaits_answer && length <= MAX_ANSWER;
        self.awaits_answer &= !is_answer;
        self.is_used |= !is_answer;
    }

    /// Something was sent. `is_timed`: at an instant that the component asked for.
    pub(in super::super) fn sent(&mut self, is_timed: bool) {
        self.awaits_answer |= is_timed;
        self.is_used |= !is_timed;
    }

    /// The time of what was received or sent.
    pub(in super::super) fn note_use(&mut self, now: Instant) {
        if self.is_used {
            self.is_used = false;
            self.since = now;
        }
    }

    /// When the connection may sleep.
    pub(in super::super) fn due(&self) -> Instant {
        match self.after {
            Some(time) => after(self.since, Some(time.saturating_mul(1 << self.refusals))),
            None => NEVER,
        }
    }

    /// It cannot sleep now, perhaps never.
    pub(in super::super) fn refused(&mut self, now: Instant) {
        self.since = now;
        self.refusals = self.refusals.saturating_add(1).min(MAX_DOUBLINGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Instant = 1_000_000_000;

    fn doze() -> Doze {
        Doze::new(Some(Duration::from_secs(10)), 0)
    }

    #[test]
    fn a_ping_and_its_answer_do_not_count() {
        let mut doze = doze();
        doze.sent(true);
        doze.note_use(SECOND);
        doze.received(6);
        doze.note_use(2 * SECOND);
        assert_eq!(doze.due(), 10 * SECOND);
        doze.received(6);
        doze.note_use(3 * SECOND);
        assert_eq!(doze.due(), 13 * SECOND);
        doze.sent(true);
        doze.received(MAX_ANSWER + 1);
        doze.note_use(4 * SECOND);
        assert_eq!(doze.due(), 14 * SECOND, "longer than an answer");
    }

    #[test]
    fn a_connection_that_cannot_sleep_is_asked_less_and_less_often() {
        let mut doze = doze();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let due = doze.due();
            doze.refused(due);
            pauses.push((doze.due() - due) / SECOND);
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 640, 640]);
        assert_eq!(Doze::new(None, 0).due(), NEVER);
    }
}
