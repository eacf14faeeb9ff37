//! Publications of this process that the engine has not confirmed, or not sent round yet.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::delivery::subscribers::Key;
use crate::message::{Message, Publication};
use crate::position::Position;
use crate::topic::Topic;

/// The publications of this process that are on their way, by number: in the order in which they were published.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    of: BTreeMap<u64, Sending>,
    last: u64,
    bytes: usize,
}

/// One publication on its way.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) topic: Topic,
    pub(super) message: Message,
    /// The subscriber that is not to get it.
    pub(super) exclude: Option<Key>,
    /// What the engine said.
    pub(super) confirmed: Option<Option<Position>>,
    /// Whether the engine is going to send it here as well.
    pub(super) has_echo: bool,
    /// Whether it has done so.
    pub(super) echoed: bool,
    /// Whether the subscribers of this process have it already, because the engine was away.
    pub(super) delivered: bool,
    pub(super) since: Instant,
}

/// What each counts for in addition to its message.
const OVERHEAD: usize = 256;

impl Outgoing {
    /// The number of the last publication of this process.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more message has room.
    pub(super) fn has_room(&self, message: &Message, limit: usize) -> bool {
        let cost = OVERHEAD.saturating_add(message.bytes.len());
        self.bytes.saturating_add(cost) <= limit
    }

    pub(super) fn add(&mut self, sending: Sending) -> u64 {
        self.last += 1;
        self.bytes += sending.cost();
        self.of.insert(self.last, sending);
        self.last
    }

    pub(super) fn get(&self, number: u64) -> Option<&Sending> {
        self.of.get(&number)
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        self.of.keys().copied().collect()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Sending> {
        let sending = self.of.remove(&number)?;
        self.bytes -= sending.cost();
        Some(sending)
    }

    /// Changes one, and removes it if nothing more is to come.
    pub(super) fn update(&mut self, number: u64, change: impl FnOnce(&mut Sending)) {
        let Some(sending) = self.of.get_mut(&number) else {
            return;
        };
        change(sending);
        if sending.is_over() {
            self.remove(number);
        }
    }

    /// How many are not confirmed, and since when the oldest is waiting.
    pub(super) fn unconfirmed(&self) -> (usize, Option<Instant>) {
        let mut waiting = self.of.values().filter(|one| one.confirmed.is_none());
        let oldest = waiting.next().map(|one| one.since);
        (waiting.count() + usize::from(oldest.is_some()), oldest)
    }
}

impl Sending {
    /// What the subscribers of this process get while the engine is away.
    pub(super) fn publication(&self) -> Publication {
        Publication {
            message: self.message.clone(),
            position: None,
            exclude: None,
        }
    }

    /// Whether it is not missed if it does not come back. If the engine had it before the connection went, it does not
    /// send it again; and if it comes back without a position, it is known for one of this process that has been here.
    pub(super) fn need_not_return(&self) -> bool {
        self.delivered && self.confirmed == Some(None)
    }

    /// Whether a topic that stands at `cursor` has gone past it.
    pub(super) fn is_passed_by(&self, cursor: Option<Position>) -> bool {
        let position = self.confirmed.flatten();
        position.zip(cursor).is_some_and(|(position, cursor)| {
            position.epoch == cursor.epoch && position.offset <= cursor.offset
        })
    }

    fn is_over(&self) -> bool {
        self.confirmed.is_some() && (self.echoed || !self.has_echo)
    }

    fn cost(&self) -> usize {
        OVERHEAD + self.message.bytes.len()
    }
}
