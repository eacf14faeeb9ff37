//! The messages to send, as frames made in advance, and the expected echo of each.

use std::io::Write;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::Result;
use crate::cell::{Cell, Content};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const RSV1: u8 = 0x40;
const MASK: u8 = 0x80;

/// The end of a compressed message, which is not sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A ring of messages, which a connection sends over and over, in order.
pub struct Messages {
    payloads: Vec<Vec<u8>>,
    /// The frames, twice in a row, so that a full ring of them is contiguous from any position.
    frames: Vec<u8>,
    lengths: Vec<usize>,
    ring_bytes: usize,
    deflated: bool,
    /// One in this number of echoes is compared byte by byte.
    compared: u64,
}

/// One in this number of messages is compared byte by byte.
const COMPARED: u64 = 64;

impl Messages {
    /// The messages for a cell: at least as many as are in flight, all different.
    pub fn new(cell: &Cell) -> Self {
        let at_least = if cell.size > 64 << 10 { 2 } else { 16 };
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let payloads: Vec<_> = (0..cell.in_flight.max(at_least))
            .map(|_| match cell.content {
                Content::Binary => random.bytes(cell.size),
                Content::Text | Content::Deflated => random.text(cell.size),
            })
            .collect();
        let deflated = cell.content == Content::Deflated;
        let opcode = match cell.content {
            Content::Binary => BINARY,
            Content::Text => TEXT,
            Content::Deflated => TEXT | RSV1,
        };
        let (mut frames, mut lengths) = (Vec::new(), Vec::new());
        for payload in &payloads {
            let before = frames.len();
            let key = random.next().to_ne_bytes();
            let key = [key[0], key[1], key[2], key[3]];
            if deflated {
                append_frame(&mut frames, opcode, key, &deflate(payload))
            } else {
                append_frame(&mut frames, opcode, key, payload)
            }
            lengths.push(frames.len() - before);
        }
        let ring_bytes = frames.len();
        frames.extend_from_within(..);
        Self {
            payloads,
            frames,
            lengths,
            ring_bytes,
            deflated,
            compared: COMPARED,
        }
    }

    /// The same, with every echo compared byte by byte.
    pub fn all_compared(self) -> Self {
        Self {
            compared: 1,
            ..self
        }
    }

    /// One in this number of echoes is compared byte by byte.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Whether they are compressed, and their echoes may be.
    pub fn deflated(&self) -> bool {
        self.deflated
    }

    /// The number of different messages.
    pub fn count(&self) -> usize {
        self.payloads.len()
    }

    /// The payload of a message, unmasked and uncompressed.
    pub fn payload(&self, index: usize) -> &[u8] {
        &self.payloads[index]
    }

    /// The bytes of a message's frame.
    pub fn frame_length(&self, index: usize) -> usize {
        self.lengths[index]
    }

    /// The bytes to send from `at`, at most `length`.
    pub fn frames(&self, at: usize, length: usize) -> &[u8] {
        let end = self.frames.len().min(at + length);
        &self.frames[at..end]
    }

    /// The position `sent` bytes after `at`.
    pub fn advance(&self, at: usize, sent: usize) -> usize {
        (at + sent) % self.ring_bytes
    }
}

/// Appends a whole message in one masked frame (RFC 6455 §5.2).
pub fn append_frame(frames: &mut Vec<u8>, first: u8, key: [u8; 4], payload: &[u8]) {
    frames.push(first);
    match payload.len() {
        length @ 0..=125 => frames.push(MASK | length as u8),
        length @ 126..=0xffff => {
            frames.push(MASK | 126);
            frames.extend((length as u16).to_be_bytes());
        }
        length => {
            frames.push(MASK | 127);
            frames.extend((length as u64).to_be_bytes());
        }
    }
    frames.extend(key);
    let masked = payload.iter().zip(key.iter().cycle());
    frames.extend(masked.map(|(byte, key)| byte ^ key));
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::fast(), false);
    // Enough for any payload: incompressible data is stored in blocks of at most 64 KiB.
    let mut output = Vec::with_capacity(payload.len() + payload.len() / 64 + 64);
    let _ = compress.compress_vec(payload, &mut output, FlushCompress::Sync);
    output.truncate(output.len().saturating_sub(TAIL.len()));
    output
}

/// Decompresses a message, up to `size` + 1 bytes.
///
/// # Errors
///
/// When it is not compressed data.
pub fn inflate(compressed: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut input = compressed.to_vec();
    input.write_all(&TAIL)?;
    let mut output = Vec::with_capacity(size + 1);
    let status =
        Decompress::new(false).decompress_vec(&input, &mut output, FlushDecompress::Sync)?;
    match status {
        Status::BufError => Err("a message came back compressed to nothing".into()),
        Status::Ok | Status::StreamEnd => Ok(output),
    }
}

/// Marsaglia's xorshift: the same messages in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| (self.next() >> 32) as u8).collect()
    }

    /// Text that compresses about as well as typical JSON.
    fn text(&mut self, size: usize) -> Vec<u8> {
        const WORDS: [&str; 16] = [
            "open", "price", "Grüße", "room", "user", "true", "null", "time", "世界", "state",
            "value", "left", "name", "error", "reply", "null",
        ];
        let mut text = String::new();
        while text.len() < size {
            let number = self.next();
            let word = WORDS[(number % 16) as usize];
            text += &format!(
                "{{\"{word}\":{},\"id\":{}}},",
                number >> 48,
                (number >> 8) & 0xff
            );
        }
        while !text.is_char_boundary(size) {
            text.insert(0, ' ');
        }
        text.truncate(size);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_masked_and_has_the_shortest_length() {
        for (size, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let messages = Messages::new(&Cell::new(1, size, Content::Binary));
            let frame = messages.frames(0, messages.frame_length(0));
            assert_eq!(frame.len(), header + 4 + size);
            assert_eq!(frame[0], BINARY);
            let (key, payload) = frame[header..].split_at(4);
            let masked = messages.payload(0).iter().zip(key.iter().cycle());
            assert!(
                payload
                    .iter()
                    .copied()
                    .eq(masked.map(|(byte, key)| byte ^ key))
            );
        }
    }

    #[test]
    fn text_is_utf8_of_the_right_size_and_compresses() {
        for size in [1, 16, 1000, 16 << 10] {
            let text = Messages::new(&Cell::new(1, size, Content::Text));
            for index in 0..text.count() {
                assert_eq!(text.payload(index).len(), size);
                assert!(std::str::from_utf8(text.payload(index)).is_ok());
            }
        }
        let deflated = Messages::new(&Cell::new(1, 16 << 10, Content::Deflated));
        let payload = deflated.payload(0);
        let compressed = deflate(payload);
        assert!(compressed.len() < payload.len() / 2);
        assert_eq!(
            inflate(&compressed, payload.len()).ok().as_deref(),
            Some(payload)
        );
        assert!(deflated.frame_length(0) < payload.len() / 2);
    }

    #[test]
    fn the_ring_wraps_around() {
        let messages = Messages::new(&Cell::new(1, 16, Content::Binary).in_flight(20));
        assert_eq!(messages.count(), 20);
        let length = messages.frame_length(0);
        let last = messages.advance(0, 19 * length);
        assert_eq!(messages.frames(last, 20 * length).len(), 20 * length);
        assert_eq!(messages.advance(last, length), 0);
    }
}
