use super::Connection;
use crate::protocol::frame::Opcode;
use crate::protocol::message::MessageType;
use crate::protocol::{CloseCode, UsageError, Utf8};

/// A message that is sent while it is being produced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    message_type: MessageType,
    /// The opcode of the next fragment.
    opcode: Opcode,
    /// Whether an extension may encode the message.
    encodable: bool,
    /// Whether an extension does encode it.
    encoded: bool,
    utf8: Utf8,
}

impl Connection {
    /// Begins a message that is sent in fragments (RFC 6455 §5.4) while it is being produced: call
    /// [`send_fragment`](Self::send_fragment) any number of times, then [`end_message`](Self::end_message).
    /// In between no other message can be sent; control frames can.
    ///
    /// # Errors
    ///
    /// [`UsageError::MessageUnderWay`] when such a message is already in progress, or as
    /// [`send`](Self::send).
    pub fn start_message(&mut self, message_type: MessageType) -> Result<(), UsageError> {
        self.start(message_type, true)
    }

    /// As [`start_message`](Self::start_message), for a message that is sent uncompressed, as with
    /// [`send_uncompressed`](Self::send_uncompressed).
    ///
    /// # Errors
    ///
    /// As [`start_message`](Self::start_message).
    pub fn start_uncompressed_message(
        &mut self,
        message_type: MessageType,
    ) -> Result<(), UsageError> {
        self.start(message_type, false)
    }

    fn start(&mut self, message_type: MessageType, encodable: bool) -> Result<(), UsageError> {
        self.check_between_messages()?;
        self.outgoing = Some(Outgoing {
            message_type,
            opcode: message_type.into(),
            encodable,
            encoded: false,
            utf8: Utf8::default(),
        });
        Ok(())
    }

    /// Sends bytes as a fragment of the message that [`start_message`](Self::start_message) has begun. The
    /// peer can read all of them at once, compressed or not. Characters of text may be cut. An empty slice
    /// sends nothing.
    ///
    /// # Errors
    ///
    /// [`UsageError::NoMessage`]; [`UsageError::InvalidUtf8`] when text is not UTF-8: the fragment is not
    /// sent, and the message can continue with another one; or as [`send`](Self::send).
    pub fn send_fragment(&mut self, bytes: &[u8]) -> Result<(), UsageError> {
        let mut outgoing = self.outgoing()?;
        if outgoing.message_type == MessageType::Text && !outgoing.utf8.accepts(bytes) {
            return Err(UsageError::InvalidUtf8);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let is_first = outgoing.opcode != Opcode::Continuation;
        let fragment = (outgoing.encoded || (is_first && outgoing.encodable))
            .then(|| self.extensions.encode_fragment(bytes))
            .flatten();
        match fragment {
            Some(fragment) => {
                outgoing.encoded = true;
                // RFC 7692 §6.1: the bit is that of the first fragment and of no other.
                let reserved_bits = if is_first { fragment.reserved_bits } else { 0 };
                self.write_frame(false, outgoing.opcode, reserved_bits, &fragment.payload);
            }
            None if outgoing.encoded => return Err(self.give_up()),
            None => self.write_frame(false, outgoing.opcode, 0, bytes),
        }
        outgoing.opcode = Opcode::Continuation;
        self.outgoing = Some(outgoing);
        Ok(())
    }

    /// Ends the message that [`start_message`](Self::start_message) has begun: with an empty fragment.
    ///
    /// # Errors
    ///
    /// [`UsageError::NoMessage`]; [`UsageError::InvalidUtf8`] when text ends inside a character: the message
    /// has not ended then; or as [`send`](Self::send).
    pub fn end_message(&mut self) -> Result<(), UsageError> {
        let outgoing = self.outgoing()?;
        if !outgoing.utf8.partial().is_empty() {
            return Err(UsageError::InvalidUtf8);
        }
        if outgoing.encoded {
            let Some(rest) = self.extensions.end_encoding() else {
                return Err(self.give_up());
            };
            self.write_frame(true, outgoing.opcode, 0, &rest);
        } else {
            self.write_frame(true, outgoing.opcode, 0, &[]);
        }
        self.outgoing = None;
        Ok(())
    }

    /// Whether a message that is sent in fragments has begun and not ended: no other can be sent.
    #[must_use]
    pub fn is_sending_message(&self) -> bool {
        self.outgoing.is_some()
    }

    /// RFC 6455 §5.4: "The fragments of one message MUST NOT be interleaved between the fragments of
    /// another message".
    pub(super) fn check_between_messages(&self) -> Result<(), UsageError> {
        match self.outgoing {
            _ if !self.is_open() => Err(UsageError::NotOpen),
            Some(_) => Err(UsageError::MessageUnderWay),
            None => Ok(()),
        }
    }

    /// A copy of the message in progress; the caller stores the changed one.
    fn outgoing(&self) -> Result<Outgoing, UsageError> {
        if !self.is_open() {
            return Err(UsageError::NotOpen);
        }
        self.outgoing.ok_or(UsageError::NoMessage)
    }

    /// Handles a compressor failure inside a message, which should not happen: the message can neither
    /// continue nor be taken back.
    fn give_up(&mut self) -> UsageError {
        let _ = self.close(CloseCode::INTERNAL_ERROR, "");
        UsageError::NotOpen
    }
}
