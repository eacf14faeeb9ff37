//! A taken-over socket as the host sees it, and what serves it: a handler, or a task.

mod client;
mod deliver;
mod handler;
mod raw;
mod ready;
mod refusal_body;
mod suspended;
mod task;
mod watchers;
mod web_socket;

pub use client::{ClientEvent, ClientSession, Refused};
pub use deliver::{Deliver, Delivered, Deliveries};
pub use handler::{Handler, RawHandler, RawSocket};
pub(crate) use raw::RawSession;
#[cfg(all(feature = "outside", target_family = "wasm"))]
pub(crate) use ready::watch;
pub(crate) use ready::{Called, Calling};
pub use ready::{ConnectionId, ReadyList};
pub use suspended::{Keepalive, Resumed, Resumer, Suspended, Suspension};
pub use task::Elapsed;
pub(crate) use task::{Machine, Task, Timers, first_of};
pub(crate) use watchers::register;
pub(crate) use web_socket::WebSocketSession;

use alloc::vec::Vec;

use crate::protocol::{
    CloseCode, Connection, Disposition, Initiator, Instant, MessageLimits, Report,
};
use crate::topics::{Broadcast, Publication, TopicAction, TopicEvent};

/// One taken-over socket as the host sees it: the `connection` resource of the WIT package, whose
/// contract says when each function is called.
pub trait Session {
    /// The socket is taken over; `residual` are the bytes that came after the request head. The host knows
    /// the connection by `id`, which goes on the list `ready` when the connection wants to be called.
    fn open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        residual: Vec<u8>,
    ) -> Effects;
    /// Lowers the limits to the operator's. The default does nothing: a raw socket has no messages to limit.
    fn set_limits(&mut self, limits: MessageLimits) {
        let _ = limits;
    }
    /// Bytes arrived.
    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects;
    /// The peer has finished sending.
    fn receive_eof(&mut self, now: Instant) -> Effects;
    /// The requested instant has come, or all output is sent, or the connection is on the list. `unsent`
    /// bytes of the output are not sent yet; the last byte counts until the peer has acknowledged it.
    fn wake(&mut self, now: Instant, unsent: u64) -> Effects;
    /// The host wants the connection to end.
    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects;
    /// The socket has failed, or the host has given it up. No call follows but [`report`](Self::report). Returns
    /// what is still to be published.
    fn lost(&mut self, now: Instant) -> Vec<Publication>;
    /// Something was published on a topic that the connection subscribes to; no output of it is unsent.
    /// [`Deliver`] calls it. The default, for those that never subscribe, does nothing with it.
    fn deliver(&mut self, now: Instant, broadcast: &Broadcast) -> Delivered {
        let _ = broadcast;
        Delivered::Effects(self.wake(now, 0))
    }
    /// Something has happened on a topic that concerns this connection. The default, for those that never
    /// subscribe, does nothing with it.
    fn tell(&mut self, now: Instant, event: TopicEvent) -> Effects {
        let _ = event;
        self.wake(now, 0)
    }
    /// The whole state of the connection as a value; `None` if it is not at rest. [`suspend`](crate::suspend)
    /// calls it; drop the session afterwards. The default cannot be suspended: the state of a waiting
    /// function, or of an app's handler, is not known here.
    fn suspend(&self, now: Instant) -> Option<Suspended> {
        let _ = now;
        None
    }
    /// How the host can check that the peer is still there while the connection is suspended. The default leaves that
    /// to the connection, which the host resumes for it.
    fn keepalive(&self) -> Option<Keepalive> {
        None
    }
    /// The host pinged the peer while the connection was suspended: when the peer last answered, and when it was sent a
    /// ping that is still unanswered. [`resume`](crate::resume) calls it, before anything else.
    fn kept_alive(&mut self, answered: Option<Instant>, pinged: Option<Instant>) {
        let _ = (answered, pinged);
    }
    /// Reports the outcome of the connection: the last call. The default reports nothing.
    fn report(&self) -> Report {
        Report::default()
    }
}

/// The number of unsent bytes that the system has not taken. In `unsent`, the last one of those it has taken counts until
/// the peer has acknowledged it: that matters for what the peer can have received, not for what may be sent.
pub(crate) fn not_taken(unsent: u64) -> u64 {
    if unsent == 1 { 0 } else { unsent }
}

/// Why a host wants connections to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The host stops for good.
    GoingAway,
    /// The host or the component is about to be replaced.
    ServiceRestart,
}

/// Begins to close a WebSocket for the host. RFC 6455 §7.4.1 has 1001 for a server that goes down, the IANA
/// registry 1012 for one that restarts.
pub(crate) fn shut_down(connection: &mut Connection, reason: ShutdownReason) {
    let code = match reason {
        ShutdownReason::GoingAway => CloseCode::GOING_AWAY,
        ShutdownReason::ServiceRestart => CloseCode::SERVICE_RESTART,
    };
    // Fails if the connection is not open: the closing handshake is already in progress.
    let _ = connection.close_by(Initiator::Host, code, "");
}

/// The actions that the host takes after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    /// Bytes to send.
    pub output: Vec<u8>,
    /// When to call [`Session::wake`]; `None` cancels an earlier request.
    pub wake_at: Option<Instant>,
    /// The fate of the socket once the output is sent.
    pub next: Disposition,
    /// What the connection wants of topics.
    pub topics: Vec<TopicAction>,
}
