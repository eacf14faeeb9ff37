//! How a connection behaves, and what the server keeps.

use std::time::Duration;

use crate::engine::LEASE;

/// How a connection behaves, and what the server keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// How long the members of a runner outlive it.
    pub(crate) lease: Duration,
    /// How long the server may say nothing before it is asked whether it is there. After three times this, it is not.
    pub(crate) idle: Duration,
    /// How long an answer, and a connection, may take.
    pub(crate) answer_timeout: Duration,
    pub(crate) bounds: Bounds,
}

/// The most that the server keeps, of all topics and of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Topics with history.
    pub(crate) topics: u64,
    /// Bytes of history, of all topics.
    pub(crate) bytes: u64,
    /// Publications of one topic.
    pub(crate) count: u32,
    /// The greatest age of a publication.
    pub(crate) age: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            lease: LEASE,
            idle: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(5),
            bounds: Bounds::default(),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            topics: 100_000,
            bytes: 1 << 30,
            count: 1_000,
            age: Duration::from_hours(24),
        }
    }
}
