//! What is published, and what arrives.

pub mod twin;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::position::Position;
use crate::topic::Topic;

/// The most bytes that a member may say about itself.
pub const MAX_MEMBER_INFO: usize = 256;

/// The content of a publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What the bytes are.
    pub kind: Kind,
    /// For [`Kind::Text`], valid UTF-8.
    #[serde(
        serialize_with = "serialize_bytes",
        deserialize_with = "deserialize_bytes"
    )]
    pub bytes: Bytes,
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

fn serialize_bytes<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

fn deserialize_bytes<'a, D: Deserializer<'a>>(from: D) -> Result<Bytes, D::Error> {
    Vec::<u8>::deserialize(from).map(Bytes::from)
}

/// A subscriber, or a publisher, within one worker: the worker chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriberId(pub u64);

/// A message on its way to the subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// What is delivered.
    pub message: Message,
    /// `None` if the topic has no history, or the engine was away.
    pub position: Option<Position>,
    /// The subscriber of the receiving worker that is not to get it: the one that published it.
    pub exclude: Option<SubscriberId>,
}

/// A subscriber that wants to be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which one.
    pub key: MemberKey,
    /// What it says about itself, at most [`MAX_MEMBER_INFO`] bytes.
    #[serde(
        serialize_with = "serialize_bytes",
        deserialize_with = "deserialize_bytes"
    )]
    pub info: Bytes,
}

/// The name of a member, unique in the service. Written as 16 hexadecimal digits, `-`, and a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberKey {
    /// The process that it is connected to.
    pub runner: u64,
    /// Which member of that process.
    pub number: u64,
}

impl fmt::Display for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.runner, self.number)
    }
}

/// Where in a topic a subscriber begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    Now,
    /// With at most this number of the latest publications in history.
    Last(u32),
    /// After this position.
    After(Position),
}

/// What a topic keeps: the lower of this and the operator's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// The most publications.
    pub count: u32,
    /// The greatest age, in seconds.
    pub seconds: u32,
}

impl Keep {
    pub(crate) fn age(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Whether it keeps at least what the other does.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.max_of_both(other) == self
    }

    pub(crate) fn max_of_both(self, other: Self) -> Self {
        Self {
            count: self.count.max(other.count),
            seconds: self.seconds.max(other.seconds),
        }
    }
}

/// A wish to receive what is published on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Who subscribes.
    pub subscriber: SubscriberId,
    /// To what.
    pub topic: Topic,
    /// From where on.
    pub start: Start,
    /// The history that the subscriber wants the topic to have; `None` leaves it as it is.
    pub keep: Option<Keep>,
    /// What others see of the subscriber, at most [`MAX_MEMBER_INFO`] bytes; `None` if it is not to be seen.
    pub member: Option<Bytes>,
    /// Whether it wants to learn who joins and leaves.
    pub watches_members: bool,
}
