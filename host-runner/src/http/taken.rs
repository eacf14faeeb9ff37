//! A takeover on its way from the HTTP service to the session.

use crate::net::peer::Peer;
use crate::observe::trace::span::Span;
use crate::pool::Connection;

/// A takeover on its way from the service to the session.
pub(crate) struct Taken {
    /// Whom the request came from, as far as is known by then.
    pub(crate) peer: Peer,
    pub(crate) connection: Connection,
    pub(crate) head: Vec<u8>,
    pub(crate) farewell: Vec<u8>,
    /// The target of the request.
    pub(crate) target: String,
    /// The span of the request, which becomes the connection's.
    pub(crate) span: Option<Box<Span>>,
}
