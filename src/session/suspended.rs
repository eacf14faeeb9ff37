use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::{ConnectionId, Effects, ReadyList, Session};
use crate::protocol::{Instant, ResumeError};

/// A connection at rest, as [`Session::suspend`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The path of the request that opened it, which finds the app again.
    pub path: String,
    /// The bytes from which the [`Resumer`] of that path makes the connection again.
    pub state: Vec<u8>,
}

/// How to check that the peer of a suspended connection is still there: the record `keepalive` of the WIT
/// package, which says what the host does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// When to send the first ping.
    pub ping_at: Instant,
    /// How long after an answer the next ping is due.
    pub interval: Duration,
    /// How long the peer may take to answer.
    pub timeout: Duration,
    /// The bytes to send.
    pub ping: &'static [u8],
    /// The bytes to receive. Only the bits set in the mask count.
    pub answer: &'static [u8],
    /// Has the same length as the answer.
    pub answer_mask: &'static [u8],
    /// When to resume the connection in any case.
    pub wake_at: Option<Instant>,
}

impl Keepalive {
    /// An empty Ping frame (RFC 6455 §5.5.2): a client's answer to it is determined, except for the masking key.
    pub(crate) const PING: &'static [u8] = &[0x89, 0];
    /// An empty Pong frame of a client, with a masking key (§5.5.3, §5.3).
    pub(crate) const PONG: &'static [u8] = &[0x8a, 0x80, 0, 0, 0, 0];
    /// All but the masking key, which "MUST be unpredictable" (§5.3).
    pub(crate) const PONG_MASK: &'static [u8] = &[0xff, 0xff, 0, 0, 0, 0];
}

/// What happened while a connection was suspended, as elapsed times. Can be made from the duration of the suspension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspension {
    /// How long it was suspended.
    pub suspended_for: Duration,
    /// How long ago the peer last answered a ping, if it did.
    pub answered: Option<Duration>,
    /// How long ago the peer was sent a ping that is still unanswered, if there is one.
    pub pinged: Option<Duration>,
}

impl From<Duration> for Suspension {
    fn from(suspended_for: Duration) -> Self {
        Self {
            suspended_for,
            ..Self::default()
        }
    }
}

/// An app whose connections can be suspended: see [`App::resumer`](crate::App::resumer).
pub trait Resumer {
    /// Makes a connection from the state of one that was suspended at this instant. It is not opened again:
    /// the calls continue as if nothing had happened. From now on the host knows it by `id`, and by the list
    /// `ready`.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Invalid`]: the bytes may come from anywhere.
    fn resume(
        &self,
        at: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        suspended: Suspended,
    ) -> Result<Box<dyn Session>, ResumeError>;
}

/// A resumed connection.
pub struct Resumed {
    /// The session to call from now on.
    pub session: Box<dyn Session>,
    /// The bytes that the host writes if the component dies.
    pub final_bytes: &'static [u8],
    /// The host's next actions.
    pub effects: Effects,
}

impl fmt::Debug for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumed")
            .field("effects", &self.effects)
            .finish_non_exhaustive()
    }
}
