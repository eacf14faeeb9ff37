//! Connections on their way to another process: what goes with the socket, and the steps in which it is handed over.
//!
//! ```text
//!   old process                              new process
//!        │ suspends the connection
//!        │ ── Leaving ──▶ Departure, socket ──▶ │ resumes it, touches nothing
//!        │ ◀── Reply::Ready ───────────────────  │
//!        │ ── Farewell ──▶ it is the new one's ─▶│ goes on
//! ```
//!
//! Until the farewell the connection is the old process's, which goes on with it if the new one does not become ready.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::contract::bindings::ResumeError;
use crate::observe::access_log::EntryRecord;
use crate::topics::records::{DueRecord, SubscriptionRecord};

/// All that another process needs to go on with a connection, apart from its socket.
#[derive(Serialize, Deserialize)]
pub(crate) struct Departure {
    /// As secret as what the app knows about its user.
    pub(crate) state: Vec<u8>,
    /// When the connection was suspended, in nanoseconds of the system's monotonic clock.
    pub(crate) suspended_at: u64,
    /// How long before that something was last received or sent, in nanoseconds.
    pub(crate) idle_for: u64,
    pub(crate) entry: EntryRecord,
    pub(crate) topics: Vec<SubscriptionRecord>,
}

/// A connection that is about to leave.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) departure: Departure,
    pub(crate) socket: OwnedFd,
    /// Dropped if the other process is gone.
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// What the other process says to a connection.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It can go on with it, once it is told so. The number of the connection in the handover.
    Ready(u64, oneshot::Sender<Farewell>),
    /// It cannot.
    Refused(Refusal),
}

/// The old process lets go of a connection.
#[derive(Debug)]
pub(crate) struct Farewell {
    /// What has waited for it.
    pub(crate) waited: Vec<DueRecord>,
    /// Told once the other process has been sent this. Dropped if it cannot be: then the connection stays.
    pub(crate) is_sent: oneshot::Sender<()>,
}

/// Why the other process does not take a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// See [`ResumeError::Unsupported`].
    Unsupported,
    /// See [`ResumeError::UnknownVersion`].
    UnknownVersion,
    /// See [`ResumeError::Invalid`].
    Invalid,
    /// The instance ended that was to have it.
    Failed,
    /// There is no room for it where it belongs.
    Full,
}

impl From<ResumeError> for Refusal {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Unsupported => Self::Unsupported,
            ResumeError::UnknownVersion => Self::UnknownVersion,
            ResumeError::Invalid => Self::Invalid,
        }
    }
}

impl Refusal {
    /// Why its state is refused, if that is the reason.
    pub(super) fn of_state(self) -> Option<ResumeError> {
        match self {
            Self::Unsupported => Some(ResumeError::Unsupported),
            Self::UnknownVersion => Some(ResumeError::UnknownVersion),
            Self::Invalid => Some(ResumeError::Invalid),
            Self::Failed | Self::Full => None,
        }
    }
}

/// A connection that has come from another process.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) departure: Departure,
    pub(crate) socket: OwnedFd,
    /// What to say to the other process.
    pub(crate) answer: Answer,
    /// Told when the connection is this process's, and what has waited for it. Dropped if it stays where it was.
    pub(crate) go: oneshot::Receiver<Vec<DueRecord>>,
}

/// Tells another process, once, whether this one can go on with a connection.
#[derive(Debug)]
pub(crate) struct Answer {
    number: u64,
    sender: Option<mpsc::UnboundedSender<(u64, Result<(), Refusal>)>>,
}

impl Answer {
    pub(crate) fn new(
        number: u64,
        sender: mpsc::UnboundedSender<(u64, Result<(), Refusal>)>,
    ) -> Self {
        Self {
            number,
            sender: Some(sender),
        }
    }

    /// The number of the connection in the handover.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn give(&mut self, answer: Result<(), Refusal>) {
        if let Some(sender) = self.sender.take() {
            // If no one listens, the other process is gone.
            let _ = sender.send((self.number, answer));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give(Err(Refusal::Failed));
    }
}

/// The way to another process. While it is open, connections that are to move go there.
#[derive(Debug, Default)]
pub(crate) struct Exit(RefCell<Option<Way>>);

/// A way to another process.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// The number of connections that the other process has room for now.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) sender: mpsc::UnboundedSender<Leaving>,
}

/// A place in the other process.
#[derive(Debug)]
pub(super) struct Reserved {
    permit: OwnedSemaphorePermit,
    sender: mpsc::UnboundedSender<Leaving>,
}

impl Exit {
    /// Opens the way, or closes it.
    pub(crate) fn set(&self, way: Option<Way>) {
        self.0.replace(way);
    }

    pub(in super::super) fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// A place in the other process, if it has one now.
    pub(super) fn reserve(&self) -> Option<Reserved> {
        let way = self.0.borrow();
        let Way { room, sender } = way.as_ref()?;
        Some(Reserved {
            permit: Arc::clone(room).try_acquire_owned().ok()?,
            sender: sender.clone(),
        })
    }
}

impl Reserved {
    /// Sends a connection. If that fails, its reply is dropped.
    pub(super) fn send(self, leaving: Leaving) {
        if self.sender.send(leaving).is_ok() {
            // The other process says when it has a place again.
            self.permit.forget();
        }
    }
}

impl fmt::Debug for Departure {
    /// Without the state, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Departure({} bytes)", self.state.len())
    }
}
