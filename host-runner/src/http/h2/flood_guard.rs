//! A limit on HTTP/2 frames that are neither a request nor its data: no-op frames, to the app.
//!
//! PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE and empty DATA frames cost little each, and most are
//! answered, but a client can send them forever, and none of them reaches the app (CVE-2019-9512, 9513, 9515,
//! 9518). So they are counted as they come from the socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::limits::token_bucket::TokenBucket;
use crate::net::stream::rewind::Rewind;

/// How many no-op frames a client may send per second without cause.
const MAX_PER_SECOND: u32 = 1000;

/// How many more it may send for each message frame it receives: window updates for the stream and the connection, and
/// a few to spare.
const PER_FRAME: u32 = 4;

/// The length of the client's connection preface (RFC 9113 §3.4), which precedes its first frame.
const PREFACE: usize = 24;

/// A socket whose frames are counted. At too many no-op frames, it stops reading and notifies `exceeded`.
pub(super) struct FloodGuard {
    stream: Rewind,
    incoming: Frames,
    outgoing: Frames,
    allowance: Allowance,
    exceeded: Rc<Notify>,
    is_exceeded: bool,
}

impl FloodGuard {
    /// Guards a stream whose preface has not been read yet. `exceeded` is notified once.
    pub(super) fn new(stream: Rewind, exceeded: Rc<Notify>) -> Self {
        Self {
            stream,
            incoming: Frames::after(PREFACE),
            outgoing: Frames::after(0),
            allowance: Allowance::new(),
            exceeded,
            is_exceeded: false,
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let allowance = &mut self.allowance;
        let mut is_allowed = true;
        self.incoming.scan(bytes, |frame| {
            is_allowed = is_allowed && (frame.carries_message() || allowance.take());
        });
        if !is_allowed {
            self.is_exceeded = true;
            self.exceeded.notify_one();
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        let allowance = &mut self.allowance;
        self.outgoing.scan(bytes, |frame| {
            if frame.carries_message() {
                allowance.earn();
            }
        });
    }
}

/// The no-op frames that a client may still send.
struct Allowance {
    per_second: TokenBucket,
    /// Frames allowed in return for those it was sent.
    earned: u32,
}

impl Allowance {
    fn new() -> Self {
        Self {
            per_second: TokenBucket::full(MAX_PER_SECOND, Instant::now()),
            earned: 0,
        }
    }

    fn earn(&mut self) {
        self.earned = self.earned.saturating_add(PER_FRAME);
    }

    /// Whether one more is allowed; counts it.
    fn take(&mut self) -> bool {
        match self.earned.checked_sub(1) {
            Some(left) => self.earned = left,
            None => return self.per_second.take(MAX_PER_SECOND, Instant::now()),
        }
        true
    }
}

/// The head of a frame (RFC 9113 §4.1).
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    /// Bytes of padding in DATA, including the length of it (§6.1).
    padding: usize,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 0x01;
const PADDED: u8 = 0x08;

impl Frame {
    /// Whether the frame is a message's head, content or end. CONTINUATION does not count: a head has few of them.
    fn carries_message(&self) -> bool {
        match self.kind {
            HEADERS => true,
            DATA => self.flags & END_STREAM != 0 || self.length > self.padding,
            _ => false,
        }
    }
}

/// Finds the frames in the bytes of one direction, however these are split.
struct Frames {
    head: [u8; 10],
    /// Bytes of the head so far.
    have: usize,
    /// Bytes to skip until the next frame begins.
    skip: usize,
}

impl Frames {
    fn after(skip: usize) -> Self {
        Self {
            head: [0; 10],
            have: 0,
            skip,
        }
    }

    fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
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
    fn push(&mut self, byte: u8) -> Option<Frame> {
        *self.head.get_mut(self.have)? = byte;
        self.have += 1;
        let [high, middle, low, kind, flags, .., padding] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let is_padded = kind == DATA && flags & PADDED != 0 && length > 0;
        let size = if is_padded { 10 } else { 9 };
        (self.have >= size).then(|| Frame {
            length,
            kind,
            flags,
            padding: if is_padded {
                1 + usize::from(padding)
            } else {
                0
            },
        })
    }
}

impl AsyncRead for FloodGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_exceeded {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.received(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FloodGuard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.sent(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        let mut left = written;
        for part in bytes {
            let (sent, _) = part.split_at(left.min(part.len()));
            self.sent(sent);
            left -= sent.len();
        }
        Poll::Ready(Ok(written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Which frames carry a message, if the bytes come in pieces of this size.
    fn found(bytes: &[u8], size: usize) -> Vec<bool> {
        let mut frames = Frames::after(PREFACE);
        let mut found = vec![];
        for piece in bytes.chunks(size) {
            frames.scan(piece, |frame| found.push(frame.carries_message()));
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

    #[test]
    fn sent_frames_earn_allowance() {
        let mut allowance = Allowance::new();
        for _ in 0..MAX_PER_SECOND {
            allowance.earn();
            assert!((0..PER_FRAME).all(|_| allowance.take()));
        }
        // Even a slow machine takes a million faster than they are replenished.
        assert!(!(0..1_000_000).all(|_| allowance.take()));
    }
}
