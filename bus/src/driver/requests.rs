//! What the engine was asked and has not answered.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::delivery::subscribers::Key;
use crate::engine::{MemberKey, Request, Ticket};
use crate::topic::Topic;

/// What the answer to a request is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// The topic is subscribed to.
    Subscribe(Topic),
    /// A topic that holds back what arrives goes on with this history.
    Resume(Topic),
    /// A subscriber waits for what it has missed.
    Missed(Topic),
    /// A publication is confirmed, by the number of its origin.
    Publish(u64),
    /// Somebody wants to see the members.
    List(Topic, Key),
    /// Those who watch are to be told what has changed since the members were last known; at first, nothing.
    Compare(Topic, IsFirst),
    /// A member is to go: if it is not certain that it has, it is told again.
    Leave(Topic, MemberKey),
    /// The lease goes on.
    Renew,
    /// Nothing depends on it.
    Other,
}

/// Whether the members were not known before.
pub(super) type IsFirst = bool;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    tickets: u64,
    open: BTreeMap<Ticket, (Purpose, Instant)>,
    outbox: Vec<(Ticket, Request)>,
}

impl Requests {
    pub(super) fn begin(&mut self, request: Request, purpose: Purpose, now: Instant) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.open.insert(ticket, (purpose, now));
        self.outbox.push((ticket, request));
        ticket
    }

    /// What the answer with this ticket is for; `None` if it belongs to an earlier connection.
    pub(super) fn end(&mut self, ticket: Ticket) -> Option<Purpose> {
        Some(self.open.remove(&ticket)?.0)
    }

    /// Forgets everything: the connection is gone. Returns what was not answered, in order.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = Purpose> + use<> {
        self.outbox.clear();
        let open = std::mem::take(&mut self.open);
        open.into_values().map(|(purpose, _)| purpose)
    }

    /// What is to be begun now.
    pub(super) fn take(&mut self) -> Vec<(Ticket, Request)> {
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn has_some_to_begin(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// When the oldest one was begun.
    pub(super) fn oldest(&self) -> Option<Instant> {
        Some(self.open.first_key_value()?.1.1)
    }
}
