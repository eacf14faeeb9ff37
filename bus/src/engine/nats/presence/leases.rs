//! Which runners are alive.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::members::StoredLease;

/// The runners that are known to be alive, and until when that is certain.
#[derive(Default)]
pub(in crate::engine::nats) struct Leases {
    runners: HashMap<u64, Lease>,
}

#[derive(Clone, Copy)]
struct Lease {
    until: Instant,
    /// Of the entry in the bucket: a greater one there is a renewal that has not been heard of yet.
    sequence: u64,
}

/// A runner whose lease seems to have ended, and the last that was heard of it.
#[derive(Clone, Copy)]
pub(in crate::engine::nats) struct Suspect {
    pub(in crate::engine::nats) runner: u64,
    pub(in crate::engine::nats) heard: Option<u64>,
}

impl Leases {
    /// Takes a lease that was written this long ago; `value` says for how long.
    pub(in crate::engine::nats) fn hear(
        &mut self,
        runner: u64,
        sequence: u64,
        value: &[u8],
        age: Duration,
    ) {
        let Some(length) = parse(value) else {
            return;
        };
        let now = Instant::now();
        let until = now.checked_add(length.saturating_sub(age)).unwrap_or(now);
        self.runners.insert(runner, Lease { until, sequence });
    }

    /// Takes leases that were read. The newest of them was written just now: how old the others are is told by the
    /// clock of the server alone.
    pub(in crate::engine::nats) fn load(&mut self, stored: &[(u64, StoredLease)]) {
        let now = stored
            .iter()
            .map(|(_, lease)| lease.time)
            .max()
            .unwrap_or(0);
        for (runner, lease) in stored {
            let age = u64::try_from(now.saturating_sub(lease.time)).unwrap_or(0);
            self.hear(
                *runner,
                lease.sequence,
                &lease.value,
                Duration::from_nanos(age),
            );
        }
    }

    pub(in crate::engine::nats) fn alive(&self) -> HashSet<u64> {
        let now = Instant::now();
        let alive = self.runners.iter().filter(|(_, lease)| lease.until > now);
        alive.map(|(runner, _)| *runner).collect()
    }

    /// The runners whose lease has ended since they were last asked for.
    pub(in crate::engine::nats) fn take_ended(&mut self) -> Vec<Suspect> {
        let now = Instant::now();
        let ended = self.runners.extract_if(|_, lease| lease.until <= now);
        let suspect = |(runner, lease): (u64, Lease)| Suspect {
            runner,
            heard: Some(lease.sequence),
        };
        ended.map(suspect).collect()
    }
}

/// A lease as it is stored: its length in milliseconds.
pub(in crate::engine::nats) fn format(length: Duration) -> String {
    length.as_millis().to_string()
}

fn parse(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    text.parse().ok().map(Duration::from_millis)
}
