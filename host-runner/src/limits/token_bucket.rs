//! A token bucket that holds one second's worth.

use std::time::Instant;

/// A token bucket: refills at the limit per second, and holds no more than the limit.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Tokens, as of `since`.
    left: f64,
    since: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn full(most: u32, now: Instant) -> Self {
        Self {
            left: most.into(),
            since: now,
        }
    }

    /// Takes a token if one is left. A limit of 0 means no limit.
    pub(crate) fn take(&mut self, most: u32, now: Instant) -> bool {
        if most == 0 {
            return true;
        }
        let most = f64::from(most);
        let gained = now.saturating_duration_since(self.since).as_secs_f64() * most;
        self.left = (self.left + gained).min(most);
        self.since = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}
