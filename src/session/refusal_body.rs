//! The body of a response that opens no WebSocket: as much of it as people read.

use alloc::vec::Vec;
use core::str;

use httparse::Status;

use crate::head::{Fields, ResponseHead};

/// The most bytes of a body that are kept.
const MAX_SIZE: usize = 4096;

/// The longest line with the size of a chunk.
const MAX_CHUNK_LINE: usize = 1024;

/// A body that is being received.
#[derive(Debug)]
pub(super) struct RefusalBody {
    framing: Framing,
    bytes: Vec<u8>,
}

/// Where a body ends (RFC 9112 §6.3).
#[derive(Debug)]
enum Framing {
    /// After this many more bytes.
    Sized(u64),
    /// After the last chunk.
    Chunked(Chunks),
    /// With the stream.
    UntilEnd,
}

impl RefusalBody {
    /// The body that follows this head.
    pub(super) fn after(head: &ResponseHead) -> Self {
        let bytes = Vec::new();
        // RFC 9112 §6.3, item 1: these have none, whatever their fields say. After a 101 come frames.
        let framing = match head.status {
            101 | 204 | 304 => Framing::Sized(0),
            _ => Framing::of(&head.fields),
        };
        Self { framing, bytes }
    }

    /// Takes bytes that arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match &mut self.framing {
            Framing::Sized(left) => take(left, bytes, &mut self.bytes),
            Framing::Chunked(chunks) => chunks.push(bytes, &mut self.bytes),
            Framing::UntilEnd => self.bytes.extend_from_slice(bytes),
        }
    }

    /// Whether nothing more is needed.
    pub(super) fn is_complete(&self) -> bool {
        let has_ended = match &self.framing {
            Framing::Sized(left) => *left == 0,
            Framing::Chunked(chunks) => chunks.have_ended(),
            Framing::UntilEnd => false,
        };
        has_ended || self.bytes.len() >= MAX_SIZE
    }

    /// The bytes so far.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(MAX_SIZE);
        self.bytes
    }
}

impl Framing {
    fn of(fields: &Fields) -> Self {
        if fields.contains("Transfer-Encoding") {
            // RFC 9112 §7: other codings than this one were not asked for.
            return if fields.list_contains("Transfer-Encoding", "chunked") {
                Self::Chunked(Chunks::default())
            } else {
                Self::UntilEnd
            };
        }
        let length = fields.single("Content-Length").ok();
        let length = length.and_then(|length| str::from_utf8(length).ok()?.parse().ok());
        length.map_or(Self::UntilEnd, Self::Sized)
    }
}

/// A body in chunks (RFC 9112 §7.1).
#[derive(Debug, Default)]
struct Chunks {
    state: ChunkState,
    /// The beginning of a line with a size.
    line: Vec<u8>,
}

#[derive(Debug, Default)]
enum ChunkState {
    #[default]
    Size,
    Data(u64),
    /// After the last chunk, or after something that is none.
    Ended,
}

impl Chunks {
    fn have_ended(&self) -> bool {
        matches!(self.state, ChunkState::Ended)
    }

    fn push(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) {
        while let [first, rest @ ..] = bytes {
            match &mut self.state {
                ChunkState::Size => {
                    bytes = rest;
                    self.push_to_line(*first);
                }
                ChunkState::Data(left) => {
                    let before = *left;
                    take(left, bytes, body);
                    let taken = usize::try_from(before.saturating_sub(*left));
                    bytes = bytes
                        .get(taken.unwrap_or(bytes.len())..)
                        .unwrap_or_default();
                    if *left == 0 {
                        self.state = ChunkState::Size;
                    }
                }
                ChunkState::Ended => return,
            }
        }
    }

    fn push_to_line(&mut self, byte: u8) {
        // The line break after the previous chunk.
        if self.line.is_empty() && matches!(byte, b'\r' | b'\n') {
            return;
        }
        self.line.push(byte);
        self.state = match httparse::parse_chunk_size(&self.line) {
            Ok(Status::Complete((_, 0))) | Err(_) => ChunkState::Ended,
            Ok(Status::Complete((_, size))) => {
                self.line.clear();
                ChunkState::Data(size)
            }
            Ok(Status::Partial) if self.line.len() > MAX_CHUNK_LINE => ChunkState::Ended,
            Ok(Status::Partial) => return,
        };
    }
}

/// Appends as many bytes as are left.
fn take(left: &mut u64, bytes: &[u8], body: &mut Vec<u8>) {
    let count = usize::try_from(*left).unwrap_or(usize::MAX);
    let taken = bytes.get(..count).unwrap_or(bytes);
    body.extend_from_slice(taken);
    *left = left.saturating_sub(taken.len() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of a body that arrives in pieces of this size, and whether nothing more is needed.
    fn kept(fields: &[(&str, &str)], body: &[u8], size: usize) -> (Vec<u8>, bool) {
        let mut head = ResponseHead {
            status: 403,
            fields: Fields::new(),
        };
        for (name, value) in fields {
            head.fields.append(*name, *value);
        }
        let mut kept = RefusalBody::after(&head);
        body.chunks(size).for_each(|piece| kept.push(piece));
        let is_complete = kept.is_complete();
        (kept.into_bytes(), is_complete)
    }

    #[test]
    fn the_fields_say_where_a_body_ends() {
        let chunked = ("Transfer-Encoding", "chunked");
        for (field, body, expected, is_complete) in [
            (("Content-Length", "3"), "no!more", "no!", true),
            (("Content-Length", "4"), "no!", "no!", false),
            (("Content-Length", "x"), "no!", "no!", false),
            (("X", "y"), "no!", "no!", false),
            (
                chunked,
                "3\r\nno!\r\n1;a=b\r\n\n\r\n0\r\n\r\n",
                "no!\n",
                true,
            ),
            (
                chunked,
                "00a\r\n0123456789\r\n0\r\nA: b\r\n\r\n",
                "0123456789",
                true,
            ),
            (chunked, "3\r\nno!\r\n", "no!", false),
            (chunked, "3\r\nno!\r\n!", "no!", true),
            (("Transfer-Encoding", "gzip"), "no!", "no!", false),
        ] {
            for size in [1, 2, 100] {
                let kept = kept(&[field], body.as_bytes(), size);
                assert_eq!(kept, (expected.into(), is_complete), "{field:?} {body:?}");
            }
        }
        let long = kept(
            &[chunked],
            &[b"ffff\r\n", &[b'a'; 10_000][..]].concat(),
            1000,
        );
        assert_eq!(long, ([b'a'; MAX_SIZE].into(), true));
        assert!(kept(&[chunked], &[&b"1;"[..], &[b'a'; 2000]].concat(), 1000).1);
    }
}
