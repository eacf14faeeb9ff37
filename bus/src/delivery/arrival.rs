//! What arrives at a worker.

use std::fmt;
use std::sync::Arc;

use crate::message::{Member, Publication, SubscriberId};
use crate::position::Position;
use crate::topic::Topic;

/// What arrives at a worker. The order is that of the topic: a subscriber gets every publication that follows its
/// [`Subscribed`](Self::Subscribed), and none before.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// For all of this worker's subscribers of the topic that are live, except [`Publication::exclude`].
    Publication {
        /// Of which topic.
        topic: Topic,
        /// What was published.
        publication: Arc<Publication>,
    },
    /// From here on a subscriber is live. It gets `missed` first.
    Subscribed {
        /// Which one.
        subscriber: SubscriberId,
        /// To what.
        topic: Topic,
        /// Where the topic stands, `missed` included; `None` if it has no history, or the engine is away.
        position: Option<Position>,
        /// False if publications since the start that was asked for may be missing from `missed`.
        recovered: bool,
        /// What was published since the start that was asked for, oldest first.
        missed: Vec<Arc<Publication>>,
    },
    /// A subscription was refused, or has ended: the subscriber gets nothing more of the topic.
    Refused {
        /// Which one.
        subscriber: SubscriberId,
        /// What it wanted to subscribe to.
        topic: Topic,
        /// Why.
        reason: Refusal,
    },
    /// For all of this worker's subscribers of the topic that are live: publications before this place, joins or leaves
    /// may be missing.
    Gap {
        /// Of which topic.
        topic: Topic,
        /// Where the topic stands behind the gap, if it is known.
        position: Option<Position>,
    },
    /// The answer to [`Port::list_members`](crate::Port::list_members).
    Members {
        /// Who asked.
        subscriber: SubscriberId,
        /// Of which topic.
        topic: Topic,
        /// How many there are.
        count: u64,
        /// Who they are: not all of them if there are very many.
        members: Vec<Member>,
        /// Whether only those of this process are counted and listed, since the engine is away.
        is_partial: bool,
    },
    /// For the live subscribers that watch the members: one has come, or has changed what it says about itself.
    Joined {
        /// To which topic.
        topic: Topic,
        /// Who.
        member: Member,
    },
    /// The last arrival for a subscriber here: it now belongs to another process.
    Released {
        /// Which one.
        subscriber: SubscriberId,
    },
    /// From here on, a subscriber that moved from another process is live on all of its topics.
    Resumed {
        /// Which one.
        subscriber: SubscriberId,
    },
    /// For the live subscribers that watch the members: one has left.
    Left {
        /// Which topic.
        topic: Topic,
        /// Who.
        member: Member,
    },
}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// [`Limits::topics`](crate::limits::Limits::topics) is reached.
    TooManyTopics,
    /// [`Limits::subscriptions`](crate::limits::Limits::subscriptions) is reached.
    TooManySubscriptions,
    /// What the member says about itself is longer than [`MAX_MEMBER_INFO`](crate::message::MAX_MEMBER_INFO).
    MemberTooLong,
    /// The engine refused, with this text.
    Engine(Arc<str>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyTopics => f.write_str("too many topics have subscribers"),
            Self::TooManySubscriptions => f.write_str("there are too many subscriptions"),
            Self::MemberTooLong => {
                let max = crate::message::MAX_MEMBER_INFO;
                write!(f, "a member may say at most {max} bytes about itself")
            }
            Self::Engine(text) => write!(f, "the engine refused: {text}"),
        }
    }
}

impl Arrival {
    /// What it counts for in a mailbox, in bytes. Publications in `missed` count in full.
    pub(crate) fn cost(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Publication { publication, .. } => publication.message.bytes.len(),
                Self::Subscribed { missed, .. } => {
                    let cost = |one: &Arc<Publication>| OVERHEAD + one.message.bytes.len();
                    missed.iter().map(cost).sum()
                }
                Self::Members { members, .. } => {
                    members.iter().map(|one| OVERHEAD + one.info.len()).sum()
                }
                Self::Joined { member, .. } | Self::Left { member, .. } => member.info.len(),
                Self::Refused { .. }
                | Self::Gap { .. }
                | Self::Released { .. }
                | Self::Resumed { .. } => 0,
            }
    }
}

/// What everything counts for in addition to its bytes.
const OVERHEAD: usize = 128;
