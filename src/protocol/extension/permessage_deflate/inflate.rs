use alloc::vec::Vec;
use core::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{TAIL, WindowBits, advance, grow};
use crate::protocol::ProtocolError;

/// The window of the decompressor inside a message: the largest, whatever was agreed. It costs the same, and
/// senders that use zlib and agreed to 8 bits use 9.
const WINDOW_BITS: u8 = 15;

/// The most bytes inflated in one step, so that a step costs little whatever the input claims.
const STEP: usize = 16 << 10;

/// A final uncompressed block of one byte. If it does not come out as exactly that byte, the data before it
/// did not end at the end of a block.
const PROBE: [u8; 6] = [0x01, 0x01, 0x00, 0xfe, 0xff, PROBE_BYTE];
const PROBE_BYTE: u8 = 0x55;

/// The number of final blocks that a message of any size may have, and the inflated bytes that each further
/// one needs. More is hostile: continuing after a final block takes as long as inflating some kilobytes, and
/// a sender can ask for it in two bytes.
const FREE_RESTARTS: usize = 16;
const BYTES_PER_RESTART: usize = 1 << 10;

/// Inflates the compressed messages of one connection (RFC 7692 §7.2.2).
///
/// Takes 47 KiB inside a message. Between messages it keeps nothing without context takeover, and with it the
/// window: at most 2 to the power of the agreed bits.
pub struct Inflater {
    /// The most bytes of earlier messages that a message may refer to: 0 without context takeover.
    window_size: usize,
    /// The end of what earlier messages inflated to.
    window: Vec<u8>,
    /// Present inside a message, from its first byte on.
    stream: Option<Stream>,
}

struct Stream {
    zlib: Inflate,
    /// Whether the last byte so far ended a final block.
    ended: bool,
    /// The number of times that data followed a final block.
    restarts: usize,
    /// The number of bytes the message has been inflated to.
    produced: usize,
}

struct Step {
    consumed: usize,
    /// Whether there may be more output, even without input.
    full: bool,
}

impl Inflater {
    /// For messages that a peer compresses with a window of this size, kept between messages or not.
    #[must_use]
    pub fn new(window_bits: WindowBits, context_takeover: bool) -> Self {
        // Never below 9: see `WINDOW_BITS`.
        let window_size = 1 << window_bits.get().max(9);
        Self {
            window_size: if context_takeover { window_size } else { 0 },
            window: Vec::new(),
            stream: None,
        }
    }

    /// The end of what earlier messages inflated to, to which later ones may refer; `None` inside a message.
    pub(super) fn window(&self) -> Option<&[u8]> {
        self.stream.is_none().then_some(&self.window)
    }

    /// Sets that window. Returns false if it is longer than agreed.
    pub(super) fn set_window(&mut self, window: &[u8]) -> bool {
        let fits = window.len() <= self.window_size;
        if fits {
            self.window = window.to_vec();
        }
        fits
    }

    /// Inflates a piece of a message's payload, cut anywhere, and appends to `message`, which must hold the
    /// output of the earlier pieces and nothing else.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::MessageTooBig`] when the message has more than `max_size` bytes; `message` never
    /// grows beyond that. [`ProtocolError::InvalidCompression`] for data that is not DEFLATE. The connection
    /// has failed then.
    pub fn push(
        &mut self,
        piece: &[u8],
        message: &mut Vec<u8>,
        max_size: usize,
    ) -> Result<(), ProtocolError> {
        let mut input = piece;
        while !input.is_empty() {
            let stream = Self::open(&mut self.stream, &self.window, message)?;
            loop {
                let step = stream.step(input, message, max_size)?;
                input = input.get(step.consumed..).unwrap_or_default();
                if stream.ended || (input.is_empty() && !step.full) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// As [`push`](Self::push), but stops when `message` has `end` bytes, and returns how much of the piece
    /// it has taken. There may be more output then, which an empty piece brings out. Only the last 32 KiB of
    /// `message` are needed.
    pub(crate) fn push_some(
        &mut self,
        piece: &[u8],
        message: &mut Vec<u8>,
        end: usize,
    ) -> Result<usize, ProtocolError> {
        let mut input = piece;
        while message.len() < end {
            let ended = self.stream.as_ref().is_none_or(|stream| stream.ended);
            if input.is_empty() && ended {
                break;
            }
            let stream = Self::open(&mut self.stream, &self.window, message)?;
            let step = stream.step(input, message, end)?;
            input = input.get(step.consumed..).unwrap_or_default();
            if input.is_empty() && !step.full {
                break;
            }
        }
        Ok(piece.len().saturating_sub(input.len()))
    }

    /// Ends the message.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push); data that ends inside a block is not DEFLATE.
    pub fn finish(&mut self, message: &mut Vec<u8>, max_size: usize) -> Result<(), ProtocolError> {
        match &self.stream {
            // Looser than RFC 7692 §7.2.1, where an empty message is one byte, 0x00: some senders flush zlib
            // twice in a row and get nothing the second time.
            None => return Ok(()),
            // Looser than §7.2.1, where an empty block follows: the data is complete without it, and nothing
            // is left over.
            Some(stream) if stream.ended => {}
            Some(_) => {
                let len = message.len();
                self.push(&TAIL, message, max_size)?;
                // §7.2.1: the tail belongs to an empty block. If it is content, the data is truncated.
                if message.len() != len {
                    return Err(ProtocolError::InvalidCompression);
                }
                self.check_end()?;
            }
        }
        self.stream = None;
        self.keep_window(message);
        Ok(())
    }

    /// The stream of the current message, ready for more input.
    fn open<'a>(
        stream: &'a mut Option<Stream>,
        window: &[u8],
        message: &[u8],
    ) -> Result<&'a mut Stream, ProtocolError> {
        let stream = stream.get_or_insert_with(|| Stream {
            zlib: Inflate::new(false, WINDOW_BITS),
            // A new stream needs its window, too.
            ended: true,
            restarts: 0,
            produced: 0,
        });
        if stream.ended {
            stream.restart(window, message)?;
        }
        Ok(stream)
    }

    /// Checks that the data, with its tail, ends at the end of a block. Uses up the stream.
    fn check_end(&mut self) -> Result<(), ProtocolError> {
        let mut probe = Vec::with_capacity(PROBE.len());
        match &mut self.stream {
            Some(stream) if !stream.ended => {
                let step = stream.step(&PROBE, &mut probe, PROBE.len())?;
                let consumed = step.consumed == PROBE.len();
                (consumed && stream.ended && probe == [PROBE_BYTE])
                    .then_some(())
                    .ok_or(ProtocolError::InvalidCompression)
            }
            _ => Err(ProtocolError::InvalidCompression),
        }
    }

    fn keep_window(&mut self, message: &[u8]) {
        let size = self.window_size;
        let end = last(message, size);
        let room = size.saturating_sub(end.len());
        let excess = self.window.len().saturating_sub(room);
        self.window.drain(..excess);
        grow(&mut self.window, end.len(), size);
        self.window.extend_from_slice(end);
    }
}

impl Stream {
    /// Continues after a final block, with the same window: RFC 7692 §7.2.1 allows the bit `BFINAL` in any
    /// block of a message; "The next DEFLATE block follows the padded data if any."
    fn restart(&mut self, window: &[u8], message: &[u8]) -> Result<(), ProtocolError> {
        let paid = self.produced / BYTES_PER_RESTART;
        if self.restarts > paid.saturating_add(FREE_RESTARTS) {
            return Err(ProtocolError::InvalidCompression);
        }
        self.restarts = self.restarts.saturating_add(1);
        self.ended = false;
        self.zlib.reset(false);
        let message = last(message, 1 << WINDOW_BITS);
        for part in [window, message] {
            if !part.is_empty() {
                self.zlib.set_dictionary(part).map_err(invalid)?;
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        input: &[u8],
        message: &mut Vec<u8>,
        max_size: usize,
    ) -> Result<Step, ProtocolError> {
        let len = message.len();
        let left = max_size.saturating_sub(len);
        let room = left.min(input.len().saturating_mul(8).clamp(256, STEP));
        grow(message, room, max_size);
        message.resize(len.saturating_add(room), 0);
        // At the limit, a byte written elsewhere tells whether the message exceeds it.
        let mut beyond = [0];
        let output = match message.get_mut(len..) {
            Some(output) if room != 0 => output,
            _ => &mut beyond,
        };
        let room = output.len();
        let (total_in, total_out) = (self.zlib.total_in(), self.zlib.total_out());
        let result = self.zlib.decompress(input, output, InflateFlush::SyncFlush);
        let consumed = advance(total_in, self.zlib.total_in());
        let produced = advance(total_out, self.zlib.total_out());
        message.truncate(len.saturating_add(produced.min(left)));
        self.produced = self.produced.saturating_add(produced);
        self.ended = result.map_err(invalid)? == Status::StreamEnd;
        if produced > left {
            return Err(ProtocolError::MessageTooBig);
        }
        if consumed == 0 && produced == 0 && !input.is_empty() && !self.ended {
            return Err(ProtocolError::InvalidCompression);
        }
        Ok(Step {
            consumed,
            full: produced == room,
        })
    }
}

/// zlib's errors: `DataError` for data that is not DEFLATE. The others (`StreamError`: misuse; `NeedDict`:
/// zlib's own format only; `MemError`: on setting up only) do not happen here.
fn invalid(_: zlib_rs::InflateError) -> ProtocolError {
    ProtocolError::InvalidCompression
}

/// The last `size` bytes.
fn last(bytes: &[u8], size: usize) -> &[u8] {
    let start = bytes.len().saturating_sub(size);
    bytes.get(start..).unwrap_or_default()
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("window_size", &self.window_size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
