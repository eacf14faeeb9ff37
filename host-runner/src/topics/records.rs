//! What goes to another process with a subscriber.

use serde::{Deserialize, Serialize};
use wasocket_bus::message::{Keep, Message};
use wasocket_bus::position::Position;
use wasocket_bus::topic::Topic;

use crate::contract::bindings::{
    Gap, MemberChange, Members, Subscribed, TopicEvent, TopicOperation, TopicRefusal,
};
use crate::topics::publication::from_contract;
use crate::topics::waiting::Due;

/// A subscription, apart from what the bus knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionRecord {
    pub(super) topic: Topic,
    pub(super) watches_members: bool,
    pub(super) confirms: bool,
    /// How it begins in the other process, if that subscribes for itself.
    pub(super) resubscription: Option<Resubscription>,
}

/// A subscription that is to begin in another process, by way of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resubscription {
    /// `None` if the topic has no history.
    pub(super) after: Option<Position>,
    pub(super) keep: Option<Keep>,
    pub(super) member: Option<Vec<u8>>,
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

impl DueRecord {
    /// What waits, and the topic in whose order it stands.
    pub(super) fn of((topic, due): (Option<&Topic>, &Due)) -> Self {
        match due {
            Due::Publication(arrived) => Self::Publication(
                arrived.topic.clone(),
                from_contract(arrived.delivery.message.clone()),
                arrived.position,
            ),
            Due::Event(event) => Self::Event(topic.cloned(), event.clone().into()),
        }
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
