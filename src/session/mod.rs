//! A taken-over socket as the host sees it, and what stands behind it: a handler, or a task.

mod client;
mod handler;
mod raw;
mod ready;
mod suspended;
mod task;
mod watchers;
mod web_socket;

pub use client::{ClientEvent, ClientSession, Refused};
pub use handler::{Handler, RawHandler, RawSocket};
pub(crate) use raw::RawSession;
#[cfg(all(feature = "outside", target_family = "wasm"))]
pub(crate) use ready::watch;
pub(crate) use ready::{Called, Calling};
pub use ready::{ConnectionId, ReadyList};
pub use suspended::{Resumed, Resumer, Suspended};
pub use task::Elapsed;
pub(crate) use task::{Machine, Task, Timers, first_of};
pub(crate) use watchers::register;
pub(crate) use web_socket::WebSocketSession;

use alloc::vec::Vec;

use crate::protocol::{Ceiling, CloseCode, Connection, Disposition, Initiator, Instant, Report};

/// One taken-over socket as the host sees it: the `connection` resource of the WIT package, whose
/// contract says when each function is called.
pub trait Session {
    /// The socket is taken over; `residual` came behind the request head. The host knows the connection
    /// by `id`; it is to be on the list `ready` when it wants to be called.
    fn open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        residual: Vec<u8>,
    ) -> Effects;
    /// Those who run the app allow no more than this. Unless implemented otherwise, there is nothing to which it
    /// would apply: a raw socket has no messages.
    fn limit(&mut self, ceiling: Ceiling) {
        let _ = ceiling;
    }
    /// Bytes arrived.
    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects;
    /// The peer has finished sending.
    fn receive_eof(&mut self, now: Instant) -> Effects;
    /// The instant asked for is reached, or all output is sent, or the connection is on the list; so many
    /// bytes of the output are unsent.
    fn wake(&mut self, now: Instant, unsent: u64) -> Effects;
    /// The host wants the connection to end.
    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects;
    /// The socket has failed, or was given up. No call follows but [`report`](Self::report).
    fn lost(&mut self, now: Instant);
    /// All that the connection is, as a value; none if it is not at rest. For [`suspend`](crate::suspend) to
    /// call, behind which the session is to be dropped. Unless implemented otherwise, it cannot be suspended:
    /// where a function waits, or a handler keeps what it likes, nobody knows what there is to keep.
    fn suspend(&self, now: Instant) -> Option<Suspended> {
        let _ = now;
        None
    }
    /// What became of the connection: the last call. Unless implemented otherwise, nothing is known.
    fn report(&self) -> Report {
        Report::default()
    }
}

/// Why a host wants connections to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The host goes away for good.
    GoingAway,
    /// The host or the component is about to be replaced.
    ServiceRestart,
}

/// The host wants a WebSocket to end. RFC 6455 §7.4.1 has 1001 for a server that goes down, the IANA registry
/// 1012 for one that restarts.
pub(crate) fn shut_down(connection: &mut Connection, reason: ShutdownReason) {
    let code = match reason {
        ShutdownReason::GoingAway => CloseCode::GOING_AWAY,
        ShutdownReason::ServiceRestart => CloseCode::SERVICE_RESTART,
    };
    // Not open: the closing handshake is under way already.
    let _ = connection.close_by(Initiator::Host, code, "");
}

/// What the host does after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    /// Bytes to send.
    pub output: Vec<u8>,
    /// When to call [`Session::wake`]; none cancels.
    pub wake_at: Option<Instant>,
    /// What becomes of the socket once the output is sent.
    pub next: Disposition,
}
