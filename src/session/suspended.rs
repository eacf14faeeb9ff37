use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{ConnectionId, Effects, ReadyList, Session};
use crate::protocol::{Instant, ResumeError};

/// A connection at rest, as [`Session::suspend`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The path of the request with which it began: by it the app is found again.
    pub path: String,
    /// What the [`Resumer`] of that path makes a connection of.
    pub state: Vec<u8>,
}

/// An app whose connections can be suspended: see [`App::resumer`](crate::App::resumer).
pub trait Resumer {
    /// Makes a connection of the state of one that was suspended at this instant: it is not opened again, but
    /// called as if it had been all the time. The host knows it by `id` from now on, and by the list `ready`.
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

/// A connection that goes on.
pub struct Resumed {
    /// What is called from now on.
    pub session: Box<dyn Session>,
    /// What the host writes if the component dies.
    pub farewell: &'static [u8],
    /// What the host does now.
    pub effects: Effects,
}

impl fmt::Debug for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumed")
            .field("effects", &self.effects)
            .finish_non_exhaustive()
    }
}
