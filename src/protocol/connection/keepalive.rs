use crate::protocol::{Instant, Limits, Reader, ResumeError, Writer};
use core::time::Duration;

/// Checks that the peer is alive: pings a silent peer, and gives up if it stays silent.
///
/// Anything that arrives is a sign of life, not only the pong, which a peer cannot send in the middle of a
/// long frame. Arrivals are only noted, and checked at the next deadline, so that receiving moves no timer.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// When something last arrived.
    heard: Instant,
    /// When to check next; `None` before the connection is in use, and without pings.
    due: Option<Instant>,
    /// Whether a ping has been sent since something last arrived.
    pinged: bool,
}

/// The action that a check of the peer calls for.
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

    /// Writes how long the peer has been silent, the time until the next check, and whether a ping is
    /// unanswered.
    pub(super) fn suspend(&self, now: Instant, state: &mut Writer) {
        state.duration(now.since(self.heard));
        let due_in = self.due.map(|due| due.since(now));
        state.duration(due_in.unwrap_or(self.interval));
        state.byte(u8::from(self.pinged));
    }

    /// Reads it back. The next check is never later than the limits allow, whatever the state says.
    pub(super) fn resume(
        at: Instant,
        limits: &Limits,
        state: &mut Reader<'_>,
    ) -> Result<Self, ResumeError> {
        let new = Self::new(limits);
        let heard = at.before(state.duration()?);
        let due_in = state.duration()?.min(new.interval.max(new.timeout));
        let is_watched = limits.ping_interval.is_some();
        Ok(Self {
            heard,
            due: is_watched.then(|| at.after(due_in)),
            pinged: state.flag()?,
            ..new
        })
    }

    /// When to ping the peer if it stays silent; `None` if it is not watched, or has yet to answer a ping.
    pub(super) fn ping_at(&self) -> Option<Instant> {
        let due = self.due.filter(|_| !self.pinged)?;
        Some(due.max(self.heard.after(self.interval)))
    }

    /// How long the peer may be silent, and how long it may take to answer a ping.
    pub(super) fn times(&self) -> (Duration, Duration) {
        (self.interval, self.timeout)
    }

    /// Notes that the host has pinged the peer meanwhile: when it last answered, and when it was sent a ping that is still
    /// unanswered. Neither is earlier than what is known.
    pub(super) fn kept(&mut self, answered: Option<Instant>, pinged: Option<Instant>) {
        if self.due.is_none() {
            return;
        }
        if let Some(answered) = answered.filter(|answered| *answered > self.heard) {
            self.heard(answered);
            self.due = Some(answered.after(self.interval));
        }
        if let Some(pinged) = pinged {
            self.pinged = true;
            self.due = Some(pinged.after(self.timeout));
        }
    }

    /// When to [`look`](Self::look); `None` for never.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Notes that something has arrived, or that the connection begins.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
        if self.due.is_none() && self.interval != Duration::MAX {
            self.due = Some(now.after(self.interval));
        }
    }

    /// Checks for silence.
    ///
    /// A peer that has not taken all output may not have received the ping yet, and the host has not read
    /// from it while output was unsent. Giving up on a peer that takes nothing is up to the host.
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
