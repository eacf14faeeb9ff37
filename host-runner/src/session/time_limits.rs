//! The host's own limits on the time of a connection: how long it may be silent, and how long it may last.

use std::io;
use std::time::Duration;

use crate::contract::bindings::Instant;
use crate::session::settings::SessionSettings;

/// How long a connection that has lasted as long as it may has to end.
const GRACE: Duration = Duration::from_secs(10);

/// Later than any instant that comes.
pub(super) const NEVER: Instant = Instant::MAX;

/// When a connection is to end, for its silence or its age.
#[derive(Debug)]
pub(super) struct TimeLimits {
    idle_timeout: Option<Duration>,
    /// When something was last received or sent.
    active_at: Instant,
    lifetime: Lifetime,
}

/// How long a connection may last.
#[derive(Clone, Copy, Debug)]
enum Lifetime {
    /// Until then.
    Lasts(Instant),
    /// It has lasted as long as it may: it has until then to end.
    Ends(Instant),
}

impl TimeLimits {
    /// The limits of a connection that begins now.
    pub(super) fn new(settings: &SessionSettings, now: Instant) -> Self {
        Self {
            idle_timeout: settings.idle_timeout,
            active_at: now,
            lifetime: Lifetime::Lasts(after(now, settings.max_lifetime)),
        }
    }

    /// Something was received or sent.
    pub(super) fn note_activity(&mut self, now: Instant) {
        self.active_at = now;
    }

    /// When to check next.
    pub(super) fn next(&self) -> Instant {
        let (Lifetime::Lasts(until) | Lifetime::Ends(until)) = self.lifetime;
        self.silent_until().min(until)
    }

    /// Checks the limits. Whether the connection is to be asked to end. A connection with unsent output is not
    /// silent: the write timeout bounds that.
    ///
    /// # Errors
    ///
    /// When it is time to give the connection up.
    pub(super) fn check(&mut self, now: Instant, has_unsent: bool) -> io::Result<bool> {
        if has_unsent {
            self.active_at = now;
        }
        if now >= self.silent_until() {
            return Err(late("nothing was received or sent (--idle-timeout)"));
        }
        match self.lifetime {
            Lifetime::Lasts(until) if now >= until => {
                self.lifetime = Lifetime::Ends(after(now, Some(GRACE)));
                Ok(true)
            }
            Lifetime::Ends(until) if now >= until => {
                Err(late("it did not end when asked to (--max-lifetime)"))
            }
            _ => Ok(false),
        }
    }

    fn silent_until(&self) -> Instant {
        after(self.active_at, self.idle_timeout)
    }
}

fn after(instant: Instant, time: Option<Duration>) -> Instant {
    let nanos = time.map_or(NEVER, |time| {
        u64::try_from(time.as_nanos()).unwrap_or(NEVER)
    });
    instant.saturating_add(nanos)
}

fn late(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_silent_connection_is_given_up() {
        let mut limits = limits(Some(2), None);
        assert_eq!(limits.next(), 2 * SECOND);
        limits.note_activity(SECOND);
        assert!(limits.check(2 * SECOND, false).is_ok());
        assert!(limits.check(3 * SECOND, false).is_err());
    }

    #[test]
    fn unsent_output_is_not_silence() {
        let mut limits = limits(Some(2), None);
        assert!(limits.check(5 * SECOND, true).is_ok());
        assert_eq!(limits.next(), 7 * SECOND);
    }

    #[test]
    fn a_connection_that_has_lasted_is_asked_to_end_once_and_has_ten_seconds() {
        let mut limits = limits(None, Some(3));
        assert!(matches!(limits.check(2 * SECOND, false), Ok(false)));
        assert!(matches!(limits.check(3 * SECOND, false), Ok(true)));
        assert!(matches!(limits.check(4 * SECOND, false), Ok(false)));
        assert!(limits.check(13 * SECOND, false).is_err());
    }

    #[test]
    fn without_limits_there_is_nothing_to_check() {
        assert_eq!(limits(None, None).next(), NEVER);
    }
}
