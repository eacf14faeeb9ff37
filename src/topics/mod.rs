//! Topics, as the contract has them: what a connection wants of them, and what it is told.
//!
//! The host keeps the subscriptions and carries the publications: see `wit/types.wit`.

mod broadcast;
mod own;
mod subscription;

pub use broadcast::{Broadcast, Form};
pub(crate) use own::{OwnTopics, publications};
pub(crate) use subscription::check_name;
pub use subscription::{
    MAX_MEMBER, MAX_TOPIC_NAME, MAX_TOPICS, Receiver, Subscription, TopicError,
};

use alloc::string::String;
use alloc::vec::Vec;

use crate::protocol::Message;

/// Something that a connection wants of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicAction {
    /// To be sent what is published there.
    Subscribe(SubscriptionRequest),
    /// To be sent no more of it.
    Unsubscribe(String),
    /// To publish.
    Publish(Publication),
    /// To know who is there.
    ListMembers(String),
}

/// A wish to be sent what is published on a topic: what the host has to know of a [`Subscription`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRequest {
    /// The name of the topic, 1 to 128 bytes.
    pub topic: String,
    /// The first publication to be delivered.
    pub start: Start,
    /// The history that the topic should have.
    pub keep: Option<History>,
    /// What others see of this connection as a member: at most 256 bytes. `None`: it is no member.
    pub member: Option<Vec<u8>>,
    /// Whether to be told who joins and leaves.
    pub watch_members: bool,
    /// Whether to be told [`TopicEvent::Subscribed`].
    pub confirm: bool,
}

/// The first publication that a subscriber is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The next one.
    #[default]
    Now,
    /// The first of the latest in history, at most this number.
    Last(u32),
    /// The one that follows this position.
    After(String),
}

/// How much of a topic is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The most publications.
    pub count: u32,
    /// The greatest age of a publication, in seconds.
    pub seconds: u32,
}

/// A message for all subscribers of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The name of the topic, 1 to 128 bytes.
    pub topic: String,
    /// What is published.
    pub message: Message,
    /// Whether the connection that publishes is left out.
    pub to_others: bool,
}

/// A publication that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The name of the topic.
    pub topic: String,
    /// What was published.
    pub message: Message,
    /// Where in the topic it stands: a place to [start](Start::After) after. `None` if the topic has no history,
    /// or the host could not reach the other hosts.
    pub position: Option<String>,
}

/// Something that a connection is told of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEvent {
    /// A subscription that asked for it is in effect.
    Subscribed(Subscribed),
    /// An action was not carried out, or a subscription has ended.
    Refused(TopicRefusal),
    /// Publications may have been lost.
    Gap(Gap),
    /// The members of a topic.
    Members(Members),
    /// A member has joined, or says something else of itself.
    Joined(MemberChange),
    /// A member has left.
    Left(MemberChange),
    /// The connection has not kept up with what is published.
    TooSlow,
}

/// A subscription in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The name of the topic.
    pub topic: String,
    /// The position that the first publication follows.
    pub position: Option<String>,
    /// Whether nothing is missing since the [start](Subscription::start) that was asked for.
    pub recovered: bool,
}

/// A refusal by the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRefusal {
    /// The name of the topic.
    pub topic: String,
    /// What was refused.
    pub operation: TopicOperation,
    /// Why, for a log.
    pub reason: String,
}

/// What a host may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicOperation {
    /// [`TopicAction::Subscribe`].
    Subscribe,
    /// [`TopicAction::Publish`].
    Publish,
    /// [`TopicAction::ListMembers`].
    ListMembers,
}

/// A possible loss of publications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The name of the topic.
    pub topic: String,
    /// Where the topic stands now, if that is known.
    pub position: Option<String>,
}

/// The members of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// The name of the topic.
    pub topic: String,
    /// How many there are in the whole service.
    pub count: u64,
    /// What they say of themselves, in no order: at most 1,000 of them.
    pub members: Vec<Vec<u8>>,
}

/// A change among the members of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// The name of the topic.
    pub topic: String,
    /// What the member says of itself.
    pub member: Vec<u8>,
}
