//! The phases of a connection, and the state of each.

use alloc::string::String;
use core::time::Duration;

use wasocket_host_core::http1::limits::{HEAD_TIMEOUT, LINGER_TIMEOUT, MAX_LINGERED};
use wasocket_host_core::http1::{Framing, Head, Response};
use wasocket_host_core::turn::Turn;

use super::arrivals::Arrivals;
use crate::handler::{Connection, ConnectionId, Instant, PendingRequest};
use crate::time::{after, earlier};

/// The phase of a connection.
pub(super) enum Phase {
    Waiting(Waiting),
    Deciding(Deciding),
    Discarding(Discarding),
    Taken(Taken),
    /// Closes once all output is sent.
    Closing,
    Lingering(Lingering),
    /// Given up, but the runtime would block on dropping the socket.
    Stuck,
    /// To be dropped.
    Ended,
}

/// Waiting for a request head.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) head: Head,
    /// The deadline, known once there is nothing else to do.
    pub(super) until: Option<Instant>,
}

impl Waiting {
    /// For the first request of a connection.
    pub(super) fn first(now: Instant) -> Self {
        Self {
            head: Head::default(),
            until: Some(after(now, HEAD_TIMEOUT)),
        }
    }

    /// Whether the request is a HEAD, whose response has no body.
    pub(super) fn is_head(&self) -> bool {
        self.head.method() == Some("HEAD")
    }
}

/// A request that is with the handler.
pub(super) struct Subject {
    pub(super) method: String,
    /// Without the query, which may hold a secret: for logs.
    pub(super) path: String,
    pub(super) framing: Framing,
}

/// The handler has a request and has not answered it yet.
pub(super) struct Deciding {
    pub(super) pending_request: PendingRequest,
    pub(super) id: ConnectionId,
    pub(super) subject: Subject,
    pub(super) wake_at: Option<Instant>,
    /// The deadline.
    pub(super) until: Instant,
}

impl Deciding {
    pub(super) fn due_at(&self) -> Option<Instant> {
        earlier(Some(self.until), self.wake_at)
    }
}

/// There is a response, to be sent once the rest of the request body has been read.
pub(super) struct Discarding {
    pub(super) left: u64,
    /// The client's deadline.
    pub(super) until: Instant,
    pub(super) response: Response,
    pub(super) is_head: bool,
}

/// The connection is the handler's.
pub(super) struct Taken {
    pub(super) connection: Connection,
    pub(super) id: ConnectionId,
    pub(super) turn: Turn,
    /// What waits for the client to take its output.
    pub(super) waiting: Arrivals,
}

/// Everything is sent, and the client's remaining input is discarded.
pub(super) struct Lingering {
    /// How many more bytes are discarded before the client is given up.
    pub(super) left: u64,
    until: Instant,
    /// When our direction ends; `None` once it has.
    pub(super) ends_at: Option<Instant>,
}

impl Lingering {
    pub(super) fn new(now: Instant, end_delay: Duration) -> Self {
        Self {
            left: MAX_LINGERED,
            until: after(now, LINGER_TIMEOUT),
            ends_at: Some(after(now, end_delay)),
        }
    }

    pub(super) fn due_at(&self) -> Instant {
        self.ends_at.unwrap_or(self.until)
    }
}
