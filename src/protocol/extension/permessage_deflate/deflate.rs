use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateError, DeflateFlush};

use super::{TAIL, WindowBits, advance};

/// The smallest window of the compressor, in bits. It serves for 8 bits as well: zlib refers back no further
/// than the window's size less 262 bytes, which is 250 here and within 256.
const MIN_WINDOW_BITS: u8 = 9;

/// The bytes by which a window must exceed a message so that zlib finds all its repetitions.
const MIN_LOOKAHEAD: usize = 262;

/// zlib's `memLevel` for a compressor that is kept: 28 KiB instead of 112 for the symbols of a block.
const KEPT_MEMORY_LEVEL: u8 = 6;

/// Compresses the messages of one connection (RFC 7692 §7.2.1).
///
/// Without context takeover it keeps nothing between messages, and takes 136 to 372 KiB while it compresses
/// one, depending on its length and the size of the window. With context takeover it takes 162 to 288 KiB
/// from the first message on, depending on the size of the window.
pub struct Deflater {
    level: u8,
    window_bits: u8,
    context_takeover: bool,
    /// Present inside a message; with context takeover, from the first message on.
    stream: Option<Deflate>,
}

/// How a message is compressed by itself: equal settings give equal output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alone {
    level: u8,
    window_bits: u8,
}

impl Alone {
    /// A number that is not 0, and that others with equal settings have.
    pub(crate) fn number(self) -> u16 {
        u16::from(self.level) << 8 | u16::from(self.window_bits)
    }
}

impl Deflater {
    /// Compresses at a level from 1 to 9, within a window of this size, kept between messages or not.
    #[must_use]
    pub fn new(level: u8, window_bits: WindowBits, context_takeover: bool) -> Self {
        Self {
            level: level.clamp(1, 9),
            window_bits: window_bits.get().max(MIN_WINDOW_BITS),
            context_takeover,
            stream: None,
        }
    }

    /// Compresses a whole message; `None` if it is to be sent uncompressed. Without context takeover that is
    /// so when it would not become shorter; with context takeover the message is in the window by then, and
    /// must be sent compressed.
    #[must_use]
    pub fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if !self.context_takeover {
            return self.shorter(payload);
        }
        let mut output = Vec::new();
        (self.push(payload, &mut output) && self.finish(&mut output)).then_some(output)
    }

    /// Compresses a piece of a message and appends the finished part to `output`. Returns false, which should
    /// not happen, if the message cannot be compressed: discard its output then.
    pub fn push(&mut self, piece: &[u8], output: &mut Vec<u8>) -> bool {
        self.run(piece, DeflateFlush::NoFlush, output)
    }

    /// As [`push`](Self::push), but flushes all of the piece, so that the receiver need not wait for more.
    /// Costs a few bytes each time.
    pub(crate) fn flush(&mut self, piece: &[u8], output: &mut Vec<u8>) -> bool {
        // RFC 7692 §7.2.1 applies step 3 only at the end of the message, so the empty block stays.
        self.run(piece, DeflateFlush::SyncFlush, output)
    }

    /// Ends the message: appends the rest of it.
    pub fn finish(&mut self, output: &mut Vec<u8>) -> bool {
        let start = output.len();
        if !self.run(&[], DeflateFlush::SyncFlush, output) {
            return false;
        }
        if output.len() == start {
            // RFC 7692 §7.2.3.6: an empty message is 0x00. zlib's second flush in a row yields nothing.
            output.push(0x00);
        } else if output.ends_with(&TAIL) {
            // §7.2.1, step 3.
            output.truncate(output.len().saturating_sub(TAIL.len()));
        }
        if !self.context_takeover {
            self.stream = None;
        }
        true
    }

    /// How a message of this length is compressed by itself; `None` with context takeover.
    pub(super) fn alone(&self, len: usize) -> Option<Alone> {
        (!self.context_takeover).then_some(Alone {
            level: self.level,
            window_bits: self.window_for(len),
        })
    }

    /// A window that serves a message of this length as well as a larger one would.
    fn window_for(&self, len: usize) -> u8 {
        bits(len.saturating_add(MIN_LOOKAHEAD)).clamp(MIN_WINDOW_BITS, self.window_bits)
    }

    /// Compresses a message by itself, in no more bytes than it has.
    pub(super) fn shorter(&self, payload: &[u8]) -> Option<Vec<u8>> {
        #[cfg(test)]
        COMPRESSIONS.set(COMPRESSIONS.get() + 1);
        let window = self.window_for(payload.len());
        let mut zlib = self.open(window, bits(payload.len()).saturating_sub(6));
        let mut output = vec![0; payload.len()];
        zlib.compress(payload, &mut output, DeflateFlush::SyncFlush)
            .ok()?;
        let consumed = advance(0, zlib.total_in());
        let produced = advance(0, zlib.total_out());
        // An output that is full may not be complete.
        if consumed < payload.len() || produced >= output.len() {
            return None;
        }
        output.truncate(produced);
        let len = output.strip_suffix(&TAIL)?.len();
        output.truncate(len);
        output.shrink_to_fit();
        Some(output)
    }

    fn run(&mut self, input: &[u8], flush: DeflateFlush, output: &mut Vec<u8>) -> bool {
        let mut zlib = match self.stream.take() {
            Some(zlib) => zlib,
            None if self.context_takeover => self.open(self.window_bits, KEPT_MEMORY_LEVEL),
            None => self.open(self.window_bits, u8::MAX),
        };
        // zlib reports `StreamError` for misuse and `DataError` for a stream at its end; neither happens
        // here. If one did, the message would go out uncompressed and the next would start with a new window.
        let is_done = compress(&mut zlib, input, flush, output).is_ok();
        if is_done {
            self.stream = Some(zlib);
        }
        is_done
    }

    fn open(&self, window_bits: u8, memory_level: u8) -> Deflate {
        Deflate::new_with_config(DeflateConfig {
            level: self.level.into(),
            window_bits: -i32::from(window_bits),
            mem_level: memory_level.clamp(1, 8).into(),
            ..DeflateConfig::default()
        })
    }
}

/// Runs the compressor until it has taken all input and has no more output.
fn compress(
    zlib: &mut Deflate,
    mut input: &[u8],
    flush: DeflateFlush,
    output: &mut Vec<u8>,
) -> Result<(), DeflateError> {
    loop {
        let start = output.len();
        let room = (input.len() / 2).clamp(1 << 10, 64 << 10);
        output.resize(start.saturating_add(room), 0);
        let (total_in, total_out) = (zlib.total_in(), zlib.total_out());
        let spare = output.get_mut(start..).unwrap_or_default();
        let result = zlib.compress(input, spare, flush);
        let produced = advance(total_out, zlib.total_out());
        output.truncate(start.saturating_add(produced));
        result?;
        let consumed = advance(total_in, zlib.total_in());
        input = input.get(consumed..).unwrap_or_default();
        // If the flush ends exactly at the end of the buffer, the next turn adds an empty block, which is
        // harmless.
        if produced < room && (input.is_empty() || consumed == 0) {
            return Ok(());
        }
    }
}

/// The number of bits that hold this number.
fn bits(number: usize) -> u8 {
    (usize::BITS.saturating_sub(number.leading_zeros())) as u8
}

#[cfg(test)]
std::thread_local! {
    static COMPRESSIONS: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// The number of messages that this thread has compressed by themselves.
#[cfg(test)]
pub(crate) fn compressions() -> usize {
    COMPRESSIONS.get()
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("level", &self.level)
            .field("window_bits", &self.window_bits)
            .field("context_takeover", &self.context_takeover)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{inflate, sample};
    use super::super::{Inflater, WindowBits};
    use super::*;

    fn all_window_bits() -> impl Iterator<Item = WindowBits> {
        (8..=15).filter_map(WindowBits::new)
    }

    /// Inflates the payload as a receiver that has kept this much of earlier messages.
    fn restore(payload: &[u8], window_bits: WindowBits, earlier: &mut Vec<u8>) -> Vec<u8> {
        let start = earlier.len();
        let distance = inflate(&[payload, &TAIL].concat(), earlier);
        assert!(
            distance <= 1 << window_bits.get(),
            "{distance} {window_bits:?}"
        );
        earlier[start..].to_vec()
    }

    /// RFC 7692 §7.2.3.1, 7.2.3.2.
    #[test]
    fn the_examples_of_the_rfc() {
        let mut deflater = Deflater::new(6, WindowBits::MAX, true);
        let first = deflater.message(b"Hello");
        assert_eq!(first.as_deref(), Some(&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..]));
        let second = deflater.message(b"Hello");
        assert_eq!(second.as_deref(), Some(&b"\xf2\x00\x11\x00\x00"[..]));
    }

    #[test]
    fn no_window_is_larger_than_agreed() {
        for window_bits in all_window_bits() {
            for level in 1..=9 {
                let mut alone = Deflater::new(level, window_bits, false);
                let mut kept = Deflater::new(level, window_bits, true);
                let mut earlier = Vec::new();
                for (i, len) in [0, 1, 300, 40_000, 5, 2000].into_iter().enumerate() {
                    let original = sample(u32::from(level) + i as u32, len);
                    if let Some(payload) = alone.message(&original) {
                        assert!(payload.len() < len);
                        let restored = restore(&payload, window_bits, &mut Vec::new());
                        assert!(restored == original);
                    }
                    assert!(alone.stream.is_none());
                    let payload = kept.message(&original).unwrap();
                    assert!(restore(&payload, window_bits, &mut earlier) == original);
                }
            }
        }
    }

    #[test]
    fn deflate_then_inflate_is_the_identity() {
        for window_bits in all_window_bits() {
            for (level, takeover) in (1..=9).flat_map(|own| [(own, false), (own, true)]) {
                let mut deflater = Deflater::new(level, window_bits, takeover);
                let mut inflater = Inflater::new(window_bits, takeover);
                for (i, len) in [0, 0, 7, 1 << 10, 0, 90_000, 33, 33]
                    .into_iter()
                    .enumerate()
                {
                    let original = sample(i as u32, len);
                    let mut payload = Vec::new();
                    for piece in original.chunks(1000 * i + 1) {
                        assert!(deflater.push(piece, &mut payload));
                    }
                    assert!(deflater.finish(&mut payload));
                    let mut message = Vec::new();
                    for piece in payload.chunks(4096) {
                        let pushed = inflater.push(piece, &mut message, 1 << 20);
                        assert_eq!(pushed, Ok(()));
                    }
                    assert_eq!(inflater.finish(&mut message, 1 << 20), Ok(()));
                    assert!(message == original);
                }
            }
        }
    }

    /// Outputs that fill their buffer to the byte, with and without the tail.
    #[test]
    fn handles_outputs_of_every_length() {
        for takeover in [false, true] {
            let mut deflater = Deflater::new(1, WindowBits::MAX, takeover);
            let mut inflater = Inflater::new(WindowBits::MAX, takeover);
            for len in 980..1100 {
                // Incompressible, so that the output grows with the input.
                let original: Vec<u8> = sample(len, 40_000).into_iter().rev().collect();
                let original = &original[..len as usize];
                let mut payload = Vec::new();
                assert!(deflater.push(original, &mut payload) && deflater.finish(&mut payload));
                assert!(!payload.ends_with(&TAIL));
                let mut message = Vec::new();
                assert_eq!(inflater.push(&payload, &mut message, 1 << 20), Ok(()));
                assert_eq!(inflater.finish(&mut message, 1 << 20), Ok(()));
                assert!(message == original);
            }
        }
    }

    #[test]
    fn empty_messages_are_one_byte() {
        let mut deflater = Deflater::new(1, WindowBits::MAX, true);
        for text in [&b""[..], b"", b"a", b"", b""] {
            let payload = deflater.message(text).unwrap();
            assert!(text == b"a" || payload == [0x00], "{payload:x?}");
        }
        let mut alone = Deflater::new(1, WindowBits::MAX, false);
        assert_eq!(alone.message(b""), None);
    }

    #[test]
    fn sends_incompressible_messages_uncompressed() {
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..5000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        assert_eq!(
            Deflater::new(9, WindowBits::MAX, false).message(&noise),
            None
        );
        let kept = Deflater::new(9, WindowBits::MAX, true).message(&noise);
        assert!(kept.is_some_and(|payload| payload.len() < noise.len() + 32));
    }
}
