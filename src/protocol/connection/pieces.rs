use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

use crate::protocol::extension::Extensions;
use crate::protocol::limits::SizeLimits;
use crate::protocol::message::MessageType;
use crate::protocol::{Limits, Piece, ProtocolError, Utf8};

/// The most bytes that one piece of a compressed message is inflated to.
const MAX_INFLATED: usize = 32 << 10;

/// The number of bytes kept from the end of a compressed message, for later data to refer to: the largest
/// window (RFC 7692 §7.1.2).
const HISTORY: usize = 32 << 10;

/// A message that is delivered in pieces while it arrives.
#[derive(Debug)]
pub(super) struct Pieces {
    message_type: MessageType,
    /// The reserved bits of the first frame: how extensions have encoded the payload.
    reserved_bits: u8,
    limits: SizeLimits,
    /// The number of payload bytes received, and of bytes decoded from them.
    received: u64,
    decoded: u64,
    /// The number of fragments that have ended.
    fragments: u64,
    utf8: Utf8,
    /// Whether the last fragment has been received.
    ended: bool,
    /// For an encoded message: bytes received but not decoded yet.
    encoded: BytesMut,
    /// Whether there may be more to decode.
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

    pub(super) fn limits(&self) -> SizeLimits {
        self.limits
    }

    /// The number of payload bytes received.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether an extension has encoded the payload.
    pub(super) fn is_encoded(&self) -> bool {
        self.reserved_bits != 0
    }

    /// Whether something has to be decoded before more can be received.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether the last piece has been delivered.
    pub(super) fn is_done(&self) -> bool {
        self.ended && !self.pending
    }

    /// Takes unmasked payload; `last` marks the end of the message. Returns a piece, unless there is none yet
    /// or the payload has to be decoded first.
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

    /// Decodes some or all of what has been received.
    pub(super) fn decode(
        &mut self,
        extensions: &mut Extensions,
    ) -> Result<Option<Piece>, ProtocolError> {
        let start = self.history.len();
        let left = (self.limits.streamed_message_size()).saturating_sub(self.decoded);
        // At the limit, one more byte tells whether the message exceeds it.
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

    /// Holds back an incomplete character; the last piece must not leave one.
    fn whole_characters(&mut self, bytes: Bytes, last: bool) -> Result<Bytes, ProtocolError> {
        let whole = self.utf8.whole_characters(bytes);
        match whole {
            Some(bytes) if !last || self.utf8.partial().is_empty() => Ok(bytes),
            _ => Err(ProtocolError::InvalidUtf8),
        }
    }

    /// Notes that a fragment has ended, other than the last. However long the message may be, fragments that
    /// add nothing to it must not go on forever.
    pub(super) fn end_fragment(&mut self) -> Result<(), ProtocolError> {
        self.fragments += 1;
        let paid = self.received / 64;
        if self.fragments >= paid.saturating_add(self.limits.max_fragments as u64) {
            return Err(ProtocolError::TooManyFragments);
        }
        Ok(())
    }
}
