use alloc::string::ToString;
use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use crate::{
    Ceiling, CloseCode, Connection, ConnectionId, Disposition, Event, Handler, Initiator, Instant,
    RawHandler, RawSocket, ReadyList, Report, Suspended, UsageError,
};

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

/// A WebSocket: the connection, and the app's handler that is given its events.
pub(crate) struct WebSocketSession<H> {
    connection: Connection,
    handler: H,
    /// The handler's mistake.
    fault: Option<UsageError>,
}

impl<H> WebSocketSession<H> {
    /// A Close frame with code 1011 (RFC 6455 §7.4.1).
    pub(crate) const FAREWELL: &[u8] = &[0x88, 2, 0x03, 0xf3];

    pub(crate) fn new(connection: Connection, handler: H) -> Self {
        Self {
            connection,
            handler,
            fault: None,
        }
    }
}

impl<H: Handler> WebSocketSession<H> {
    fn effects(&mut self) -> Effects {
        while let Some(event) = self.next_event() {
            let result = match event {
                Event::Message(message) => self.handler.message(&mut self.connection, message),
                Event::Piece(piece) => self.handler.piece(&mut self.connection, piece),
                Event::Closed(closed) => {
                    self.handler.closed(closed);
                    Ok(())
                }
                Event::Ping(payload) => self.handler.ping(&mut self.connection, &payload),
                Event::Pong(payload) => self.handler.pong(&mut self.connection, &payload),
            };
            self.check(result);
        }
        Effects {
            output: self.connection.take_output(),
            wake_at: self.connection.deadline(),
            next: self.connection.disposition(),
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        let event = self.connection.next_event_before_end();
        if event.is_some() {
            return event;
        }
        if let Some(reason) = self.connection.unanswered_close() {
            let result = self.handler.closing(&mut self.connection, reason.as_ref());
            self.check(result);
        }
        self.connection.end_event()
    }

    /// A mistake of the handler's ends its connection, not the instance.
    fn check(&mut self, result: Result<(), UsageError>) {
        if let Err(error) = result
            && error != UsageError::NotOpen
        {
            self.fault.get_or_insert(error);
            let _ = self.connection.close(CloseCode::INTERNAL_ERROR, "");
        }
    }
}

impl<H: Handler> Session for WebSocketSession<H> {
    fn open(&mut self, now: Instant, _: ConnectionId, _: &ReadyList, residual: Vec<u8>) -> Effects {
        self.connection.receive_bytes(now, BytesMut::new());
        let result = self.handler.open(&mut self.connection);
        self.check(result);
        self.receive(now, residual)
    }

    fn limit(&mut self, ceiling: Ceiling) {
        self.connection.limit(ceiling);
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        // By way of `Bytes`, which takes the vector over; `BytesMut` alone would copy.
        self.connection.receive_bytes(now, Bytes::from(bytes));
        self.effects()
    }

    fn receive_eof(&mut self, now: Instant) -> Effects {
        self.connection.receive_eof(now);
        self.effects()
    }

    fn wake(&mut self, now: Instant, unsent: u64) -> Effects {
        self.connection.handle_timeout(now, unsent);
        self.effects()
    }

    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects {
        self.connection.advance(now);
        shut_down(&mut self.connection, reason);
        self.effects()
    }

    fn lost(&mut self, now: Instant) {
        self.connection.receive_eof(now);
        let _ = self.effects();
    }

    fn report(&self) -> Report {
        let fault = self.fault.map(|error| error.to_string());
        self.connection.report().with_fault(fault)
    }
}

/// A raw socket and the app's handler.
pub(crate) struct RawSession<H> {
    socket: RawSocket,
    handler: H,
}

impl<H> RawSession<H> {
    pub(crate) fn new(handler: H) -> Self {
        Self {
            socket: RawSocket::default(),
            handler,
        }
    }

    fn effects(&mut self) -> Effects {
        Effects {
            output: mem::take(&mut self.socket.output),
            wake_at: None,
            next: if self.socket.closed {
                Disposition::Close
            } else {
                Disposition::Open
            },
        }
    }
}

impl<H: RawHandler> Session for RawSession<H> {
    fn open(&mut self, now: Instant, _: ConnectionId, _: &ReadyList, residual: Vec<u8>) -> Effects {
        self.handler.open(&mut self.socket);
        if residual.is_empty() {
            return self.effects();
        }
        self.receive(now, residual)
    }

    fn receive(&mut self, _: Instant, bytes: Vec<u8>) -> Effects {
        if !self.socket.closed {
            self.handler.receive(&mut self.socket, &bytes);
        }
        self.effects()
    }

    fn receive_eof(&mut self, _: Instant) -> Effects {
        self.handler.end_of_stream(&mut self.socket);
        self.effects()
    }

    fn wake(&mut self, _: Instant, _: u64) -> Effects {
        self.effects()
    }

    fn shutdown(&mut self, _: Instant, _: ShutdownReason) -> Effects {
        self.socket.close();
        self.effects()
    }

    fn lost(&mut self, _: Instant) {}
}
