//! What the operator sees of the bus.

use std::time::{Duration, Instant};

use crate::position::Position;
use crate::topic::Topic;

/// How the bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How the engine is.
    pub engine: EngineState,
    /// How many publications the engine has not confirmed.
    pub unconfirmed: usize,
    /// What these count for, in bytes.
    pub unconfirmed_bytes: usize,
    /// How long the oldest of them has been waiting.
    pub lag: Duration,
    /// How many topics have subscribers here.
    pub topics: usize,
    /// How many subscriptions there are here.
    pub subscriptions: usize,
    /// How many bytes of history this process keeps: none with an engine.
    pub history_bytes: usize,
}

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// There is none: the bus is that of this process.
    Local,
    /// It is connected.
    Connected {
        /// Since when.
        since: Instant,
    },
    /// It is away: topics reach the subscribers of this process.
    Away {
        /// Since when.
        since: Instant,
        /// Why, and what to do.
        reason: String,
    },
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDetails {
    /// Its name.
    pub topic: Topic,
    /// How many subscriptions it has here.
    pub subscribers: usize,
    /// How many of them are members. [`Port::list_members`](crate::Port::list_members) counts those of all processes.
    pub members: usize,
    /// Where it stands; `None` if it has no history, or that is not known here.
    pub position: Option<Position>,
}

/// Which topics to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsPage {
    /// What their names begin with.
    pub prefix: String,
    /// Only those whose names sort behind this one: the last of the page before.
    pub after: Option<Topic>,
    /// The most topics.
    pub limit: usize,
}
