//! Extensions (RFC 6455 §9), which encode messages between the app and the frames.
//!
//! [`parse`] reads the header field that negotiates extensions; [`Extensions`] is what a connection does with
//! those in use. There is one, [`PermessageDeflate`].
//!
//! The set is closed on purpose: permessage-deflate is the only extension that browsers offer. A trait for
//! others would have a single implementation, and no second one to show that its interface is right; it would
//! cost a dynamic call for each message. A second extension belongs here as a field of [`Extensions`], which
//! decides the order of both.

mod header;
mod permessage_deflate;

pub use header::{Extension, FIELD_NAME, GrammarError, Param, parse};
pub(crate) use permessage_deflate::Alone;
#[cfg(test)]
pub(crate) use permessage_deflate::compressions;
pub use permessage_deflate::{
    Agreed, DeflateOptions, Deflater, Inflater, NAME, PermessageDeflate, RSV1, ResponseError,
    WindowBits, accept_offers, check_response, offer,
};

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::protocol::{ProtocolError, Reader, ResumeError, Writer};

/// The extensions in use on one connection. None by default.
///
/// An extension transforms whole messages and marks those it has transformed with reserved bits in the
/// header of their first frame (RFC 6455 §5.2). Reserved bits are masks of that header's first byte.
#[derive(Debug, Default)]
pub struct Extensions {
    /// On the heap, so that connections without extensions are small.
    deflate: Option<Box<PermessageDeflate>>,
}

/// A message that an extension has encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Set in the header of the message's first frame, and in no other.
    pub reserved_bits: u8,
    /// The payload, for one frame or several.
    pub payload: Vec<u8>,
}

impl From<PermessageDeflate> for Extensions {
    fn from(deflate: PermessageDeflate) -> Self {
        Self {
            deflate: Some(Box::new(deflate)),
        }
    }
}

impl Extensions {
    /// Whether messages may be compressed.
    #[must_use]
    pub fn compress(&self) -> bool {
        self.deflate.is_some()
    }

    /// The reserved bits that the first frame of a data message may have. To all other frames and bits RFC
    /// 6455 §5.2 applies: they "MUST be 0".
    #[must_use]
    pub fn reserved_bits(&self) -> u8 {
        if self.deflate.is_some() { RSV1 } else { 0 }
    }

    /// Takes a piece of a message's payload, cut anywhere, and appends what it decodes to `message`, which
    /// belongs to this message alone. `reserved_bits` are those of its first frame, among
    /// [`reserved_bits`](Self::reserved_bits); `last` marks the end of the message.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::MessageTooBig`] before `message` is longer than `max_size`; the rules of the
    /// extension. The connection has failed then: nothing more can be decoded.
    pub fn decode(
        &mut self,
        reserved_bits: u8,
        piece: &[u8],
        last: bool,
        message: &mut Vec<u8>,
        max_size: usize,
    ) -> Result<(), ProtocolError> {
        if let Some(deflate) = &mut self.deflate
            && reserved_bits & RSV1 != 0
        {
            return deflate.decode(piece, last, message, max_size);
        }
        if piece.len() > max_size.saturating_sub(message.len()) {
            return Err(ProtocolError::MessageTooBig);
        }
        message.extend_from_slice(piece);
        Ok(())
    }

    /// As [`decode`](Self::decode), for an encoded message of which only the last 32 KiB are kept in
    /// `message`: stops when `message` has `end` bytes, and returns how much of the piece it has taken. If it
    /// stopped there may be more output, even if it has taken all of the piece.
    pub(crate) fn decode_some(
        &mut self,
        piece: &[u8],
        message: &mut Vec<u8>,
        end: usize,
    ) -> Result<usize, ProtocolError> {
        let deflate = self.deflate.as_mut();
        let deflate = deflate.ok_or(ProtocolError::ReservedBits)?;
        deflate.decode_some(piece, message, end)
    }

    /// Ends a message that was decoded by [`decode_some`](Self::decode_some).
    pub(crate) fn end_decoding(&mut self, message: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let deflate = self.deflate.as_mut();
        deflate.map_or(Ok(()), |deflate| deflate.end_decoding(message))
    }

    /// Encodes a message to be sent; `None` if it goes out unchanged, without reserved bits. The caller must
    /// send what this returns, in the order of the calls: the peer's state follows it.
    #[must_use]
    pub fn encode(&mut self, payload: &[u8]) -> Option<Encoded> {
        self.deflate.as_mut()?.encode(payload)
    }

    /// How a message of this length is encoded independently of earlier and later ones; `Some(None)` if it is
    /// not encoded, `None` if it depends on the others.
    pub(crate) fn encodes_alone(&self, len: usize) -> Option<Option<Alone>> {
        match &self.deflate {
            Some(deflate) => deflate.encodes_alone(len),
            None => Some(None),
        }
    }

    /// As [`encode`](Self::encode), for a message by itself: the result need not be sent.
    pub(crate) fn encode_alone(&self, payload: &[u8]) -> Option<Encoded> {
        self.deflate.as_ref()?.encode_alone(payload)
    }

    /// Encodes a fragment of a message so that the peer can decode all of the fragment; `None` if the message
    /// goes out unchanged, which its first fragment decides.
    pub(crate) fn encode_fragment(&mut self, part: &[u8]) -> Option<Encoded> {
        self.deflate.as_mut()?.encode_fragment(part)
    }

    /// Ends a message that was encoded in fragments.
    pub(crate) fn end_encoding(&mut self) -> Option<Vec<u8>> {
        self.deflate.as_mut()?.end_encoding()
    }

    /// Writes the state that later messages depend on; `None` inside a message.
    pub(crate) fn suspend(&self, state: &mut Writer) -> Option<()> {
        state.byte(u8::from(self.compress()));
        match &self.deflate {
            Some(deflate) => deflate.suspend(state),
            None => Some(()),
        }
    }

    /// Reads what [`suspend`](Self::suspend) has written.
    pub(crate) fn resume(
        options: &DeflateOptions,
        state: &mut Reader<'_>,
    ) -> Result<Self, ResumeError> {
        match state.flag()? {
            true => PermessageDeflate::resume(options, state).map(Self::from),
            false => Ok(Self::default()),
        }
    }

    /// Releases all memory: no message follows in either direction.
    pub fn release(&mut self) {
        self.deflate = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions() -> Extensions {
        let agreed = Agreed::default();
        PermessageDeflate::server(agreed, &DeflateOptions::default()).into()
    }

    #[test]
    fn no_extension_claims_no_bits_and_changes_nothing() {
        let mut none = Extensions::default();
        assert_eq!(none.reserved_bits(), 0);
        assert_eq!(none.encode(&[0; 4096]), None);
        let mut message = Vec::new();
        assert_eq!(none.decode(0, b"ab", false, &mut message, 3), Ok(()));
        assert_eq!(none.decode(0, b"c", false, &mut message, 3), Ok(()));
        let over = none.decode(0, b"d", true, &mut message, 3);
        assert_eq!(over, Err(ProtocolError::MessageTooBig));
        assert_eq!(message, b"abc");
    }

    #[test]
    fn messages_with_and_without_the_bit_take_turns() {
        let (mut server, mut client) = (extensions(), extensions());
        assert_eq!(server.reserved_bits(), 0x40);
        for text in ["short", &"long ".repeat(200), "", &"longer ".repeat(3000)] {
            let (bits, payload) = match server.encode(text.as_bytes()) {
                Some(encoded) => (encoded.reserved_bits, encoded.payload),
                None => (0, text.as_bytes().to_vec()),
            };
            assert_eq!(bits != 0, text.len() >= 256);
            let mut message = Vec::new();
            let decoded = client.decode(bits, &payload, true, &mut message, 1 << 20);
            assert_eq!((decoded, message.as_slice()), (Ok(()), text.as_bytes()));
        }
    }
}
