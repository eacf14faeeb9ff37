//! What the operator allows the bus to hold.

use crate::message::Keep;

/// Bounds on what the bus holds for its subscribers. All of its memory is bounded by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most topics with a subscriber here.
    pub topics: usize,
    /// The most subscriptions here, all topics together.
    pub subscriptions: usize,
    /// The longest message, in bytes.
    pub message: usize,
    /// The most members that one list names.
    pub listed_members: usize,
    /// The most bytes that wait in one worker's inbox. What does not fit is dropped and followed by a gap.
    pub inbox: usize,
    /// The most bytes of publications that the engine has not confirmed.
    pub unconfirmed: usize,
    /// Bounds on history. With an engine, only `count` and `seconds` apply: the engine has bounds of its own.
    pub history: HistoryLimits,
}

/// Bounds on history. When there is too much, the history that was used least recently goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The most topics with history; 0 for no history at all.
    pub topics: usize,
    /// The most publications of one topic.
    pub count: u32,
    /// The greatest age of a publication, in seconds.
    pub seconds: u32,
    /// The most bytes, all topics together.
    pub bytes: usize,
}

impl HistoryLimits {
    /// What the operator allows of this wish; `None` if that is nothing.
    pub(crate) fn allowed(&self, keep: Keep) -> Option<Keep> {
        let count = keep.count.min(self.count);
        let seconds = keep.seconds.min(self.seconds);
        let is_something = count > 0 && seconds > 0 && self.topics > 0;
        is_something.then_some(Keep { count, seconds })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topics: 100_000,
            subscriptions: 1_000_000,
            message: 1024 * 1024,
            listed_members: 1_000,
            inbox: 16 * 1024 * 1024,
            unconfirmed: 16 * 1024 * 1024,
            history: HistoryLimits::default(),
        }
    }
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            topics: 10_000,
            count: 1_000,
            seconds: 24 * 60 * 60,
            bytes: 64 * 1024 * 1024,
        }
    }
}
