//! What moves from one worker to another.

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasocket_host_core::http1::{Framing, Request};

use crate::http::h2::incoming::{End, Incoming};
use crate::limits::per_address::AddressPermit;
use crate::net::peer::Peer;
use crate::net::stream::portable::Portable;
use crate::process::open_connections::OpenConnection;
use crate::session::moving::departure;

/// Something that another worker has accepted and this one serves, since it owns the key of its request.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A connection, for good or until its next request is for another worker.
    Connection(Box<MovedConnection>),
    /// A stream of an HTTP/2 connection, which stays where it is.
    Stream(Box<MovedStream>),
    /// A connection that another process has handed over.
    HandedOver(Box<departure::Incoming>),
}

/// A connection that speaks HTTP/1.1, with the request that it was moved for.
#[derive(Debug)]
pub(crate) struct MovedConnection {
    pub(crate) stream: Portable,
    pub(crate) request: Request,
    pub(crate) framing: Framing,
    /// The bytes received after the head.
    pub(crate) residual: BytesMut,
    pub(crate) peer: Peer,
    /// `Some` until it has arrived.
    pub(crate) admission: Option<Admission>,
}

/// What a connection counts towards, whichever worker serves it, until this is dropped.
#[derive(Debug)]
#[allow(dead_code, reason = "what is held counts")]
pub(crate) struct Admission {
    /// `None` if its address is not limited, or not known yet.
    pub(crate) address: Option<AddressPermit>,
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) open: OpenConnection,
}

/// A stream, and where to say how it has ended. If no one waits for that any more, the connection is gone.
#[derive(Debug)]
pub(crate) struct MovedStream {
    pub(crate) incoming: Incoming,
    pub(crate) ended: oneshot::Sender<End>,
}
