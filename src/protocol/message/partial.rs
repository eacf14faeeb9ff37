use alloc::vec::Vec;
use core::str;

use crate::protocol::extension::Extensions;
use crate::protocol::limits::SizeLimits;
use crate::protocol::{Limits, Message, MessageType, ProtocolError};

/// A message whose payload comes in pieces: fragments (RFC 6455 §5.4), or parts of a frame.
#[derive(Debug)]
pub(crate) struct PartialMessage {
    message_type: MessageType,
    /// The reserved bits of the first frame: how extensions have encoded the payload.
    reserved_bits: u8,
    payload: Vec<u8>,
    /// Payload bytes received; the length of `payload` unless it is encoded.
    received: usize,
    limits: SizeLimits,
    /// The number of fragments that have ended.
    fragments: usize,
    /// The length of `payload` that is known to be UTF-8; at most 3 bytes of an incomplete character follow.
    valid: usize,
}

impl PartialMessage {
    pub(crate) fn new(message_type: MessageType, reserved_bits: u8, limits: &Limits) -> Self {
        Self {
            message_type,
            reserved_bits,
            payload: Vec::new(),
            received: 0,
            limits: limits.of_message(),
            fragments: 0,
            valid: 0,
        }
    }

    /// Whether an extension has encoded the payload, so that its length is not the message's.
    pub(crate) fn is_encoded(&self) -> bool {
        self.reserved_bits != 0
    }

    pub(crate) fn limits(&self) -> SizeLimits {
        self.limits
    }

    /// The number of payload bytes received.
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// Appends unmasked payload; `last` marks the end of the message. Text fails at the first byte that
    /// cannot be part of UTF-8.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        last: bool,
        extensions: &mut Extensions,
    ) -> Result<(), ProtocolError> {
        self.received = self.received.saturating_add(piece.len());
        if self.is_encoded() {
            let max_size = self.limits.max_message_size;
            extensions.decode(self.reserved_bits, piece, last, &mut self.payload, max_size)?;
        } else {
            self.grow(piece.len());
            self.payload.extend_from_slice(piece);
        }
        match self.message_type {
            MessageType::Text => self.check_utf8(),
            MessageType::Binary => Ok(()),
        }
    }

    fn check_utf8(&mut self) -> Result<(), ProtocolError> {
        let unchecked = self.payload.get(self.valid..).unwrap_or_default();
        match str::from_utf8(unchecked) {
            Ok(text) => self.valid += text.len(),
            // No error length: the input ends inside a character that may still become valid.
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }

    /// Makes room for `additional` bytes by doubling, but not beyond the largest message, which the caller
    /// does not exceed.
    fn grow(&mut self, additional: usize) {
        let (len, capacity) = (self.payload.len(), self.payload.capacity());
        if capacity - len < additional {
            let doubled = capacity.saturating_mul(2).min(self.limits.max_message_size);
            self.payload
                .reserve_exact(additional.max(doubled.saturating_sub(len)));
        }
    }

    /// Notes that a fragment has ended, other than the last.
    pub(crate) fn end_fragment(&mut self) -> Result<(), ProtocolError> {
        self.fragments += 1;
        if self.fragments >= self.limits.max_fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        Ok(())
    }

    /// The message, after its last fragment.
    pub(crate) fn finish(self) -> Result<Message, ProtocolError> {
        self.message_type.whole(self.payload.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(message_type: MessageType) -> PartialMessage {
        let limits = Limits {
            max_message_size: 256,
            max_fragments: 2,
            ..Limits::default()
        };
        PartialMessage::new(message_type, 0, &limits)
    }

    fn push_each_byte(text: &[u8]) -> (usize, Result<Message, ProtocolError>) {
        let mut message = partial(MessageType::Text);
        for (i, &byte) in text.iter().enumerate() {
            if let Err(error) = message.push(&[byte], false, &mut Extensions::default()) {
                return (i, Err(error));
            }
        }
        (text.len(), message.finish())
    }

    #[test]
    fn text_fails_at_the_first_bad_byte() {
        for (text, at) in [
            (&b"ab\xff"[..], 2),
            (b"\x80", 0),
            (b"\xc0\x80", 0),
            (b"\xe0\x9f\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5\x80", 0),
            (b"\xe2\x82\x28", 2),
            (b"\xf0\x9f\x98", 3), // incomplete: only the end of the message proves it
        ] {
            assert_eq!(push_each_byte(text), (at, Err(ProtocolError::InvalidUtf8)));
        }
    }

    #[test]
    fn characters_split_anywhere_are_joined() {
        let text = "κόσμε 😀 \u{10ffff}";
        assert_eq!(push_each_byte(text.as_bytes()).1, Ok(text.into()));
    }

    #[test]
    fn binary_accepts_any_bytes() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut message = partial(MessageType::Binary);
        let mut none = Extensions::default();
        let mut pieces = bytes.chunks(7);
        let pushed = pieces.try_for_each(|piece| message.push(piece, false, &mut none));
        assert_eq!(pushed, Ok(()));
        assert_eq!(message.payload.capacity(), 256);
        assert_eq!(message.finish(), Ok(bytes.as_slice().into()));
    }
}
