//! A worker's two ends of the bus.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Bus, PublishError};
use crate::delivery::arrival::Arrival;
use crate::delivery::mailbox::Mailbox;
use crate::delivery::subscribers::WorkerId;
use crate::message::{Message, SubscriberId, Subscription};
use crate::topic::Topic;

/// What a worker subscribes and publishes through. No method waits: what comes of it arrives in the [`Inbox`].
pub struct Port {
    pub(super) bus: Bus,
    pub(super) worker: WorkerId,
    mailbox: Arc<Mailbox>,
}

/// What arrives for a worker, in order. Its subscriptions end when it is dropped.
pub struct Inbox {
    bus: Bus,
    worker: WorkerId,
    mailbox: Arc<Mailbox>,
}

impl Port {
    pub(super) fn new(bus: Bus, worker: WorkerId, mailbox: Arc<Mailbox>) -> Self {
        Self {
            bus,
            worker,
            mailbox,
        }
    }

    /// Subscribes. [`Arrival::Subscribed`] or [`Arrival::Refused`] answers, unless the subscriber leaves or subscribes again before.
    ///
    /// A subscriber that already has a subscription to the topic replaces it: the worker must take it for not live until
    /// the answer comes. The worker must not give the number of a subscriber that has gone to another one.
    pub fn subscribe(&self, subscription: Subscription) {
        let generation = self
            .mailbox
            .expect(subscription.subscriber, &subscription.topic);
        let now = Instant::now();
        self.bus
            .with(|carrier| carrier.subscribe(self.worker, generation, subscription, now));
    }

    /// Ends a subscription. From here on the worker must take the subscriber for not live; its mailbox may still hold
    /// publications for it.
    pub fn unsubscribe(&self, subscriber: SubscriberId, topic: &Topic) {
        self.mailbox.expect_no_more(subscriber, topic);
        let key = (self.worker, subscriber);
        let now = Instant::now();
        self.bus
            .with(|carrier| carrier.unsubscribe(key, topic, now));
    }

    /// Publishes to all subscribers of a topic but the excluded one, which must be of this worker. What one worker
    /// publishes to a topic arrives everywhere in that order.
    ///
    /// # Errors
    ///
    /// If the publication does not reach everybody: see [`PublishError`].
    pub fn publish(
        &self,
        topic: &Topic,
        message: Message,
        exclude: Option<SubscriberId>,
    ) -> Result<(), PublishError> {
        let exclude = exclude.map(|subscriber| (self.worker, subscriber));
        self.bus.publish_from(topic, message, exclude)
    }

    /// Asks for the members of a topic. [`Arrival::Members`] answers.
    pub fn list_members(&self, subscriber: SubscriberId, topic: &Topic) {
        let key = (self.worker, subscriber);
        let now = Instant::now();
        self.bus
            .with(|carrier| carrier.list_members(key, topic, now));
    }

    /// The bus that this belongs to.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }
}

impl Inbox {
    pub(super) fn new(bus: Bus, worker: WorkerId, mailbox: Arc<Mailbox>) -> Self {
        Self {
            bus,
            worker,
            mailbox,
        }
    }

    /// Takes everything that has arrived, in order; not empty. Otherwise wakes the task when something arrives.
    pub fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Arrival>> {
        self.mailbox.poll_take(cx)
    }

    /// Waits until something has arrived, and takes everything. Safe to drop and call again.
    pub async fn take(&mut self) -> Vec<Arrival> {
        poll_fn(|cx| self.poll_take(cx)).await
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let now = Instant::now();
        self.bus.with(|carrier| carrier.detach(self.worker, now));
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({:?})", self.worker)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({:?})", self.worker)
    }
}
