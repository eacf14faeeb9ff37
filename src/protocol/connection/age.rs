use core::time::Duration;

use crate::protocol::{CloseCode, Instant, Limits, Reader, ResumeError, Writer};

/// Tracks how long a connection has been open, and how long it has carried no message.
///
/// As with [`Keepalive`](super::keepalive::Keepalive), a message is only noted, and checked at the next
/// deadline.
#[derive(Debug)]
pub(super) struct Age {
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    /// When the connection began.
    began: Option<Instant>,
    /// When a message, or part of one, last went either way.
    active: Instant,
    /// When to check whether one has gone since.
    look_at: Option<Instant>,
}

/// Why a connection has been open for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Idle,
    Old,
}

impl Over {
    /// The code and the reason to send to the peer. RFC 6455 §7.4.1 has 1001 for an endpoint that "is going
    /// away"; the IANA registry 1012 for one that the peer may come back to at once.
    pub(super) fn reason(self) -> (CloseCode, &'static str) {
        match self {
            Self::Idle => (CloseCode::GOING_AWAY, "no message for too long"),
            Self::Old => (CloseCode::SERVICE_RESTART, "open for too long"),
        }
    }
}

impl Age {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            idle_timeout: limits.idle_timeout,
            max_lifetime: limits.max_lifetime,
            began: None,
            active: Instant::default(),
            look_at: None,
        }
    }

    /// Starts the clock, unless it has started.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.began.is_none() {
            self.began = Some(now);
            self.active = now;
            self.look_at = self.idle_timeout.map(|timeout| now.after(timeout));
        }
    }

    /// Writes how long no message has gone either way, and the age of the connection.
    pub(super) fn suspend(&self, now: Instant, state: &mut Writer) {
        state.duration(now.since(self.active));
        state.duration(now.since(self.began.unwrap_or(now)));
    }

    /// Reads it back. Under the new limits the connection may have been open for long enough.
    pub(super) fn resume(
        at: Instant,
        limits: &Limits,
        state: &mut Reader<'_>,
    ) -> Result<Self, ResumeError> {
        let active = at.before(state.duration()?);
        let began = at.before(state.duration()?);
        Ok(Self {
            began: Some(began),
            active,
            look_at: limits.idle_timeout.map(|timeout| active.after(timeout)),
            ..Self::new(limits)
        })
    }

    /// When the connection's lifetime ends.
    fn ends(&self) -> Option<Instant> {
        let began = self.began?;
        self.max_lifetime.map(|lifetime| began.after(lifetime))
    }

    /// Notes that a message, or part of one, has been sent or received.
    pub(super) fn active(&mut self, now: Instant) {
        self.active = now;
    }

    /// When to [`look`](Self::look); `None` for never.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = [self.look_at, self.ends()];
        due.into_iter().flatten().min()
    }

    /// Checks whether the connection has been open or idle for too long. While output is unsent it is not
    /// idle.
    pub(super) fn look(&mut self, now: Instant, unsent: u64) -> Option<Over> {
        if self.ends().is_some_and(|ends| ends <= now) {
            return Some(Over::Old);
        }
        let timeout = self.idle_timeout?;
        if self.look_at.is_none_or(|look_at| now < look_at) {
            return None;
        }
        if unsent > 0 {
            self.active = now;
        }
        let idle_until = self.active.after(timeout);
        self.look_at = Some(idle_until);
        (idle_until <= now).then_some(Over::Idle)
    }
}
