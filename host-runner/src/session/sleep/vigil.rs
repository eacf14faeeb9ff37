//! Keeps a peer alive while its connection sleeps: sends pings, and knows answers, by comparing bytes.

use std::rc::Rc;

use crate::contract::bindings::{Instant, Keepalive};
use crate::contract::clock::NEVER;
use crate::pool::Kept;
use crate::session::sleep::latest::Latest;

/// The pings of one connection that sleeps.
#[derive(Debug)]
pub(super) struct Vigil {
    terms: Rc<Terms>,
    ping_at: Instant,
    /// When to wake the connection in any case.
    wake_at: Instant,
    pub(super) kept: Kept,
}

/// What all connections of a component have in common.
#[derive(Debug, PartialEq)]
pub(crate) struct Terms {
    interval: u64,
    timeout: u64,
    ping: Vec<u8>,
    answer: Vec<u8>,
    answer_mask: Vec<u8>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// A ping is to be sent.
    Ping,
    /// The connection is to be woken.
    Wake,
}

impl Vigil {
    pub(super) fn new(keepalive: Keepalive, latest: &Latest<Terms>) -> Self {
        Self {
            ping_at: keepalive.ping_at,
            wake_at: keepalive.wake_at.unwrap_or(NEVER),
            kept: Kept::default(),
            terms: latest.shared(Terms {
                interval: keepalive.interval,
                timeout: keepalive.timeout,
                ping: keepalive.ping,
                answer: keepalive.answer,
                answer_mask: keepalive.answer_mask,
            }),
        }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Instant {
        let of_ping = match self.kept.pinged {
            Some(pinged) => pinged.saturating_add(self.terms.timeout),
            None => self.ping_at,
        };
        of_ping.min(self.wake_at)
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        if self.next() > now {
            Due::Nothing
        } else if self.wake_at <= now || self.kept.pinged.is_some() {
            Due::Wake
        } else {
            Due::Ping
        }
    }

    /// The bytes of a ping, which is sent now.
    pub(super) fn ping(&mut self, now: Instant) -> &[u8] {
        self.kept.pinged = Some(now);
        &self.terms.ping
    }

    /// The number of bytes at the beginning that are the answer to a ping; 0 if there is none, or no ping.
    pub(super) fn answered(&mut self, bytes: &[u8], now: Instant) -> usize {
        if self.kept.pinged.is_none() || !self.terms.is_answer(bytes) {
            return 0;
        }
        self.kept = Kept {
            answered: Some(now),
            pinged: None,
        };
        self.ping_at = now.saturating_add(self.terms.interval);
        self.terms.answer.len()
    }
}

impl Terms {
    /// Whether the bytes begin with an answer.
    fn is_answer(&self, bytes: &[u8]) -> bool {
        let mut compared = bytes.iter().zip(&self.answer).zip(&self.answer_mask);
        bytes.len() >= self.answer.len()
            && compared.all(|((byte, answer), mask)| byte & mask == answer & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PONG: &[u8] = b"\x8a\x80abcd";

    fn vigil(wake_at: Option<Instant>) -> Vigil {
        let keepalive = Keepalive {
            ping_at: 10,
            interval: 20,
            timeout: 5,
            ping: vec![0x89, 0],
            answer: vec![0x8a, 0x80, 0, 0, 0, 0],
            answer_mask: vec![0xff, 0xff, 0, 0, 0, 0],
            wake_at,
        };
        Vigil::new(keepalive, &Latest::default())
    }

    #[test]
    fn pings_until_there_is_no_answer() {
        let mut vigil = vigil(None);
        assert_eq!((vigil.due(9), vigil.due(10)), (Due::Nothing, Due::Ping));
        assert_eq!(vigil.ping(11), [0x89, 0]);
        assert_eq!((vigil.next(), vigil.due(15)), (16, Due::Nothing));
        assert_eq!(vigil.answered(PONG, 12), 6);
        assert_eq!((vigil.next(), vigil.due(32)), (32, Due::Ping));
        vigil.ping(32);
        assert_eq!(vigil.due(37), Due::Wake);
        let Kept { answered, pinged } = vigil.kept;
        assert_eq!((answered, pinged), (Some(12), Some(32)));
    }

    #[test]
    fn only_the_whole_answer_to_a_ping_is_one() {
        let mut vigil = vigil(None);
        assert_eq!(vigil.answered(PONG, 9), 0, "no ping is unanswered");
        vigil.ping(10);
        for other in [&PONG[..5], b"\x8a\x81abcde", b"\x81\x80abcd", b"x", b""] {
            assert_eq!(vigil.answered(other, 11), 0, "{other:?}");
        }
        let twice = [PONG, PONG].concat();
        assert_eq!(vigil.answered(&twice, 12), 6);
        assert_eq!(vigil.answered(PONG, 12), 0, "one is enough");
    }

    #[test]
    fn wakes_when_the_component_wants_it() {
        let mut vigil = vigil(Some(12));
        assert_eq!(vigil.due(10), Due::Ping);
        vigil.ping(10);
        assert_eq!((vigil.next(), vigil.due(12)), (12, Due::Wake));
    }
}
