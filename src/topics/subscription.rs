use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{History, Start, TopicRefusal};

/// The longest name of a topic, in bytes.
pub const MAX_TOPIC_NAME: usize = 128;
/// The most topics of one connection.
pub const MAX_TOPICS: usize = 16;
/// The most that a member may say of itself, in bytes.
pub const MAX_MEMBER: usize = 256;

/// How an app subscribes to a topic. The default has no name, which is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The name of the topic, 1 to [`MAX_TOPIC_NAME`] bytes.
    pub topic: String,
    /// The first publication to be given.
    pub start: Start,
    /// The history that the topic should have; the operator's bounds apply.
    pub keep: Option<History>,
    /// What others see of this connection as a member of the topic: at most [`MAX_MEMBER`] bytes. `None`: it is no
    /// member.
    pub member: Option<Vec<u8>>,
    /// Whether to be told who joins and leaves.
    pub watch_members: bool,
    /// Who is given what is published.
    pub receiver: Receiver,
}

impl Subscription {
    /// Whether it keeps the rules.
    pub(crate) fn check(&self) -> Result<(), TopicError> {
        check_name(&self.topic)?;
        let member = self.member.as_deref().unwrap_or_default();
        if member.len() > MAX_MEMBER {
            return Err(TopicError::MemberTooLong);
        }
        Ok(())
    }

    /// A subscription like that of `subscribe`: from now on, for the peer.
    #[must_use]
    pub fn to(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            ..Self::default()
        }
    }
}

/// Who is given what is published on a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receiver {
    /// The peer, as it is.
    #[default]
    Peer,
    /// The peer, with the position, or nothing if there is none, and a line feed in front of it.
    PeerWithPosition,
    /// The app.
    App,
}

/// Why something cannot be had of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is empty, or longer than [`MAX_TOPIC_NAME`]: the caller's mistake.
    Name,
    /// The connection subscribes to [`MAX_TOPICS`] topics already: the caller's mistake.
    TooMany,
    /// A member says more than [`MAX_MEMBER`] bytes of itself: the caller's mistake.
    MemberTooLong,
    /// The host has refused it.
    Refused(TopicRefusal),
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(f, "a topic's name has 1 to {MAX_TOPIC_NAME} bytes"),
            Self::TooMany => write!(f, "a connection has at most {MAX_TOPICS} topics"),
            Self::MemberTooLong => write!(f, "a member has at most {MAX_MEMBER} bytes"),
            Self::Refused(refusal) => write!(f, "topic {:?}: {}", refusal.topic, refusal.reason),
        }
    }
}

impl core::error::Error for TopicError {}

/// Whether a topic may have this name.
pub(crate) fn check_name(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() || topic.len() > MAX_TOPIC_NAME {
        return Err(TopicError::Name);
    }
    Ok(())
}
