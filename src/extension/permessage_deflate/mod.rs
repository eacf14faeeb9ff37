//! The extension permessage-deflate (RFC 7692 §7).

mod deflate;
mod inflate;
mod negotiation;
mod options;
#[cfg(test)]
mod reference;

pub use deflate::Deflater;
pub use inflate::Inflater;
pub use negotiation::{Agreed, NAME, ResponseError, accept_offers, check_response, offer};
pub use options::{DeflateOptions, WindowBits};

use alloc::vec::Vec;

use super::Encoded;
use crate::ProtocolError;

/// The "Per-Message Compressed" bit of a message's first frame (RFC 7692 §6).
pub const RSV1: u8 = 0x40;

/// What ends every sync flush: an empty block without compression, from its length on. It is left out
/// on the wire (RFC 7692 §7.2.1, step 3; §7.2.2, step 1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Compresses and decompresses the messages of one connection, as agreed in the opening handshake.
#[derive(Debug)]
pub struct PermessageDeflate {
    threshold: usize,
    deflater: Deflater,
    inflater: Inflater,
}

impl PermessageDeflate {
    /// The server's side.
    #[must_use]
    pub fn server(agreed: Agreed, options: &DeflateOptions) -> Self {
        Self {
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

    /// Compresses a message; none if it is to be sent as it is (RFC 7692 §6.1: an endpoint may choose
    /// for each message): it is below the threshold, or would not become shorter.
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
}

/// Makes room for `additional` bytes: by doubling, but not beyond `max` unless that is asked for.
fn grow(bytes: &mut Vec<u8>, additional: usize, max: usize) {
    let (len, capacity) = (bytes.len(), bytes.capacity());
    if capacity.saturating_sub(len) < additional {
        let doubled = capacity.saturating_mul(2).min(max);
        bytes.reserve_exact(additional.max(doubled.saturating_sub(len)));
    }
}

/// How far a counter has come between two readings.
fn advance(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}
