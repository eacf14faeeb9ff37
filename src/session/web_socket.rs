use crate::topics::Publication;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::{ConnectionId, Effects, Handler, ReadyList, Session, ShutdownReason, shut_down};
use crate::protocol::{CloseCode, Connection, Event, Instant, MessageLimits, Report, UsageError};

/// A WebSocket: the connection, and the app's handler that receives its events.
pub(crate) struct WebSocketSession<H> {
    connection: Connection,
    handler: H,
    /// The handler's mistake.
    fault: Option<UsageError>,
}

impl<H> WebSocketSession<H> {
    /// A Close frame with code 1011 (RFC 6455 §7.4.1).
    pub(crate) const FINAL_BYTES: &[u8] = &[0x88, 2, 0x03, 0xf3];

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
            topics: Vec::new(),
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

    /// The handler's mistake ends its connection, not the instance.
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

    fn set_limits(&mut self, limits: MessageLimits) {
        self.connection.set_limits(limits);
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        // Through `Bytes`, which takes over the vector; `BytesMut` alone would copy.
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

    fn lost(&mut self, now: Instant) -> Vec<Publication> {
        self.connection.receive_eof(now);
        let _ = self.effects();
        Vec::new()
    }

    fn report(&self) -> Report {
        let fault = self.fault.map(|error| error.to_string());
        self.connection.report().with_fault(fault)
    }
}
