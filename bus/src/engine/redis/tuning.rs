//! How a connection behaves, and what is kept.

use std::time::Duration;

use crate::engine::LEASE;

/// How a connection behaves, and what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// How long members of a runner that says nothing more are still listed.
    pub(crate) lease: Duration,
    /// How long Redis may say nothing before it is asked whether it is there.
    pub(crate) idle: Duration,
    /// How long it may then take to answer.
    pub(crate) answer_timeout: Duration,
    /// The most bytes of history of one topic: what is kept, and what is read at once.
    pub(crate) topic_bytes: u64,
    /// How long Redis knows where a topic stands after its last use.
    pub(crate) topic_idle: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            lease: LEASE,
            idle: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(5),
            topic_bytes: 16 * 1024 * 1024,
            topic_idle: Duration::from_hours(7 * 24),
        }
    }
}
