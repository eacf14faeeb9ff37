//! The heads of HTTP/2 frames, found in the bytes of a connection.

/// The head of a frame (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
    /// Bytes of padding in DATA, including the length of it (§6.1).
    padding: usize,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 0x01;
const PADDED: u8 = 0x08;

impl FrameHead {
    /// The stream, if the frame begins a head, or trailers, on it.
    pub fn begins_head(&self) -> Option<u32> {
        (self.kind == HEADERS).then_some(self.stream)
    }

    /// Whether the frame is a message's head, content or end. CONTINUATION does not count: a head has few of them.
    pub fn carries_message(&self) -> bool {
        match self.kind {
            HEADERS => true,
            DATA => self.flags & END_STREAM != 0 || self.length > self.padding,
            _ => false,
        }
    }
}

/// Finds the frames in the bytes of one direction, however these are split.
#[derive(Debug)]
pub struct FrameScanner {
    head: [u8; 10],
    /// Bytes of the head so far.
    have: usize,
    /// Bytes to skip until the next frame begins.
    skip: usize,
}

impl FrameScanner {
    /// A scanner of what follows this many bytes.
    pub fn after(skip: usize) -> Self {
        Self {
            head: [0; 10],
            have: 0,
            skip,
        }
    }

    /// Takes bytes, and calls `found` for each frame whose head they complete.
    pub fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(FrameHead)) {
        loop {
            let (skipped, rest) = bytes.split_at(self.skip.min(bytes.len()));
            self.skip -= skipped.len();
            let [byte, others @ ..] = rest else {
                return;
            };
            bytes = others;
            if let Some(frame) = self.push(*byte) {
                // The byte with the padding's length is part of the payload.
                self.skip = (frame.length + 9).saturating_sub(self.have);
                self.have = 0;
                found(frame);
            }
        }
    }

    /// Adds a byte to the head. Returns the frame once its head is complete.
    fn push(&mut self, byte: u8) -> Option<FrameHead> {
        *self.head.get_mut(self.have)? = byte;
        self.have += 1;
        let [high, middle, low, kind, flags, stream @ .., padding] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let is_padded = kind == DATA && flags & PADDED != 0 && length > 0;
        let size = if is_padded { 10 } else { 9 };
        (self.have >= size).then(|| FrameHead {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            padding: if is_padded {
                1 + usize::from(padding)
            } else {
                0
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: usize = 24;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Which frames carry a message, if the bytes come in pieces of this size.
    fn found(bytes: &[u8], size: usize) -> Vec<bool> {
        let mut scanner = FrameScanner::after(PREFACE);
        let mut found = vec![];
        for piece in bytes.chunks(size) {
            scanner.scan(piece, |frame| found.push(frame.carries_message()));
        }
        found
    }

    #[test]
    fn finds_frames_split_anywhere() {
        let cases = [
            (frame(4, 0, &[0; 6]), false),
            (frame(HEADERS, 4, b"head"), true),
            (frame(DATA, 0, b"x"), true),
            (frame(DATA, 0, b""), false),
            (frame(DATA, END_STREAM, b""), true),
            (frame(DATA, PADDED, b"\x02\0\0"), false),
            (frame(DATA, PADDED, b"\x02x\0\0"), true),
            // Malformed: h2 refuses them.
            (frame(DATA, PADDED, b""), false),
            (frame(DATA, PADDED, b"\xff"), false),
            (frame(8, 0, &[0; 4]), false),
            (frame(6, 0, &[0; 8]), false),
            (frame(0xfe, 0xff, &[0; 40]), false),
            (frame(DATA, 0, b"last"), true),
        ];
        let mut bytes = vec![b'P'; PREFACE];
        bytes.extend(cases.iter().flat_map(|(frame, _)| frame));
        let expected: Vec<bool> = cases
            .iter()
            .map(|(_, carries_message)| *carries_message)
            .collect();
        for size in 1..bytes.len() {
            assert_eq!(found(&bytes, size), expected, "{size}");
        }
    }
}
