//! A stream that a client has begun, with all that serving it takes. Any worker can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use h2::RecvStream;
use h2::server::SendResponse;

use crate::net::peer::Peer;
use crate::net::stream::h2_stream::Frame;
use crate::net::stream::wire::Wire;

/// A stream with a request on it.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The connection's peer.
    pub(crate) peer: Peer,
    /// The connection's socket.
    pub(super) wire: Wire,
    pub(super) carrier: Carrier,
    pub(crate) request: http::Request<RecvStream>,
    pub(super) respond: SendResponse<Frame>,
}

/// How a stream ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client reset it before there was an answer.
    Abandoned,
    /// It was refused, as its address sends too many requests.
    Denied,
    /// In any other way.
    Over,
}

/// Whether a request uses the place that the connection of its stream has among all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Carrier(Arc<AtomicBool>);

/// The use of that place, given up on drop.
#[derive(Debug)]
pub(super) struct Place(Carrier);

impl Carrier {
    /// Takes the place, if no other request has it.
    pub(super) fn take(&self) -> Option<Place> {
        (!self.0.swap(true, Relaxed)).then(|| Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(Carrier(is_taken)) = self;
        is_taken.store(false, Relaxed);
    }
}
