//! Which worker owns the requests of a key (`--instance-by`).
//!
//! Each key belongs to one worker for the life of the process; within that worker, the pool keeps all of its connections
//! on one instance.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::http::arrival::Arrival;
use crate::http::path_pattern::PathPattern;
use crate::pool::Key;

/// What a worker receives from the others. As many as there are connections and streams at most, since each of them
/// arrives in one place at a time.
pub(crate) type Arrivals = UnboundedReceiver<Arrival>;

/// The workers and the keys that they own. No one can choose keys that all have the same owner: the hash has a secret.
#[derive(Debug)]
struct Owners {
    pattern: PathPattern,
    hasher: RandomState,
    workers: Vec<UnboundedSender<Arrival>>,
}

/// The owners, as one of them sees them.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    owners: Arc<Owners>,
    /// The index of this worker.
    own: usize,
}

impl Ownership {
    /// For each worker, of this number, what it owns, and what arrives at it.
    pub(crate) fn among(workers: usize, pattern: &PathPattern) -> Vec<(Self, Arrivals)> {
        let (workers, arrivals): (_, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let owners = Arc::new(Owners {
            pattern: pattern.clone(),
            hasher: RandomState::new(),
            workers,
        });
        let own = |(own, arrivals)| {
            let owners = Arc::clone(&owners);
            (Self { owners, own }, arrivals)
        };
        arrivals.into_iter().enumerate().map(own).collect()
    }

    /// The pattern that keys come from.
    pub(crate) fn pattern(&self) -> &PathPattern {
        &self.owners.pattern
    }

    /// The key of a request with this target, if it has one.
    pub(crate) fn key(&self, target: &str) -> Option<Key> {
        self.owners.pattern.key(target)
    }

    /// The owner of a request with this target, if it is another worker.
    pub(crate) fn elsewhere(&self, target: &str) -> Option<Owner> {
        let workers = &self.owners.workers;
        if workers.len() < 2 {
            return None;
        }
        let hash = self.owners.hasher.hash_one(self.key(target)?);
        let index = usize::try_from(hash % workers.len() as u64).ok()?;
        let owner = workers.get(index).filter(|_| index != self.own);
        owner.map(|owner| Owner(owner.clone()))
    }
}

/// Another worker.
#[derive(Debug)]
pub(crate) struct Owner(UnboundedSender<Arrival>);

impl Owner {
    /// Has the worker serve something. Returns it if the worker has ended.
    pub(crate) fn send(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.0.send(arrival).map_err(|unsent| unsent.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_owner_and_every_worker_some_keys() {
        let pattern = "/rooms/{room}".parse().expect("a pattern");
        let workers = Ownership::among(4, &pattern);
        let mut owned = [0; 4];
        for room in 0..400 {
            let target = format!("/rooms/{room}");
            let is_owner = |(own, _): &(Ownership, Arrivals)| own.elsewhere(&target).is_none();
            let owners: Vec<_> = workers.iter().map(is_owner).collect();
            assert_eq!(owners.iter().filter(|owns| **owns).count(), 1, "{owners:?}");
            for (own, owns) in owned.iter_mut().zip(owners) {
                *own += usize::from(owns);
            }
        }
        // That a worker has none of 400 is less likely than one in 10 to the 49.
        assert!(owned.iter().all(|owned| *owned > 0), "{owned:?}");
        assert!(
            workers
                .iter()
                .all(|(own, _)| own.elsewhere("/other").is_none())
        );
        let alone = Ownership::among(1, &pattern);
        assert!(
            alone
                .iter()
                .all(|(own, _)| own.elsewhere("/rooms/1").is_none())
        );
    }
}
