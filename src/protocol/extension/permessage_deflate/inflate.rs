use alloc::vec::Vec;
use core::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{TAIL, WindowBits, advance, grow};
use crate::protocol::ProtocolError;

/// The window of the decompressor while a message is under way: the largest, whatever was agreed. It
/// costs the same, and senders on zlib that agreed to 8 bits use 9.
const WINDOW_BITS: u8 = 15;

/// The most bytes inflated in one step, so that a step costs little whatever the input promises.
const STEP: usize = 16 << 10;

/// A final block without compression that holds one byte. Where it does not come out as just that,
/// the data before did not end at the end of a block.
const PROBE: [u8; 6] = [0x01, 0x01, 0x00, 0xfe, 0xff, PROBE_BYTE];
const PROBE_BYTE: u8 = 0x55;

/// How many final blocks a message may have, whatever its size, and for each how many inflated bytes
/// from then on. More is hostile: going on behind a final block takes as long as inflating some
/// kilobytes, and may take only two bytes to ask for.
const FREE_RESTARTS: usize = 16;
const BYTES_PER_RESTART: usize = 1 << 10;

/// Inflates the compressed messages of one connection (RFC 7692 §7.2.2).
///
/// Takes 47 KiB while a message is under way. Between messages it keeps nothing without context
/// takeover, and with it the window: at most 2 to the power of the agreed bits.
pub struct Inflater {
    /// The most bytes of earlier messages that a message may refer to: 0 without context takeover.
    window_size: usize,
    /// The end of what earlier messages inflated to.
    window: Vec<u8>,
    /// There while a message is under way, from its first byte on.
    stream: Option<Stream>,
}

struct Stream {
    zlib: Inflate,
    /// The last byte so far ended a final block.
    ended: bool,
    /// How often data came behind a final block.
    restarts: usize,
    /// How much the message has been inflated to.
    produced: usize,
}

struct Step {
    consumed: usize,
    /// There may be more output, even without input.
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

    /// The end of what earlier messages inflated to, to which later ones may refer; none inside a message.
    pub(super) fn window(&self) -> Option<&[u8]> {
        self.stream.is_none().then_some(&self.window)
    }

    /// Takes such an end over. False if it is longer than agreed.
    pub(super) fn set_window(&mut self, window: &[u8]) -> bool {
        let fits = window.len() <= self.window_size;
        if fits {
            self.window = window.to_vec();
        }
        fits
    }

    /// Inflates a piece of a message's payload, cut anywhere, and appends to `message`, in which there
    /// must be what the pieces before have become, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::MessageTooBig`] when the message has more than `max_size` bytes; `message`
    /// never has. [`ProtocolError::InvalidCompression`] for data that is not DEFLATE. The connection has
    /// failed then.
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

    /// As [`push`](Self::push), but stops when `message` has `end` bytes, however much the piece holds:
    /// how much of it has been taken. There may be more then, which an empty piece brings out. Of
    /// `message` only the last 32 KiB are needed.
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

    /// The message ends here.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push); data that ends inside a block is not DEFLATE.
    pub fn finish(&mut self, message: &mut Vec<u8>, max_size: usize) -> Result<(), ProtocolError> {
        match &self.stream {
            // Looser than RFC 7692 §7.2.1, by which an empty message is one byte, 0x00: senders whose
            // zlib is asked to flush twice in a row get nothing from it the second time.
            None => return Ok(()),
            // Looser than §7.2.1, by which an empty block follows: the data is complete without, and
            // nothing is left over.
            Some(stream) if stream.ended => {}
            Some(_) => {
                let len = message.len();
                self.push(&TAIL, message, max_size)?;
                // §7.2.1: the tail belongs to an empty block. Where it is content, the data is truncated.
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

    /// The stream of the message under way, ready for more input.
    fn open<'a>(
        stream: &'a mut Option<Stream>,
        window: &[u8],
        message: &[u8],
    ) -> Result<&'a mut Stream, ProtocolError> {
        let stream = stream.get_or_insert_with(|| Stream {
            zlib: Inflate::new(false, WINDOW_BITS),
            // A new stream, too, needs its window.
            ended: true,
            restarts: 0,
            produced: 0,
        });
        if stream.ended {
            stream.restart(window, message)?;
        }
        Ok(stream)
    }

    /// Whether the data, with its tail, ends at the end of a block. The stream is used up by this.
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
    /// Goes on behind a final block, with the same window: RFC 7692 §7.2.1 allows the bit `BFINAL`
    /// in any block of a message; "The next DEFLATE block follows the padded data if any."
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
        // At the limit a byte elsewhere tells whether the message goes beyond it.
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

/// zlib's errors: `DataError` for data that is not DEFLATE. The others (`StreamError`: misuse;
/// `NeedDict`: zlib's own format only; `MemError`: on setting up only) do not come up here.
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
mod tests {
    use super::super::reference::sample;
    use super::super::{Deflater, WindowBits};
    use super::*;

    const MAX_SIZE: usize = 1 << 20;

    fn inflater(context_takeover: bool) -> Inflater {
        Inflater::new(WindowBits::MAX, context_takeover)
    }

    fn inflate_pieces<'a>(
        inflater: &mut Inflater,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        max_size: usize,
    ) -> Result<Vec<u8>, ProtocolError> {
        let mut message = Vec::new();
        for piece in pieces {
            inflater.push(piece, &mut message, max_size)?;
            assert!(message.len() <= max_size);
        }
        inflater.finish(&mut message, max_size)?;
        assert!(inflater.stream.is_none());
        Ok(message)
    }

    fn inflate(payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        inflate_pieces(&mut inflater(false), [payload], MAX_SIZE)
    }

    fn deflate(payload: &[u8]) -> Vec<u8> {
        let (mut deflater, mut output) = (Deflater::new(9, WindowBits::MAX, false), Vec::new());
        assert!(deflater.push(payload, &mut output) && deflater.finish(&mut output));
        output
    }

    /// RFC 7692 §7.2.3.1 to 7.2.3.6, whole, and cut in two and in three everywhere.
    #[test]
    fn the_examples_of_the_rfc() {
        for (payload, text) in [
            (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], &b"Hello"[..]),
            (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
            (
                b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
                b"Hello",
            ),
            (b"\x00", b""),
        ] {
            assert_eq!(inflate(payload).as_deref(), Ok(text));
            for second in 0..=payload.len() {
                for first in 0..=second {
                    let (start, end) = payload.split_at(second);
                    let (start, middle) = start.split_at(first);
                    let inflated =
                        inflate_pieces(&mut inflater(true), [start, middle, end], MAX_SIZE);
                    assert_eq!(inflated.as_deref(), Ok(text));
                }
            }
        }
    }

    /// RFC 7692 §7.2.3.2.
    #[test]
    fn the_window_is_shared_between_messages_or_not() {
        let (first, second) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
        let mut shared = inflater(true);
        for payload in [&first[..], second, second] {
            let inflated = inflate_pieces(&mut shared, [payload], MAX_SIZE);
            assert_eq!(inflated.as_deref(), Ok(&b"Hello"[..]));
        }
        assert_eq!(shared.window, b"HelloHelloHello");
        let mut reset = inflater(false);
        assert!(inflate_pieces(&mut reset, [&first[..]], MAX_SIZE).is_ok());
        assert_eq!(reset.window.capacity(), 0);
        let refused = inflate_pieces(&mut reset, [&second[..]], MAX_SIZE);
        assert_eq!(refused, Err(ProtocolError::InvalidCompression));
    }

    #[test]
    fn messages_without_a_byte_are_empty() {
        let mut inflater = inflater(true);
        for payload in [
            &b""[..],
            b"\x00",
            b"",
            b"\x03\x00",
            b"\x03\x00\x00",
            b"\x02\x00",
        ] {
            let inflated = inflate_pieces(&mut inflater, [payload, b""], MAX_SIZE);
            assert_eq!(inflated.as_deref(), Ok(&b""[..]), "{payload:x?}");
        }
    }

    #[test]
    fn data_behind_a_final_block_is_decoded_with_the_same_window() {
        let is_final = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
        // Not followed by an empty block; followed by another final block, by one that is not.
        assert_eq!(inflate(is_final).as_deref(), Ok(&b"Hello"[..]));
        let twice = [is_final, &is_final[..]].concat();
        assert_eq!(inflate(&twice).as_deref(), Ok(&b"HelloHello"[..]));
        let then_not = [&is_final[..], b"\xf2\x48\xcd\xc9\xc9\x07\x00"].concat();
        assert_eq!(inflate(&then_not).as_deref(), Ok(&b"HelloHello"[..]));
        // A block that refers back to before the final one, in this message and in the one before.
        let back = [&is_final[..], b"\xf2\x00\x11\x00\x00"].concat();
        for at in 0..=back.len() {
            let (start, end) = back.split_at(at);
            let inflated = inflate_pieces(&mut inflater(false), [start, end], MAX_SIZE);
            assert_eq!(inflated.as_deref(), Ok(&b"HelloHello"[..]));
        }
        let mut shared = inflater(true);
        assert!(inflate_pieces(&mut shared, [&is_final[..]], MAX_SIZE).is_ok());
        let empty_then_back = b"\x03\x00\xf2\x00\x11\x00\x00";
        let inflated = inflate_pieces(&mut shared, [&empty_then_back[..]], MAX_SIZE);
        assert_eq!(inflated.as_deref(), Ok(&b"Hello"[..]));
        let garbage = [&is_final[..], b"\x07"].concat();
        assert_eq!(inflate(&garbage), Err(ProtocolError::InvalidCompression));
    }

    #[test]
    fn final_blocks_without_end_are_refused() {
        assert_eq!(inflate(&b"\x03\x00".repeat(16)).as_deref(), Ok(&b""[..]));
        let hostile = b"\x03\x00".repeat(500_000);
        assert_eq!(inflate(&hostile), Err(ProtocolError::InvalidCompression));
        // A final block for each KiB is fine.
        let block = [&b"\x01\x00\x04\xff\xfb"[..], &[7; 1024]].concat();
        let payload = block.repeat(1000);
        assert_eq!(inflate(&payload), Ok([7].repeat(1000 << 10)));
    }

    #[test]
    fn invalid_and_truncated_data_is_refused() {
        let long = deflate(&sample(1, 5000));
        let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
        let fixed = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        let is_final = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
        for payload in [&long[..], stored, fixed, is_final] {
            assert!(inflate(payload).is_ok());
            // 0x00 alone is an empty message.
            for len in (1..payload.len()).filter(|&len| payload[..len] != [0x00]) {
                let truncated = inflate(&payload[..len]);
                assert_eq!(truncated, Err(ProtocolError::InvalidCompression), "{len}");
            }
        }
        for payload in [
            &b"\x07"[..], // block type 3
            b"\x06",
            b"\xff\xff\xff",
            b"\x00\x05\x00\xfa\xfe", // a length that is not its own complement
            b"\x0d\xc0\x81\x08\x00", // codes that do not add up
            b"\x02\x08\x20\x80\x00\x03", // distance 1 at the very beginning or worse
            b"Hello",                // not compressed at all
            b"\x78\x9c\x01\x00\x00\xff\xff", // zlib's format instead of raw DEFLATE
        ] {
            let inflated = inflate(payload);
            assert_eq!(
                inflated,
                Err(ProtocolError::InvalidCompression),
                "{payload:x?}"
            );
        }
    }

    #[test]
    fn random_bytes_never_do_harm() {
        for seed in 0..2000 {
            let mut payload = sample(seed, 1 + seed as usize % 90);
            let inflated = inflate_pieces(&mut inflater(true), payload.chunks(7), 4096);
            assert_eq!(
                inflated,
                inflate_pieces(&mut inflater(true), [&payload[..]], 4096)
            );
            // And valid data with one bit changed.
            payload = deflate(&payload);
            let at = seed as usize % payload.len();
            payload[at] ^= 1 << (seed % 8);
            let _ = inflate(&payload);
        }
    }

    #[test]
    fn every_split_gives_the_same() {
        let original = sample(2, 700);
        let payload = deflate(&original);
        for at in 0..=payload.len() {
            let (start, end) = payload.split_at(at);
            let inflated = inflate_pieces(&mut inflater(false), [start, end], MAX_SIZE);
            assert_eq!(inflated.as_ref(), Ok(&original));
        }
        let large = sample(3, 300_000);
        let payload = deflate(&large);
        for size in [1, 2, 3, 1000, 65_536] {
            let inflated = inflate_pieces(&mut inflater(true), payload.chunks(size), MAX_SIZE);
            assert!(inflated.as_ref() == Ok(&large), "{size}");
        }
    }

    #[test]
    fn the_limit_is_exact() {
        for len in [1, 255, 256, 257, 16_384, 100_000] {
            let original = sample(4, len);
            let payload = deflate(&original);
            for pieces in [1, 7, payload.len()] {
                let inflate =
                    |max| inflate_pieces(&mut inflater(false), payload.chunks(pieces), max);
                assert!(inflate(len).as_ref() == Ok(&original));
                assert!(inflate(len - 1) == Err(ProtocolError::MessageTooBig));
                assert!(inflate(0) == Err(ProtocolError::MessageTooBig));
            }
        }
        assert_eq!(
            inflate_pieces(&mut inflater(false), [&b"\x00"[..]], 0),
            Ok(Vec::new())
        );
    }

    /// 200 MB of zeros in 194 kB.
    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let zeros = std::vec![0; 1 << 20];
        let (mut deflater, mut payload) = (Deflater::new(9, WindowBits::MAX, false), Vec::new());
        assert!((0..200).all(|_| deflater.push(&zeros, &mut payload)));
        assert!(deflater.finish(&mut payload));
        assert!(payload.len() < 210_000, "{}", payload.len());
        for size in [payload.len(), 1000, 1] {
            let (mut inflater, mut message) = (inflater(true), Vec::new());
            let mut taken = 0;
            let result = payload.chunks(size).try_for_each(|piece| {
                taken += piece.len();
                inflater.push(piece, &mut message, MAX_SIZE)
            });
            assert_eq!(result, Err(ProtocolError::MessageTooBig));
            assert!(message.len() <= MAX_SIZE && message.capacity() <= MAX_SIZE);
            assert!(size == payload.len() || taken < 4000, "{taken}");
        }
        // Many messages within the limit leave one window.
        let mut inflater = inflater(true);
        let payload = deflate(&zeros);
        for _ in 0..20 {
            assert!(inflate_pieces(&mut inflater, [&payload[..]], MAX_SIZE).is_ok());
            assert!(inflater.window.capacity() <= 32 << 10);
        }
    }

    #[test]
    fn an_idle_connection_keeps_the_agreed_window_only() {
        for (bits, size) in [(8, 512), (9, 512), (10, 1024), (15, 32_768)] {
            let bits = WindowBits::new(bits).unwrap();
            for takeover in [false, true] {
                let mut inflater = Inflater::new(bits, takeover);
                for seed in 0..300 {
                    let payload = deflate(&sample(seed, 400));
                    assert!(inflate_pieces(&mut inflater, [&payload[..]], MAX_SIZE).is_ok());
                }
                assert_eq!(inflater.window.capacity(), if takeover { size } else { 0 });
            }
        }
    }
}
