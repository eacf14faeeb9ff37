use alloc::vec::Vec;

use bytes::Bytes;

use super::{Connection, Role, State};
use crate::protocol::frame::{Header, MAX_CONTROL_PAYLOAD, Opcode, apply_mask};
use crate::protocol::{CloseCode, CloseReason, Initiator, Instant, Message, Prepared, UsageError};

impl Connection {
    /// Sends a message.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotOpen`] once either side has begun the closing handshake;
    /// [`UsageError::MessageUnderWay`] inside a message that is sent in fragments.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), UsageError> {
        match message.into() {
            Message::Text(text) => self.send_text(&text),
            Message::Binary(bytes) => self.send_binary(&bytes),
        }
    }

    /// Sends a message uncompressed, whatever was agreed on compression: for secrets, which their compressed
    /// length would give away (see [`DeflateOptions`](crate::extension::DeflateOptions)), and for data that
    /// is already compressed. RFC 7692 §6.1 lets an endpoint choose for each message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_uncompressed(&mut self, message: impl Into<Message>) -> Result<(), UsageError> {
        self.check_between_messages()?;
        let message = message.into();
        let opcode = message.message_type().into();
        self.write_frame(true, opcode, 0, message.as_bytes());
        Ok(())
    }

    /// Sends a text message, in one frame.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_text(&mut self, text: &str) -> Result<(), UsageError> {
        self.send_message(Opcode::Text, text.as_bytes())
    }

    /// Sends a binary message, in one frame.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), UsageError> {
        self.send_message(Opcode::Binary, bytes)
    }

    /// Sends a message that has been prepared for many connections.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, message: &Prepared) -> Result<(), UsageError> {
        self.check_between_messages()?;
        let frame = match self.role {
            Role::Server => message.frame(&self.extensions),
            Role::Client(_) => None,
        };
        let Some(frame) = frame else {
            let is_compressible = message.is_compressible();
            let message = message.message().clone();
            return if is_compressible {
                self.send(message)
            } else {
                self.send_uncompressed(message)
            };
        };
        self.age.active(self.now);
        self.messages_sent += 1;
        self.output.extend_from_slice(&frame);
        Ok(())
    }

    /// Counts a message as sent that the caller sends itself, and returns the number of its frame: for connections
    /// with the same number it is the same, [`shared_frame`](Self::shared_frame). `None` if this connection needs a
    /// frame of its own, has something to send before it, or cannot send: nothing has happened then.
    ///
    /// The [`deadline`](Self::deadline) stays what it is: what it is for has not come closer.
    pub(crate) fn send_elsewhere(&mut self, now: Instant, message: &Prepared) -> Option<u16> {
        let is_free = self.output.is_empty() && self.ending.is_none();
        if !is_free || self.check_between_messages().is_err() {
            return None;
        }
        let Role::Server = self.role else {
            return None;
        };
        let number = message.frame_number(&self.extensions)?;
        self.now = now;
        self.age.active(now);
        self.messages_sent += 1;
        Some(number)
    }

    /// The frame of a message that is the same for all connections that send messages alike.
    pub(crate) fn shared_frame(&self, message: &Prepared) -> Option<Bytes> {
        message.frame(&self.extensions)
    }

    /// Sends a ping with a payload of up to 125 bytes; the peer's pong carries the same.
    ///
    /// # Errors
    ///
    /// [`UsageError::PingTooLong`], or as [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), UsageError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(UsageError::PingTooLong);
        }
        self.send_frame(Opcode::Ping, payload)
    }

    /// Sends an unsolicited pong with a payload of up to 125 bytes: a heartbeat that is not answered (RFC
    /// 6455 §5.5.3). Pings are answered automatically.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), UsageError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(UsageError::PingTooLong);
        }
        self.send_frame(Opcode::Pong, payload)
    }

    /// Begins the closing handshake (RFC 6455 §7.1.2): sends a Close frame and waits, at most
    /// [`Limits::close_timeout`](crate::Limits::close_timeout), for the peer's. Until then messages may
    /// still arrive. A reason of more than 123 bytes is cut.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), UsageError> {
        self.close_by(Initiator::App, code, reason)
    }

    /// The same, on behalf of another side than the app.
    pub(crate) fn close_by(
        &mut self,
        initiator: Initiator,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), UsageError> {
        let reason = CloseReason::cut(reason);
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.extend_from_slice(&code.as_u16().to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
        self.send_frame(Opcode::Close, &payload)?;
        self.begin_end(initiator, code.as_u16(), reason);
        let deadline = self.now.after(self.limits().close_timeout);
        self.state = State::Closing { deadline };
        Ok(())
    }

    /// Sends a data message in one frame, encoded by the extensions in use.
    fn send_message(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), UsageError> {
        // Encoded data must be sent, so check first whether it can be.
        self.check_between_messages()?;
        match self.extensions.encode(payload) {
            Some(encoded) => {
                self.write_frame(true, opcode, encoded.reserved_bits, &encoded.payload);
            }
            None => self.write_frame(true, opcode, 0, payload),
        }
        Ok(())
    }

    pub(super) fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), UsageError> {
        // RFC 6455 §5.5.1: no frames "after sending a Close frame".
        if !self.is_open() {
            return Err(UsageError::NotOpen);
        }
        self.write_frame(true, opcode, 0, payload);
        Ok(())
    }

    pub(super) fn write_frame(
        &mut self,
        fin: bool,
        opcode: Opcode,
        reserved_bits: u8,
        payload: &[u8],
    ) {
        if !opcode.is_control() {
            self.age.active(self.now);
            self.messages_sent += u64::from(fin);
        }
        let masking_key = match &mut self.role {
            Role::Server => None,
            Role::Client(keys) => Some(keys.next()),
        };
        let header = Header {
            fin,
            reserved_bits,
            opcode,
            masking_key,
            payload_len: payload.len() as u64,
        };
        header.encode(&mut self.output);
        let start = self.output.len();
        self.output.extend_from_slice(payload);
        if let (Some(key), Some(sent)) = (masking_key, self.output.get_mut(start..)) {
            apply_mask(key, 0, sent);
        }
    }
}
