//! The extension permessage-deflate (RFC 7692 §7).

mod deflate;
mod inflate;
mod negotiation;
mod options;
#[cfg(test)]
mod reference;

pub(crate) use deflate::Alone;
pub use deflate::Deflater;
#[cfg(test)]
pub(crate) use deflate::compressions;
pub use inflate::Inflater;
pub use negotiation::{Agreed, NAME, ResponseError, accept_offers, check_response, offer};
pub use options::{DeflateOptions, WindowBits};

use alloc::vec::Vec;

use super::Encoded;
use crate::protocol::{ProtocolError, Reader, ResumeError, Writer};

/// The "Per-Message Compressed" bit of a message's first frame (RFC 7692 §6).
pub const RSV1: u8 = 0x40;

/// The end of every sync flush: an empty uncompressed block, from its length on. It is left out on the wire
/// (RFC 7692 §7.2.1, step 3; §7.2.2, step 1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Compresses and decompresses the messages of one connection, as agreed in the opening handshake.
#[derive(Debug)]
pub struct PermessageDeflate {
    /// From the server's point of view; a client's is mirrored.
    agreed: Agreed,
    threshold: usize,
    deflater: Deflater,
    inflater: Inflater,
}

impl PermessageDeflate {
    /// The server's side.
    #[must_use]
    pub fn server(agreed: Agreed, options: &DeflateOptions) -> Self {
        Self {
            agreed,
            threshold: options.threshold,
            deflater: Deflater::new(
                options.level,
                agreed.server_max_window_bits,
                !agreed.server_no_context_takeover,
            ),
            inflater: Inflater::new(
                agreed.client_max_window_bits,
                !agreed.client_no_context_takeover,
            ),
        }
    }

    /// The client's side.
    #[must_use]
    pub fn client(agreed: Agreed, options: &DeflateOptions) -> Self {
        Self::server(agreed.mirrored(), options)
    }

    /// Writes what was agreed, and the window of the peer's compressor; `None` inside a message.
    ///
    /// Our own window is dropped: the next message refers back to nothing, which the sender may choose for
    /// any message (RFC 7692 §7.2.1), and the peer's decompressor does not notice. That costs some bytes
    /// once, and halves the state.
    pub(crate) fn suspend(&self, state: &mut Writer) -> Option<()> {
        self.agreed.suspend(state);
        state.bytes(self.inflater.window()?)
    }

    /// Reads what [`suspend`](Self::suspend) has written.
    pub(crate) fn resume(
        options: &DeflateOptions,
        state: &mut Reader<'_>,
    ) -> Result<Self, ResumeError> {
        let mut deflate = Self::server(Agreed::resume(state)?, options);
        let window = state.bytes(1 << WindowBits::MAX.get())?;
        if !deflate.inflater.set_window(window) {
            return Err(ResumeError::Invalid);
        }
        Ok(deflate)
    }

    /// Inflates a piece of a compressed message and appends to `message`, which belongs to this message
    /// alone and is never made longer than `max_size`.
    ///
    /// # Errors
    ///
    /// As [`Inflater::push`] and [`Inflater::finish`].
    pub fn decode(
        &mut self,
        piece: &[u8],
        last: bool,
        message: &mut Vec<u8>,
        max_size: usize,
    ) -> Result<(), ProtocolError> {
        self.inflater.push(piece, message, max_size)?;
        if last {
            self.inflater.finish(message, max_size)?;
        }
        Ok(())
    }

    /// As [`Inflater::push_some`].
    pub(crate) fn decode_some(
        &mut self,
        piece: &[u8],
        message: &mut Vec<u8>,
        end: usize,
    ) -> Result<usize, ProtocolError> {
        self.inflater.push_some(piece, message, end)
    }

    /// As [`Inflater::finish`], without a limit: the end of valid data produces no output.
    pub(crate) fn end_decoding(&mut self, message: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.inflater.finish(message, usize::MAX)
    }

    /// Compresses a message; `None` if it is to be sent uncompressed (RFC 7692 §6.1: an endpoint may choose
    /// for each message) because it is below the threshold or would not become shorter.
    #[must_use]
    pub fn encode(&mut self, payload: &[u8]) -> Option<Encoded> {
        if payload.len() < self.threshold {
            return None;
        }
        Some(Encoded {
            reserved_bits: RSV1,
            payload: self.deflater.message(payload)?,
        })
    }

    /// How a message of this length is compressed by itself; `Some(None)` if it is not compressed, `None` if
    /// it depends on earlier messages.
    pub(crate) fn encodes_alone(&self, len: usize) -> Option<Option<Alone>> {
        let alone = self.deflater.alone(len)?;
        Some((len >= self.threshold).then_some(alone))
    }

    /// Compresses a message by itself, whatever its length; `None` if it would not become shorter.
    pub(crate) fn encode_alone(&self, payload: &[u8]) -> Option<Encoded> {
        Some(Encoded {
            reserved_bits: RSV1,
            payload: self.deflater.shorter(payload)?,
        })
    }

    /// Compresses a fragment of a message whose length is not known yet, so that there is no threshold;
    /// `None` if it cannot be compressed.
    pub(crate) fn encode_fragment(&mut self, part: &[u8]) -> Option<Encoded> {
        let mut payload = Vec::new();
        self.deflater.flush(part, &mut payload).then_some(Encoded {
            reserved_bits: RSV1,
            payload,
        })
    }

    /// Ends a message that was compressed in fragments.
    pub(crate) fn end_encoding(&mut self) -> Option<Vec<u8>> {
        let mut rest = Vec::new();
        self.deflater.finish(&mut rest).then_some(rest)
    }
}

/// Makes room for `additional` bytes by doubling, but not beyond `max` unless `additional` requires it.
fn grow(bytes: &mut Vec<u8>, additional: usize, max: usize) {
    let (len, capacity) = (bytes.len(), bytes.capacity());
    if capacity.saturating_sub(len) < additional {
        let doubled = capacity.saturating_mul(2).min(max);
        bytes.reserve_exact(additional.max(doubled.saturating_sub(len)));
    }
}

/// The difference between two readings of a counter.
fn advance(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}
