//! What the buses of two processes tell each other while one takes over from the other, without an engine.
//!
//! ```text
//!   leader: the old process                      follower: the new one
//!      │ ── Change: all that happens on topics ──▶ │ does the same: histories, deliveries to its own subscribers
//!      │ ◀── Wish: what it would have happen ───── │
//! ```
//!
//! The leader decides the order; what the follower publishes happens there when it comes back. So both have the same
//! history at the same place, and a subscriber that goes from one to the other misses nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::{Keep, Member, Message, SubscriberId};
use crate::position::Position;
use crate::topic::Topic;

/// What has happened at the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A topic has this history, whose last publication has this position; or it cannot have the one that was wanted.
    Kept(Topic, Option<(Keep, Position)>),
    /// A publication of the history, from before there was a follower, of this age.
    Recorded(Topic, Message, Position, Duration),
    /// A publication.
    Published {
        /// On which topic.
        topic: Topic,
        /// What.
        message: Message,
        /// `None` if the topic has no history.
        position: Option<Position>,
        /// Who has published it.
        by: Publisher,
    },
    /// A subscriber of the leader has become a member, or has changed what it says of itself.
    Joined(Topic, Member),
    /// A member of the leader has left.
    Left(Topic, Member),
    /// The subscriptions of a connection are the follower's from here on: the one of this number in the handover.
    Released(u64, Vec<Released>),
}

/// Whose publication it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Publisher {
    /// Somebody's at the leader.
    Leader,
    /// The follower's, which is not to give it to this subscriber.
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
    /// Whether it wants to learn who joins and leaves.
    pub watches: bool,
}

/// What the follower would have happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// To publish, to all but one of its own subscribers.
    Publish(Topic, Message, Option<Place>),
    /// To give a topic history. Answered by [`Change::Kept`].
    Keep(Topic, Keep),
    /// That one of its subscribers is a member, or has changed what it says of itself.
    Join(Topic, Member),
    /// That one of its members has left.
    Leave(Topic, Member),
}

/// Sends to the other process, in order and without waiting.
pub type Sink<T> = Box<dyn Fn(T) + Send>;
