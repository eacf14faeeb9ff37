//! How often something may be done.

use std::time::Instant;

/// How often something may still be done, as of `since`: a second brings the limit, and no more is kept.
#[derive(Debug)]
pub(crate) struct Bucket {
    left: f64,
    since: Instant,
}

impl Bucket {
    /// As often as in a second.
    pub(crate) fn full(most: u32, now: Instant) -> Self {
        Self {
            left: most.into(),
            since: now,
        }
    }

    /// Whether it may be done now, which it then is. No limit is 0.
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
