//! Arithmetic on instants.

use core::time::Duration;

use crate::handler::Instant;

/// The instant this much later.
pub(crate) fn after(instant: Instant, duration: Duration) -> Instant {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    instant.saturating_add(nanoseconds)
}

/// The earlier of two instants, where there are any.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
