//! The contract in Rust, as wasmtime generates it from `wit/`. The only use of `bindgen!`.
//!
//! Only the types are used, and the check that a component fits a world. The calls are in
//! [`guest`](crate::guest::handler), which limits each of them.

use std::time::Duration;

#[allow(missing_docs, reason = "generated; the documentation is in wit/")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "handler",
    });
}

#[allow(missing_docs, reason = "generated; the documentation is in wit/")]
mod generated_client {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "client",
        with: { "wasocket:websocket/types": super::generated::wasocket::websocket::types },
    });
}

pub(crate) use generated::HandlerPre;
pub use generated::exports::wasocket::websocket::websocket_handler::{
    Answer, Arrival, Closing, Decision, Deliveries, Exception, ExceptionEffect, Form, Initiator,
    Keepalive, LastEffects, MessageLimits, Outcome, Outcomes, PollResult, Report, ResumeError,
    Resumed, ShutdownReason, Suspended, Suspension, Takeover, Verdict,
};
pub use generated::wasocket::websocket::types::Message as TopicMessage;
pub use generated::wasocket::websocket::types::{
    ConnectionId, Delivery, Effects, Field, Gap, History, HttpVersion, Instant, MemberChange,
    Members, Next, Publication, Request, Response, ResponseHead, Start, Subscribed, Subscription,
    TopicAction, TopicEvent, TopicOperation, TopicRefusal,
};
pub(crate) use generated_client::ClientPre;
pub use generated_client::exports::wasocket::websocket::websocket_client::{
    ClientRequest, CloseReason, Closed, Connecting, Event, Message, Opened, Piece, Progress,
    Refused,
};

impl From<Next> for wasocket_host_core::turn::Next {
    #[inline]
    fn from(next: Next) -> Self {
        match next {
            Next::Open => Self::Open,
            Next::Pause => Self::Pause,
            Next::Close => Self::Close,
            Next::Abort => Self::Abort,
        }
    }
}

impl From<Duration> for Suspension {
    /// A suspension of this time, of which the peer has noticed nothing.
    fn from(time: Duration) -> Self {
        Self {
            suspended_for: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            answered: None,
            pinged: None,
        }
    }
}

/// A word for logs for the side that ended a connection.
#[must_use]
pub fn initiator_name(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Peer => "peer",
        Initiator::App => "app",
        Initiator::Protocol => "protocol",
        Initiator::Host => "host",
    }
}

/// The interface that a component of the world `handler` must export.
pub const HANDLER: &str = "wasocket:websocket/websocket-handler@0.1.0";

/// The interface that a component of the world `client` must export.
pub const CLIENT: &str = "wasocket:websocket/websocket-client@0.1.0";
