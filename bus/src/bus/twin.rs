//! A process that takes over from another one: their topics are the same until that ends. With an engine, each has its own
//! way to it, and none of this does anything.

use std::time::Instant;

use bytes::Bytes;

use super::{Bus, Port};
use crate::message::twin::{Change, Sink, Wish};
use crate::message::{Keep, SubscriberId};
use crate::topic::Topic;

impl Bus {
    /// Tells the process that takes over from this one what there is, and what happens until [`part`](Self::part).
    pub fn lead(&self, sink: Sink<Change>) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.lead(sink, Instant::now());
            }
        });
    }

    /// Asks the process that this one takes over from for all that is to happen, until [`part`](Self::part).
    pub fn follow(&self, sink: Sink<Wish>) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.follow(sink);
            }
        });
    }

    /// Does what has happened at the leader.
    pub fn apply(&self, change: Change) {
        self.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.apply(change, Instant::now());
            }
        });
    }

    /// Does what the follower wants.
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
    /// What a live subscriber says of itself, and the history that its topic is to have, where an engine joins the topics
    /// with those of other processes: to subscribe anew in one of them.
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

    /// Lets the other process have these subscriptions of a subscriber, that of the connection of this number in the
    /// handover. [`Arrival::Released`](crate::Arrival::Released) follows what the subscriber is given here. When it
    /// unsubscribes, nobody sees that.
    pub fn release(&self, subscriber: SubscriberId, topics: &[Topic], number: u64) {
        let key = (self.worker, subscriber);
        self.bus.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.release(key, topics, number);
            }
        });
    }

    /// The subscriber stays, as the other process has not taken it.
    pub fn retain(&self, subscriber: SubscriberId, topics: &[Topic]) {
        let key = (self.worker, subscriber);
        self.bus.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.retain(key, topics);
            }
        });
    }

    /// A subscriber waits for the subscriptions that the other process releases, those of the connection of this number in
    /// the handover. [`Arrival::Resumed`](crate::Arrival::Resumed) follows when they are this process's.
    pub fn expect(&self, subscriber: SubscriberId, number: u64) {
        let key = (self.worker, subscriber);
        self.bus.with(|carrier| {
            if let Some(local) = carrier.local() {
                local.expect(key, number);
            }
        });
    }
}
