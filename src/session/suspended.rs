use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

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
