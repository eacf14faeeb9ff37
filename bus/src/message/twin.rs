//! What the buses of two processes tell each other while one takes over from the other, without an engine.
//!
//! ```text
//!   leader: the old process                      follower: the new one
//!      │ ── Change: all that happens on topics ──▶ │ repeats it: histories, deliveries to its own subscribers
//!      │ ◀── Wish: a change that it wants ──────── │
//! ```
//!
//! The leader decides the order; what the follower publishes takes effect there when it comes back. So both have the same
//! history at the same position, and a subscriber that moves from one to the other misses nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::{Keep, Member, Message, SubscriberId};
use crate::position::Position;
use crate::topic::Topic;

/// A change at the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A topic has this history, whose last publication has this position, or cannot have the one that was wanted.
    Kept(Topic, Option<(Keep, Position)>),
    /// A publication in the history, of this age, from before there was a follower.
    Recorded(Topic, Message, Position, Duration),
    /// A publication.
    Published {
        /// On which topic.
        topic: Topic,
        /// What.
        message: Message,
        /// `None` if the topic has no history.
        position: Option<Position>,
        /// The publisher.
        by: Publisher,
    },
    /// A subscriber of the leader has become a member, or has changed what it says about itself.
    Joined(Topic, Member),
    /// A member of the leader has left.
    Left(Topic, Member),
    /// From here on, the follower has the subscriptions of the connection with this number in the handover.
    Released(u64, Vec<Released>),
}

/// The origin of a publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Publisher {
    /// A publisher at the leader.
    Leader,
    /// The follower, which must not deliver it to this subscriber.
    Follower(Option<Place>),
}

/// A subscriber within a process: its worker and its number there.
pub type Place = (usize, SubscriberId);

/// A subscription that goes to the follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// To which topic.
    pub topic: Topic,
    /// As which member.
    pub member: Option<Member>,
    /// Whether it is told of members that join and leave.
    pub watches: bool,
}

/// A change that the follower wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// To publish to all, except for one of its own subscribers.
    Publish(Topic, Message, Option<Place>),
    /// To give a topic history. Answered by [`Change::Kept`].
    Keep(Topic, Keep),
    /// One of its subscribers is a member, or has changed what it says about itself.
    Join(Topic, Member),
    /// One of its members has left.
    Leave(Topic, Member),
}

/// Sends to the other process, in order and without waiting.
pub type Sink<T> = Box<dyn Fn(T) + Send>;
