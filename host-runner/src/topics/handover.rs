//! Subscribers that go to another process, and come from one. What has arrived for a subscriber before it goes waits for
//! it there; what arrives afterwards, arrives there.
//!
//! Without an engine the two processes have the same topics:
//!
//! ```text
//!   old process                                       new process
//!      │ takes it off its instance: what arrives waits     │ puts it where subscribers wait, not live
//!      │ releases it: the bus lets it be the other's ────▶ │ live: what arrives waits
//!      │ what has waited until then ─────────────────────▶ │ comes before that
//! ```
//!
//! With one, the new process subscribes for itself, after the last position that has arrived in the old one.

use std::rc::Rc;
use std::task::{Context, Poll};

use wasocket_bus::message::{Publication, Start, SubscriberId, Subscription};
use wasocket_bus::topic::Topic;

use crate::topics::Topics;
use crate::topics::backlog::{Backlogged, Item};
use crate::topics::publication::Arrived;
use crate::topics::records::{DueRecord, Resubscription, SubscriptionRecord};
use crate::topics::subscriber::{Details, Subscriber};
use crate::topics::table::{Group, Wishes};
use crate::topics::waiting::{Dropped, Due, Waiting};

impl<I: Backlogged> Topics<I> {
    /// The subscriptions of a connection that is [suspended](Self::suspend). `None` if they cannot go to another process.
    pub(crate) fn pack(&self, subscriber: &Subscriber<I>) -> Option<Vec<SubscriptionRecord>> {
        let Some(details) = subscriber.details.get() else {
            return Some(Vec::new());
        };
        if !details.waiting.borrow().keeps_up() {
            return None;
        }
        let is_leader = self.port.bus().is_leader();
        let record = |group: &Rc<Group<I>>| {
            let wishes = group.wishes(details.id)?;
            Some(SubscriptionRecord {
                topic: group.topic.clone(),
                watches_members: wishes.watches_members,
                confirms: wishes.confirms,
                resubscription: match is_leader {
                    true => None,
                    false => Some(self.resubscription(details, group)?),
                },
            })
        };
        let groups = details.groups.borrow();
        let subscriptions = groups.iter().map(record).collect();
        if !is_leader {
            self.freeze(details);
        }
        subscriptions
    }

    /// How a subscription begins in another process; `None` if it has not begun here.
    fn resubscription(&self, details: &Details<I>, group: &Group<I>) -> Option<Resubscription> {
        if !group.is_live(details.id, false) {
            return None;
        }
        let (member, keep) = self.port.describe(details.id, &group.topic)?;
        Some(Resubscription {
            after: self.table.borrow().position(&group.topic),
            keep,
            member: member.map(|info| info.to_vec()),
        })
    }

    /// What waits now goes to the other process; what arrives from now on, arrives there.
    fn freeze(&self, details: &Details<I>) {
        let waiting = details
            .waiting
            .borrow()
            .entries()
            .map(DueRecord::of)
            .collect();
        details.released.set(Some(waiting));
    }

    /// Lets the other process have the subscriptions of a connection, which has this number in the handover.
    pub(crate) fn release(&self, subscriber: &Subscriber<I>, number: u64) {
        let Some(details) = subscriber.details.get() else {
            return;
        };
        let frozen = details.released.take();
        if self.port.bus().is_leader() {
            self.port.release(details.id, &topics_of(details), number);
        } else if frozen.is_some() {
            details.released.set(frozen);
        } else {
            // The other process is gone by now, which the connection is about to be told.
            self.freeze(details);
        }
    }

    /// The connection stays: the other process has not taken it.
    pub(crate) fn retain(&self, subscriber: &Subscriber<I>) {
        if let Some(details) = subscriber.details.get() {
            details.released.take();
            self.port.retain(details.id, &topics_of(details));
        }
    }

    /// All that this process gives a released subscriber has arrived.
    pub(super) fn on_released(&self, id: SubscriberId) {
        let table = self.table.borrow();
        let details = table
            .subscriber(id)
            .and_then(|subscriber| subscriber.details.get());
        if let Some(details) = details {
            self.freeze(details);
            details.wake();
        }
    }

    /// A subscriber with the subscriptions of a connection of another process, which has this number in the handover.
    pub(crate) fn unpack(
        &self,
        subscriptions: &[SubscriptionRecord],
        number: u64,
    ) -> Rc<Subscriber<I>> {
        let subscriber = Rc::<Subscriber<I>>::default();
        if subscriptions.is_empty() {
            return subscriber;
        }
        let id = self.next_id();
        let details = Details::suspended(id, Waiting::new(&self.unsent));
        let mut table = self.table.borrow_mut();
        table.add_subscriber(id, &subscriber);
        for subscription in subscriptions {
            let group = table.group(&subscription.topic, None);
            let wishes = Wishes {
                watches_members: subscription.watches_members,
                // A connection that subscribes again does not know of that.
                confirms: subscription.confirms && subscription.resubscription.is_none(),
                stays_live: false,
            };
            group.expect(id, &subscriber, wishes);
            details.groups.borrow_mut().push(group);
        }
        drop(table);
        // It is new.
        let _ = subscriber.details.set(Box::new(details));
        self.port.expect(id, number);
        for subscription in subscriptions {
            if let Some(resubscription) = &subscription.resubscription {
                self.resubscribe(&subscriber, id, subscription, resubscription);
            }
        }
        subscriber
    }

    fn resubscribe(
        &self,
        subscriber: &Subscriber<I>,
        id: SubscriberId,
        subscription: &SubscriptionRecord,
        resubscription: &Resubscription,
    ) {
        let topic = &subscription.topic;
        if resubscription.after.is_none() {
            // What is published meanwhile is in no history.
            self.metrics.topics.gaps.count();
            self.wait(subscriber, |waiting| {
                waiting.add_gap(topic, None);
                Dropped::default()
            });
        }
        self.port.subscribe(Subscription {
            subscriber: id,
            topic: topic.clone(),
            start: resubscription.after.map_or(Start::Now, Start::After),
            keep: resubscription.keep,
            member: resubscription.member.clone().map(Into::into),
            watches_members: subscription.watches_members,
        });
    }

    /// What the subscriptions of a subscriber are given from here on arrives in this process.
    pub(super) fn on_resumed(&self, id: SubscriberId) {
        let subscriber = self.table.borrow().subscriber(id).cloned();
        let Some(details) = subscriber
            .as_ref()
            .and_then(|subscriber| subscriber.details.get())
        else {
            return;
        };
        for group in &*details.groups.borrow() {
            let Some(instance) = &group.instance else {
                group.go_live(id);
                continue;
            };
            let _ = instance.backlog().push(Item::Resumed(Rc::clone(group), id));
            self.due.add(instance);
        }
    }

    /// Lets what has waited in the other process come first.
    pub(crate) fn give_first(&self, subscriber: &Subscriber<I>, waited: Vec<DueRecord>) {
        if waited.is_empty() {
            return;
        }
        self.wait(subscriber, |waiting| {
            let later = waiting.take_entries();
            for record in waited {
                self.add(waiting, record);
            }
            waiting.append(later);
            Dropped::default()
        });
    }

    fn add(&self, waiting: &mut Waiting, record: DueRecord) {
        match record {
            DueRecord::Publication(topic, message, position) => {
                let publication = Publication {
                    message,
                    position,
                    exclude: None,
                };
                let policy = self.settings.slow_subscriber.of(topic.as_str());
                let prefix = self.metrics.topics.prefix(topic.as_str());
                let arrived = Arrived::new(&topic, &publication, policy, prefix);
                waiting.add(&Rc::new(arrived), false, self.settings.max_waiting);
            }
            DueRecord::Event(topic, event) => {
                waiting.add_answer(topic.as_ref(), Due::Event(event.into()));
            }
        }
    }
}

impl<I> Subscriber<I> {
    /// Waits until a subscriber has been released. Returns what waits for it then.
    pub(crate) fn poll_released(&self, context: &mut Context<'_>) -> Poll<Vec<DueRecord>> {
        let Some(details) = self.details.get() else {
            return Poll::Ready(Vec::new());
        };
        match details.released.take() {
            Some(waited) => Poll::Ready(waited),
            None => {
                details.wake_by(context);
                Poll::Pending
            }
        }
    }
}

fn topics_of<I>(details: &Details<I>) -> Vec<Topic> {
    let groups = details.groups.borrow();
    groups.iter().map(|group| group.topic.clone()).collect()
}
