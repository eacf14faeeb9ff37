//! The host's own time limits: how long a connection may be idle, and how long it may last.

use std::io;
use std::time::Duration;

use crate::contract::bindings::Instant;
use crate::contract::clock::after;
use crate::session::settings::SessionSettings;

/// How long a connection has to close once it has reached its maximum lifetime.
const GRACE: Duration = Duration::from_secs(10);

/// The deadlines of a connection for being idle, and for its age.
#[derive(Debug)]
pub(super) struct TimeLimits {
    idle_timeout: Option<Duration>,
    /// When something was last received or sent.
    active_at: Instant,
    lifetime: Lifetime,
}

/// Whether a connection has reached its maximum lifetime.
#[derive(Clone, Copy, Debug)]
enum Lifetime {
    /// Not yet; it may last until this instant.
    Running(Instant),
    /// It has, and must close by this instant.
    Expired(Instant),
}

impl TimeLimits {
    /// The limits for a connection that begins now.
    pub(super) fn new(settings: &SessionSettings, now: Instant) -> Self {
        Self {
            idle_timeout: settings.idle_timeout,
            active_at: now,
            lifetime: Lifetime::Running(after(now, settings.max_lifetime)),
        }
    }

    /// The limits for a connection that began `age` earlier, with nothing received or sent for `idle_for` nanoseconds.
    pub(super) fn begin_earlier(
        &mut self,
        settings: &SessionSettings,
        now: Instant,
        idle_for: u64,
        age: Duration,
    ) {
        self.active_at = now.saturating_sub(idle_for);
        let left = settings.max_lifetime.map(|most| most.saturating_sub(age));
        self.lifetime = Lifetime::Running(after(now, left));
    }

    /// For how many nanoseconds nothing has been received or sent.
    pub(super) fn idle_for(&self, now: Instant) -> u64 {
        now.saturating_sub(self.active_at)
    }

    /// Restarts the idle timeout: something was received or sent.
    pub(super) fn note_activity(&mut self, now: Instant) {
        self.active_at = now;
    }

    /// When to check next.
    pub(super) fn next(&self) -> Instant {
        let (Lifetime::Running(until) | Lifetime::Expired(until)) = self.lifetime;
        self.idle_deadline().min(until)
    }

    /// Checks the limits. Returns whether to ask the connection to close. A connection with unsent output is not idle:
    /// the write timeout applies to that.
    ///
    /// # Errors
    ///
    /// If it is time to give up the connection.
    pub(super) fn check(&mut self, now: Instant, has_unsent: bool) -> io::Result<bool> {
        if has_unsent {
            self.active_at = now;
        }
        if now >= self.idle_deadline() {
            return Err(timed_out("nothing was received or sent (--idle-timeout)"));
        }
        match self.lifetime {
            Lifetime::Running(until) if now >= until => {
                self.lifetime = Lifetime::Expired(after(now, Some(GRACE)));
                Ok(true)
            }
            Lifetime::Expired(until) if now >= until => {
                Err(timed_out("did not close when asked to (--max-lifetime)"))
            }
            _ => Ok(false),
        }
    }

    fn idle_deadline(&self) -> Instant {
        after(self.active_at, self.idle_timeout)
    }
}

fn timed_out(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::clock::NEVER;

    const SECOND: Instant = 1_000_000_000;

    fn limits(idle: Option<u64>, lifetime: Option<u64>) -> TimeLimits {
        let settings = SessionSettings {
            idle_timeout: idle.map(Duration::from_secs),
            max_lifetime: lifetime.map(Duration::from_secs),
            ..SessionSettings::default()
        };
        TimeLimits::new(&settings, 0)
    }

    #[test]
    fn gives_up_an_idle_connection() {
        let mut limits = limits(Some(2), None);
        assert_eq!(limits.next(), 2 * SECOND);
        limits.note_activity(SECOND);
        assert!(limits.check(2 * SECOND, false).is_ok());
        assert!(limits.check(3 * SECOND, false).is_err());
    }

    #[test]
    fn a_connection_with_unsent_output_is_not_idle() {
        let mut limits = limits(Some(2), None);
        assert!(limits.check(5 * SECOND, true).is_ok());
        assert_eq!(limits.next(), 7 * SECOND);
    }

    #[test]
    fn asks_to_close_once_at_the_maximum_lifetime_and_allows_ten_seconds() {
        let mut limits = limits(None, Some(3));
        assert!(matches!(limits.check(2 * SECOND, false), Ok(false)));
        assert!(matches!(limits.check(3 * SECOND, false), Ok(true)));
        assert!(matches!(limits.check(4 * SECOND, false), Ok(false)));
        assert!(limits.check(13 * SECOND, false).is_err());
    }

    #[test]
    fn checks_nothing_without_limits() {
        assert_eq!(limits(None, None).next(), NEVER);
    }
}
