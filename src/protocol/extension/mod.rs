//! Extensions (RFC 6455 §9): what transforms messages between the app and the frames.
//!
//! [`parse`] reads the header field with which extensions are negotiated, [`Extensions`] is what a
//! connection does with those in use. There is one, [`PermessageDeflate`].

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
    /// On the heap, so that connections without are small.
    deflate: Option<Box<PermessageDeflate>>,
}

/// A message as an extension made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// To be set in the header of the message's first frame, and in no other.
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

    /// The reserved bits that the first frame of a data message may carry. In all other frames, and
    /// all other bits, RFC 6455 §5.2 applies: they "MUST be 0".
    #[must_use]
    pub fn reserved_bits(&self) -> u8 {
        if self.deflate.is_some() { RSV1 } else { 0 }
    }

    /// Takes a piece of a message's payload, cut anywhere, and appends what it decodes to `message`,
    /// which belongs to this message alone. `reserved_bits` are those of its first frame, among
    /// [`reserved_bits`](Self::reserved_bits); `last` says that the message ends behind the piece.
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

    /// As [`decode`](Self::decode), for a message of which only the last 32 KiB are kept in `message`,
    /// and that is transformed: stops when that has `end` bytes, and returns how much of the piece has
    /// been taken. If it stopped there may be more, even if all of the piece has been taken.
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

    /// A message that was decoded by [`decode_some`](Self::decode_some) ends here.
    pub(crate) fn end_decoding(&mut self, message: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let deflate = self.deflate.as_mut();
        deflate.map_or(Ok(()), |deflate| deflate.end_decoding(message))
    }

    /// Transforms a message that is to be sent; none if it goes out as it is, without reserved bits.
    /// What is returned must be sent, in the order of the calls: the peer's state follows it.
    #[must_use]
    pub fn encode(&mut self, payload: &[u8]) -> Option<Encoded> {
        self.deflate.as_mut()?.encode(payload)
    }

    /// How a message of this length is transformed, where earlier and later ones have no part in that;
    /// none inside if it is not. None if they have.
    pub(crate) fn encodes_alone(&self, len: usize) -> Option<Option<Alone>> {
        match &self.deflate {
            Some(deflate) => deflate.encodes_alone(len),
            None => Some(None),
        }
    }

    /// As [`encode`](Self::encode), of a message by itself: what is returned need not be sent.
    pub(crate) fn encode_alone(&self, payload: &[u8]) -> Option<Encoded> {
        self.deflate.as_ref()?.encode_alone(payload)
    }

    /// Transforms a part of a message, of which the peer can make all of the part; none if the message
    /// goes out as it is, which only its first part decides.
    pub(crate) fn encode_fragment(&mut self, part: &[u8]) -> Option<Encoded> {
        self.deflate.as_mut()?.encode_fragment(part)
    }

    /// The end of a message that was transformed in parts.
    pub(crate) fn end_encoding(&mut self) -> Option<Vec<u8>> {
        self.deflate.as_mut()?.end_encoding()
    }

    /// Writes what the messages to come depend on; none if one is under way.
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

    /// Lets go of all memory: no message follows in either direction.
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
