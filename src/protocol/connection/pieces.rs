use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

use crate::protocol::extension::Extensions;
use crate::protocol::limits::MessageLimits;
use crate::protocol::message::MessageType;
use crate::protocol::{Limits, Piece, ProtocolError, Utf8};

/// The most bytes that one piece of a compressed message is inflated to.
const MAX_INFLATED: usize = 32 << 10;

/// How much of a compressed message's end is kept, for what refers to it: the largest window (RFC 7692
/// §7.1.2).
const HISTORY: usize = 32 << 10;

/// A message that is delivered in pieces while it arrives.
#[derive(Debug)]
pub(super) struct Pieces {
    message_type: MessageType,
    /// Those of the first frame: what extensions have done to the payload.
    reserved_bits: u8,
    limits: MessageLimits,
    /// Payload bytes received, and what they have been decoded to.
    received: u64,
    decoded: u64,
    /// How many fragments have ended.
    fragments: u64,
    utf8: Utf8,
    /// The last fragment has been received.
    ended: bool,
    /// Of an encoded message: received, and not yet decoded.
    encoded: BytesMut,
    /// There may be more to decode.
    pending: bool,
    /// The end of what has been decoded.
    history: Vec<u8>,
}

impl Pieces {
    pub(super) fn new(message_type: MessageType, reserved_bits: u8, limits: &Limits) -> Self {
        Self {
            message_type,
            reserved_bits,
            limits: limits.of_message(),
            received: 0,
            decoded: 0,
            fragments: 0,
            utf8: Utf8::default(),
            ended: false,
            encoded: BytesMut::new(),
            pending: false,
            history: Vec::new(),
        }
    }

    pub(super) fn limits(&self) -> MessageLimits {
        self.limits
    }

    /// How many payload bytes have been received.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether an extension has transformed the payload.
    pub(super) fn is_encoded(&self) -> bool {
        self.reserved_bits != 0
    }

    /// Whether something has to be decoded before more is received.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether the last piece has been delivered.
    pub(super) fn is_done(&self) -> bool {
        self.ended && !self.pending
    }

    /// Takes unmasked payload; `last` says that the message ends behind it. What it comes to, unless it
    /// is nothing yet, or has to be decoded.
    pub(super) fn push(
        &mut self,
        piece: BytesMut,
        last: bool,
    ) -> Result<Option<Piece>, ProtocolError> {
        self.received = self.received.saturating_add(piece.len() as u64);
        self.ended = last;
        if self.is_encoded() {
            self.pending = last || !piece.is_empty();
            self.encoded = piece;
            return Ok(None);
        }
        self.piece(piece.freeze(), last)
    }

    /// Decodes what has been received, or some of it.
    pub(super) fn decode(
        &mut self,
        extensions: &mut Extensions,
    ) -> Result<Option<Piece>, ProtocolError> {
        let start = self.history.len();
        let left = (self.limits.streamed_message_size()).saturating_sub(self.decoded);
        // At the limit one byte more tells whether the message goes beyond it.
        let room = left.saturating_add(1).min(MAX_INFLATED as u64);
        let end = start.saturating_add(room as usize);
        let consumed = extensions.decode_some(&self.encoded, &mut self.history, end)?;
        self.encoded.advance(consumed);
        self.pending = self.history.len() == end || !self.encoded.is_empty();
        let inflated = self.history.get(start..).unwrap_or_default();
        if inflated.len() as u64 > left {
            return Err(ProtocolError::MessageTooBig);
        }
        self.decoded += inflated.len() as u64;
        let bytes = Bytes::copy_from_slice(inflated);
        if self.is_done() {
            extensions.end_decoding(&mut self.history)?;
        }
        if self.history.len() > 2 * HISTORY {
            self.history.drain(..self.history.len() - HISTORY);
        }
        self.piece(bytes, self.is_done())
    }

    fn piece(&mut self, bytes: Bytes, last: bool) -> Result<Option<Piece>, ProtocolError> {
        let bytes = match self.message_type {
            MessageType::Text => self.whole_characters(bytes, last)?,
            MessageType::Binary => bytes,
        };
        let piece = Piece {
            message_type: self.message_type,
            bytes,
            last,
        };
        Ok((last || !piece.bytes.is_empty()).then_some(piece))
    }

    /// No character is cut, and the last piece ends none.
    fn whole_characters(&mut self, bytes: Bytes, last: bool) -> Result<Bytes, ProtocolError> {
        let whole = self.utf8.whole_characters(bytes);
        match whole {
            Some(bytes) if !last || self.utf8.partial().is_empty() => Ok(bytes),
            _ => Err(ProtocolError::InvalidUtf8),
        }
    }

    /// A fragment has ended, and it was not the last. However long the message may be, fragments that
    /// add nothing to it must not go on for ever.
    pub(super) fn end_fragment(&mut self) -> Result<(), ProtocolError> {
        self.fragments += 1;
        let paid = self.received / 64;
        if self.fragments >= paid.saturating_add(self.limits.max_fragments as u64) {
            return Err(ProtocolError::TooManyFragments);
        }
        Ok(())
    }
}
