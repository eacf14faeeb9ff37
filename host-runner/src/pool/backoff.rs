//! Exponential backoff between starts of instances that keep failing.
//!
//! Without it, a component that fails when it starts, or at its first call, would be started as fast as clients send
//! requests. While any instance is stable, the component is not broken and there is no backoff.
//!
//! A client must not be able to impose it on everyone. Once the component has answered others, a client whose calls
//! end instances is the one that is refused.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The age at which an instance is stable.
const STABLE_AGE: Duration = Duration::from_secs(1);

/// The number of failures in a row that cause no backoff.
const FREE_FAILURES: u32 = 5;

/// The first delay, and the longest. Each is twice the one before.
const MIN_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// How long after its last failure a client is remembered, and how many clients are. A component that fails for more
/// than those is broken.
const MEMORY: Duration = Duration::from_secs(60);
const MAX_CLIENTS: usize = 256;

/// What an instance was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It started.
    Start,
    /// A call for the client with this address; `None` for one without.
    Client(Option<IpAddr>),
    /// A call for several clients.
    Batch,
}

/// The recent failures of a pool's instances.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Instances in a row that failed before they were stable.
    of_all: Cell<Delay>,
    /// Instances that failed in calls for one client.
    of_clients: RefCell<HashMap<IpAddr, (Delay, Instant)>>,
    /// The last two addresses that the component has answered.
    answered: Cell<[Option<IpAddr>; 2]>,
}

/// A number of failures, and the delay that they cause.
#[derive(Clone, Copy, Debug, Default)]
struct Delay {
    failures: u32,
    until: Option<Instant>,
}

impl Delay {
    /// Counts a failure. Returns whether a delay begins that is the first one.
    fn count(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let Some(doublings) = self.failures.checked_sub(FREE_FAILURES + 1) else {
            return false;
        };
        let delay = MIN_DELAY.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        let until = now.checked_add(delay.min(MAX_DELAY));
        self.until.replace(until.unwrap_or(now)).is_none()
    }

    fn remaining(self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

impl Backoff {
    /// Records that the component has answered a request of the client with this address.
    pub(super) fn answered(&self, client: Option<IpAddr>) {
        let [last, _] = self.answered.get();
        if client.is_some() && client != last {
            self.answered.set([client, last]);
        }
    }

    /// Records the failure of an instance that started at `started`. Returns the instant until which none may be
    /// started, if there is a backoff for all clients.
    pub(super) fn failed(&self, cause: Cause, started: Instant, now: Instant) -> Option<Instant> {
        if is_stable(started, now) {
            self.clear();
        }
        if self.is_blamed(cause, now) || is_stable(started, now) {
            return self.of_all.get().until;
        }
        let mut delay = self.of_all.get();
        if delay.count(now) {
            tracing::warn!(
                "instances keep failing within a second of starting; backing off, requests get 503"
            );
        }
        self.of_all.set(delay);
        delay.until
    }

    /// Blames a failure on the client, if the component has answered others. Returns false if it may be broken.
    fn is_blamed(&self, cause: Cause, now: Instant) -> bool {
        let answered = self.answered.get();
        let client = match cause {
            Cause::Start | Cause::Client(None) => return false,
            Cause::Client(Some(client)) => client,
            // No one knows whose: the next calls are made for one client each.
            Cause::Batch => return answered.iter().all(Option::is_some),
        };
        let others = answered.iter().flatten();
        if !others.into_iter().any(|other| *other != client) {
            return false;
        }
        let mut clients = self.of_clients.borrow_mut();
        clients.retain(|_, (_, last)| now.saturating_duration_since(*last) < MEMORY);
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&client) {
            return false;
        }
        let (delay, last) = clients.entry(client).or_insert((Delay::default(), now));
        *last = now;
        if delay.count(now) {
            tracing::warn!(
                "instances keep failing in calls for {client}; backing off, its requests get 503"
            );
        }
        true
    }

    /// The time left until a client is served again whose calls have ended instances.
    pub(super) fn remaining_of(
        &self,
        client: Option<IpAddr>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Duration> {
        let clients = self.of_clients.borrow();
        let (delay, _) = clients.get(&client?)?;
        delay.remaining(now())
    }

    /// The time left until an instance may be started. `started` are the start times of the live ones.
    pub(super) fn remaining(
        &self,
        mut started: impl Iterator<Item = Instant>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Duration> {
        if self.of_all.get().failures == 0 {
            return None;
        }
        let now = now();
        if started.any(|started| is_stable(started, now)) {
            self.clear();
        }
        self.of_all.get().remaining(now)
    }

    /// Starts over, without a log line: the component was replaced.
    pub(super) fn reset(&self) {
        self.of_all.take();
        self.of_clients.take();
        self.answered.take();
    }

    fn clear(&self) {
        if self.of_all.take().until.is_some() {
            tracing::info!("instances are stable again; backoff cleared");
        }
    }
}

fn is_stable(started: Instant, now: Instant) -> bool {
    now.saturating_duration_since(started) >= STABLE_AGE
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    /// The delays, in milliseconds, after this number of failures, each at the end of the previous delay.
    fn delays(backoff: &Backoff, number: usize) -> Vec<u128> {
        let mut now = Instant::now();
        let delays = (0..number).map(|_| {
            let until = backoff.failed(Cause::Start, now, now).unwrap_or(now);
            let delay = until.saturating_duration_since(now).as_millis();
            now = until;
            delay
        });
        delays.collect()
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut expected = vec![0; 5];
        expected.extend([10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000]);
        expected.extend([10_000; 40]);
        assert_eq!(delays(&Backoff::default(), expected.len()), expected);
    }

    #[test]
    fn delays_end_on_time() {
        let (backoff, started) = (Backoff::default(), Instant::now());
        let remaining =
            |after| backoff.remaining(iter::empty(), || started + Duration::from_millis(after));
        assert_eq!(remaining(0), None);
        for _ in 0..7 {
            backoff.failed(Cause::Start, started, started);
        }
        assert_eq!(remaining(0), Some(Duration::from_millis(20)));
        assert_eq!(remaining(19), Some(Duration::from_millis(1)));
        assert_eq!(remaining(20), None);
        backoff.failed(Cause::Start, started, started);
        assert_eq!(
            remaining(0),
            Some(Duration::from_millis(40)),
            "it continues"
        );
    }

    #[test]
    fn a_stable_instance_clears_the_backoff() {
        let backoff = Backoff::default();
        let started = Instant::now();
        for _ in 0..20 {
            backoff.failed(Cause::Start, started, started);
        }
        let later = started + Duration::from_millis(999);
        assert!(backoff.remaining(iter::once(started), || later).is_some());
        let later = started + STABLE_AGE;
        assert_eq!(backoff.remaining(iter::once(started), || later), None);
        assert_eq!(delays(&backoff, 6), [0, 0, 0, 0, 0, 10]);
        assert_eq!(
            backoff.failed(Cause::Start, started, later),
            None,
            "it was stable"
        );
        assert_eq!(delays(&backoff, 6), [0, 0, 0, 0, 0, 10]);
    }

    #[test]
    fn a_client_is_refused_alone_if_others_were_answered() {
        let backoff = Backoff::default();
        let now = Instant::now();
        let [attacker, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let failed = |client| backoff.failed(Cause::Client(client), now, now);
        let remaining = |client| backoff.remaining_of(client, || now);
        backoff.answered(attacker);
        assert_eq!((0..6).filter_map(|_| failed(attacker)).count(), 1, "alone");
        backoff.reset();
        for client in [other, attacker, attacker] {
            backoff.answered(client);
        }
        assert_eq!((0..20).find_map(|_| failed(attacker)), None);
        assert_eq!(remaining(attacker), Some(MAX_DELAY));
        assert_eq!((remaining(other), remaining(None)), (None, None));
        assert_eq!(backoff.failed(Cause::Batch, now, now), None);
        let later = now + MEMORY;
        assert_eq!(backoff.failed(Cause::Client(other), later, later), None);
        assert_eq!(
            backoff.of_clients.borrow().len(),
            1,
            "the attacker is forgotten"
        );
    }
}
