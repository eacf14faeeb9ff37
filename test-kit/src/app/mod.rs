//! The host's interface to an app.

#[cfg(feature = "component")]
pub(crate) mod component;
pub(crate) mod native;

use wasocket::topics::{Delivery, TopicEvent};
use wasocket::{ConnectionId, Report, Request, ShutdownReason};

use crate::Fault;
use crate::contract::{Decision, Deliveries, Effects, Handle, LastEffects, PollResult};

/// The functions of `websocket-handler`, of a native app or of a component.
///
/// After a [`Fault`] the instance is gone with all its connections; the next request gets a new one.
pub(crate) trait App {
    fn handle(&mut self, request: &Request) -> Result<Decision, Fault>;

    /// Goes on deciding. `now` is in nanoseconds.
    fn poll(&mut self, handle: Handle, now: u64, id: ConnectionId) -> Result<PollResult, Fault>;

    /// Drops a request that waits for its answer.
    fn drop_pending_request(&mut self, handle: Handle) -> Result<(), Fault>;

    /// Calls a connection. `now` is in nanoseconds.
    fn call(&mut self, handle: Handle, now: u64, call: Call<'_>) -> Result<Effects, Fault>;

    fn lost(&mut self, handle: Handle, now: u64) -> Result<LastEffects, Fault>;

    /// Gives a publication to all of these connections.
    fn deliver(
        &mut self,
        handles: &[Handle],
        now: u64,
        delivery: &Delivery,
    ) -> Result<Deliveries, Fault>;

    /// Asks for the report on a connection: the last call.
    fn report(&mut self, handle: Handle) -> Result<Report, Fault>;

    /// Drops a connection, after the last call.
    fn drop_connection(&mut self, handle: Handle) -> Result<(), Fault>;
}

/// A call that has effects.
#[derive(Clone, Debug)]
pub(crate) enum Call<'a> {
    Open {
        id: ConnectionId,
        residual: &'a [u8],
    },
    Receive(&'a [u8]),
    ReceiveEof,
    Wake {
        unsent: usize,
    },
    Shutdown(ShutdownReason),
    Tell(TopicEvent),
}
