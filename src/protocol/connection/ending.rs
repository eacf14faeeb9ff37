//! How a connection ends: the closing handshake (RFC 6455 §7.1), a failure, or the end of the stream.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::{Connection, Role, State};
use crate::protocol::frame::Opcode;
use crate::protocol::{CloseReason, Closed, Closing, Disposition, Event, Initiator, ProtocolError};

impl Connection {
    /// Ends the connection at once, without a Close frame: for a peer that deserves no answer, or that reads
    /// nothing. Output that has not been taken is lost. Has no effect on a closed connection.
    pub fn abort(&mut self) {
        self.output = Vec::new();
        self.end(Closed::Aborted, Disposition::Abort);
    }

    /// Acts on what ends the connection, if that has been received. Call it after
    /// [`next_event_before_end`](Self::next_event_before_end).
    pub(crate) fn end_event(&mut self) -> Option<Event> {
        match self.ending.take() {
            Some(Ok(reason)) => self.answer_close(reason),
            Some(Err(error)) => self.fail(error),
            None => {}
        }
        self.closed.take().map(Event::Closed)
    }

    /// Whether the end has been received and messages can still be sent before it is acted on.
    pub(crate) fn has_unanswered_end(&self) -> bool {
        self.ending.is_some() && self.is_open()
    }

    /// The content of the peer's Close frame until it is answered, which [`close`](Self::close) does. Call it
    /// after [`next_event_before_end`](Self::next_event_before_end).
    pub(crate) fn unanswered_close(&self) -> Option<Option<CloseReason>> {
        match &self.ending {
            Some(Ok(reason)) if self.is_open() => Some(reason.clone()),
            _ => None,
        }
    }

    /// Notes the content of the peer's Close frame, which begins the end unless our own Close frame already
    /// has.
    pub(super) fn receive_close(
        &mut self,
        payload: &[u8],
    ) -> Result<Option<CloseReason>, ProtocolError> {
        let reason = CloseReason::decode(payload)?;
        let closed = Closed::Handshake(reason.clone());
        let text = reason.as_ref().map(|reason| reason.reason.as_str());
        self.begin_end(Initiator::Peer, closed.code(), text.unwrap_or_default());
        Ok(reason)
    }

    fn answer_close(&mut self, reason: Option<CloseReason>) {
        // RFC 6455 §5.5.1: "When sending a Close frame in response, the endpoint typically echos the
        // status code it received." After our own Close this sends nothing.
        let code = reason
            .as_ref()
            .map(|reason| reason.code.as_u16().to_be_bytes());
        let payload = code.as_ref().map_or(&[][..], |code| code);
        let _ = self.send_frame(Opcode::Close, payload);
        self.handshake_done(reason);
    }

    /// Fails the connection (RFC 6455 §7.1.7): sends a Close frame with the code, and reads no more.
    fn fail(&mut self, error: ProtocolError) {
        let _ = self.close_by(Initiator::Protocol, error.close_code(), &error.to_string());
        self.end(Closed::Failed(error), Disposition::Close);
    }

    /// The closing handshake is complete.
    fn handshake_done(&mut self, reason: Option<CloseReason>) {
        self.end(Closed::Handshake(reason), Disposition::Close);
        // RFC 6455 §5.5.1: the server closes the socket at once; "the client SHOULD wait for the server
        // to close the connection".
        if let Role::Client(_) = self.role {
            let deadline = self.now.after(self.limits().close_timeout);
            self.state = State::Draining { deadline };
        }
    }

    /// Notes what begins the end; only the first call counts.
    pub(super) fn begin_end(&mut self, initiator: Initiator, code: u16, reason: &str) {
        self.closing.get_or_insert_with(|| Closing {
            initiator,
            code,
            reason: reason.into(),
        });
    }

    pub(super) fn end(&mut self, closed: Closed, disposition: Disposition) {
        match self.state {
            State::Closed(_) => return,
            State::Draining { .. } => {}
            State::Open | State::Closing { .. } => {
                self.begin_end(closed.initiator(), closed.code(), &closed.to_string());
                self.closed = Some(closed);
            }
        }
        self.state = State::Closed(disposition);
        self.frame = None;
        self.message = None;
        self.pieces = None;
        self.outgoing = None;
        self.control = BytesMut::new();
        self.late_pong = None;
        self.ending = None;
        self.extensions.release();
    }
}
