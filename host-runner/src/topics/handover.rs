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
//! With one, the new process subscribes anew, after the last position that has arrived in the old one.

use std::rc::Rc;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use wasocket_bus::message::{Keep, Message, Publication, Start, SubscriberId, Subscription};
use wasocket_bus::position::Position;
use wasocket_bus::topic::Topic;

use crate::contract::bindings::{
    Gap, MemberChange, Members, Subscribed, TopicEvent, TopicOperation, TopicRefusal,
};
use crate::topics::Topics;
use crate::topics::backlog::{Backlogged, Item};
use crate::topics::publication::{Arrived, from_contract};
use crate::topics::subscriber::{Details, Subscriber};
use crate::topics::table::{Group, Wishes};
use crate::topics::waiting::{Dropped, Due, Waiting};

/// A subscription, apart from what the bus knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionRecord {
    topic: Topic,
    watches_members: bool,
    confirms: bool,
    /// How it begins in the other process, if that subscribes anew.
    anew: Option<Anew>,
}

/// A subscription that is to begin in another process, by way of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Anew {
    /// `None` if the topic has no history.
    after: Option<Position>,
    keep: Option<Keep>,
    member: Option<Vec<u8>>,
}

/// What waits for a subscriber.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum DueRecord {
    Publication(Topic, Message, Option<Position>),
    /// An event, and the topic in whose order it stands.
    Event(Option<Topic>, EventRecord),
}

/// An event, as the contract has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum EventRecord {
    Subscribed(String, Option<String>, bool),
    Refused(String, Operation, String),
    Gap(String, Option<String>),
    Members(String, u64, Vec<Vec<u8>>),
    Joined(String, Vec<u8>),
    Left(String, Vec<u8>),
    TooSlow,
}

/// What was refused.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Operation {
    Subscribe,
    Publish,
    ListMembers,
}

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
                anew: match is_leader {
                    true => None,
                    false => Some(self.anew(details, group)?),
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
    fn anew(&self, details: &Details<I>, group: &Group<I>) -> Option<Anew> {
        if !group.is_live(details.id, false) {
            return None;
        }
        let (member, keep) = self.port.describe(details.id, &group.topic)?;
        Some(Anew {
            after: self.table.borrow().position(&group.topic),
            keep,
            member: member.map(|info| info.to_vec()),
        })
    }

    /// What waits now goes to the other process; what arrives from now on, arrives there.
    fn freeze(&self, details: &Details<I>) {
        let waiting = details.waiting.borrow().entries().map(record).collect();
        details.released.set(Some(waiting));
    }

    /// Lets the other process have the subscriptions of a connection, which has this number in the handover.
    pub(crate) fn release(&self, subscriber: &Subscriber<I>, number: u64) {
        if let Some(details) = subscriber.details.get()
            && self.port.bus().is_leader()
        {
            details.released.take();
            self.port.release(details.id, &topics_of(details), number);
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
                // A connection that subscribes anew does not know of that.
                confirms: subscription.confirms && subscription.anew.is_none(),
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
            if let Some(anew) = &subscription.anew {
                self.subscribe_anew(&subscriber, id, subscription, anew);
            }
        }
        subscriber
    }

    fn subscribe_anew(
        &self,
        subscriber: &Subscriber<I>,
        id: SubscriberId,
        subscription: &SubscriptionRecord,
        anew: &Anew,
    ) {
        let topic = &subscription.topic;
        if anew.after.is_none() {
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
            start: anew.after.map_or(Start::Now, Start::After),
            keep: anew.keep,
            member: anew.member.clone().map(Into::into),
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

fn record((topic, due): (Option<&Topic>, &Due)) -> DueRecord {
    match due {
        Due::Publication(arrived) => DueRecord::Publication(
            arrived.topic.clone(),
            from_contract(arrived.delivery.message.clone()),
            arrived.position,
        ),
        Due::Event(event) => DueRecord::Event(topic.cloned(), event.clone().into()),
    }
}

impl From<TopicEvent> for EventRecord {
    fn from(event: TopicEvent) -> Self {
        match event {
            TopicEvent::Subscribed(Subscribed {
                topic,
                position,
                recovered,
            }) => Self::Subscribed(topic, position, recovered),
            TopicEvent::Refused(TopicRefusal {
                topic,
                operation,
                reason,
            }) => Self::Refused(topic, operation.into(), reason),
            TopicEvent::Gap(Gap { topic, position }) => Self::Gap(topic, position),
            TopicEvent::Members(Members {
                topic,
                count,
                members,
            }) => Self::Members(topic, count, members),
            TopicEvent::Joined(MemberChange { topic, member }) => Self::Joined(topic, member),
            TopicEvent::Left(MemberChange { topic, member }) => Self::Left(topic, member),
            TopicEvent::TooSlow => Self::TooSlow,
        }
    }
}

impl From<EventRecord> for TopicEvent {
    fn from(record: EventRecord) -> Self {
        match record {
            EventRecord::Subscribed(topic, position, recovered) => Self::Subscribed(Subscribed {
                topic,
                position,
                recovered,
            }),
            EventRecord::Refused(topic, operation, reason) => Self::Refused(TopicRefusal {
                topic,
                operation: operation.into(),
                reason,
            }),
            EventRecord::Gap(topic, position) => Self::Gap(Gap { topic, position }),
            EventRecord::Members(topic, count, members) => Self::Members(Members {
                topic,
                count,
                members,
            }),
            EventRecord::Joined(topic, member) => Self::Joined(MemberChange { topic, member }),
            EventRecord::Left(topic, member) => Self::Left(MemberChange { topic, member }),
            EventRecord::TooSlow => Self::TooSlow,
        }
    }
}

impl From<TopicOperation> for Operation {
    fn from(operation: TopicOperation) -> Self {
        match operation {
            TopicOperation::Subscribe => Self::Subscribe,
            TopicOperation::Publish => Self::Publish,
            TopicOperation::ListMembers => Self::ListMembers,
        }
    }
}

impl From<Operation> for TopicOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Subscribe => Self::Subscribe,
            Operation::Publish => Self::Publish,
            Operation::ListMembers => Self::ListMembers,
        }
    }
}
