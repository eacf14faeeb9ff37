//! A process that takes over from another one: both share their topics until the other one ends. With an engine, each has
//! its own connection to it, and none of this does anything.

use std::time::Instant;

use bytes::Bytes;

use super::{Bus, Port};
use crate::message::twin::{Change, Sink, Wish};
use crate::message::{Keep, SubscriberId};
use crate::topic::Topic;

impl Bus {
    /// Tells the process that takes over from this one the current state, and all changes until [`part`](Self::part).
    pub fn lead(&self, sink: Sink<Change>) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.lead(sink, Instant::now());
            }
        });
    }

    /// Requests all changes from the process that this one takes over from, until [`part`](Self::part).
    pub fn follow(&self, sink: Sink<Wish>) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.follow(sink);
            }
        });
    }

    /// Repeats a change of the leader.
    pub fn apply(&self, change: Change) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.apply(change, Instant::now());
            }
        });
    }

    /// Grants a wish of the follower.
    pub fn grant(&self, wish: Wish) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.grant(wish, Instant::now());
            }
        });
    }

    /// The other process is gone.
    pub fn part(&self) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.part(Instant::now());
            }
        });
    }

    /// Whether subscriptions can go to another process now.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.with(|carrier| carrier.local().is_some_and(|local| local.is_leader()))
    }
}

impl Port {
    /// What a live subscriber says about itself, and the history that its topic is to have, if an engine connects the topics
    /// with those of other processes: for subscribing again in one of them.
    #[must_use]
    pub fn describe(
        &self,
        subscriber: SubscriberId,
        topic: &Topic,
    ) -> Option<(Option<Bytes>, Option<Keep>)> {
        let key = (self.worker, subscriber);
        self.bus
            .with(|carrier| carrier.driver()?.describe(key, topic))
    }

    /// Gives the other process these subscriptions of a subscriber, whose connection has this number in the handover.
    /// [`Arrival::Released`](crate::Arrival::Released) follows what the subscriber is given here. No member sees it
    /// unsubscribe.
    pub fn release(&self, subscriber: SubscriberId, topics: &[Topic], number: u64) {
        let key = (self.worker, subscriber);
        self.bus.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.release(key, topics, number);
            }
        });
    }

    /// Keeps the subscriber, as the other process has not taken it.
    pub fn retain(&self, subscriber: SubscriberId, topics: &[Topic]) {
        let key = (self.worker, subscriber);
        self.bus.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.retain(key, topics);
            }
        });
    }

    /// Has a subscriber, whose connection has this number in the handover, wait for the subscriptions that the other process
    /// releases. [`Arrival::Resumed`](crate::Arrival::Resumed) follows once they belong to this process.
    pub fn expect(&self, subscriber: SubscriberId, number: u64) {
        let key = (self.worker, subscriber);
        self.bus.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.expect(key, number);
            }
        });
    }
}
