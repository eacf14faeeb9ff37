use crate::{Instant, Limits};
use core::time::Duration;

/// Watches that the peer is there: pings one that is silent, and gives it up if it remains so.
///
/// Whatever arrives is a sign of life, not only the pong, which a peer that is sending a long message
/// cannot send in between. That is only noted, and weighed when the time has come, so that receiving
/// moves no timer.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// When something last arrived.
    heard: Instant,
    /// When to look again; none before the connection is in use, and without pings.
    due: Option<Instant>,
    /// Whether a ping has been sent since something last arrived.
    pinged: bool,
}

/// What is to be done about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Wait,
    Ping,
    GiveUp,
}

impl Keepalive {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            interval: limits.ping_interval.unwrap_or(Duration::MAX),
            timeout: limits.ping_timeout,
            heard: Instant::default(),
            due: None,
            pinged: false,
        }
    }

    /// When to [`look`](Self::look); none if never.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something has arrived, or the connection begins.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
        if self.due.is_none() && self.interval != Duration::MAX {
            self.due = Some(now.after(self.interval));
        }
    }

    /// Weighs the silence.
    ///
    /// A peer that has not taken all output may not have had the ping yet, and has not been listened
    /// to while output was unsent: it is for the host to give up one that takes nothing.
    pub(super) fn look(&mut self, now: Instant, unsent: u64) -> Verdict {
        if self.due.is_none_or(|due| now < due) {
            return Verdict::Wait;
        }
        let silent_until = self.heard.after(self.interval);
        let (due, verdict) = match self.pinged {
            _ if now < silent_until => (silent_until, Verdict::Wait),
            _ if unsent > 0 => (now.after(self.timeout), Verdict::Wait),
            false => (now.after(self.timeout), Verdict::Ping),
            true => return Verdict::GiveUp,
        };
        self.pinged |= verdict == Verdict::Ping;
        self.due = Some(due);
        verdict
    }
}
