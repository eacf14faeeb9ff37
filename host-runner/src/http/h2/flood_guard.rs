//! A limit on HTTP/2 frames that are neither a request nor its data: no-op frames, to the app.
//!
//! PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE and empty DATA frames cost little each, and most are
//! answered, but a client can send them forever, and none of them reaches the app (CVE-2019-9512, 9513, 9515,
//! 9518). So they are counted as they come from the socket.
//!
//! `h2` answers heads that are too large itself, with 431. No one else sees them, so they are found here, among the frames
//! that are sent: as the answers to streams that were never accepted.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::http::h2::frame_scanner::FrameScanner;
use crate::limits::token_bucket::TokenBucket;
use crate::net::stream::rewind::Rewind;

/// How many no-op frames a client may send per second without cause.
const MAX_PER_SECOND: u32 = 1000;

/// How many more it may send for each message frame it receives: window updates for the stream and the connection, and
/// a few to spare.
const PER_FRAME: u32 = 4;

/// The most accepted streams to remember: more than there can be at once, as a reset may overtake the answer.
const MAX_UNANSWERED: usize = 1000;

/// The length of the client's connection preface (RFC 9113 §3.4), which precedes its first frame.
const PREFACE: usize = 24;

/// A socket whose frames are counted. At too many no-op frames, it stops reading and notifies `exceeded`.
pub(super) struct FloodGuard {
    stream: Rewind,
    incoming: FrameScanner,
    outgoing: FrameScanner,
    allowance: Allowance,
    reports: Rc<Reports>,
    is_exceeded: bool,
}

/// What the guard finds, for the task of the connection.
#[derive(Default)]
pub(super) struct Reports {
    /// Notified when the client has sent too many no-op frames.
    pub(super) exceeded: Notify,
    /// Notified when `h2` has refused heads.
    pub(super) refused: Notify,
    number_refused: Cell<usize>,
    /// The streams that were accepted and have no answer yet, the oldest first.
    unanswered: RefCell<VecDeque<u32>>,
}

impl Reports {
    /// A stream was accepted.
    pub(super) fn accepted(&self, stream: u32) {
        let mut unanswered = self.unanswered.borrow_mut();
        if unanswered.len() == MAX_UNANSWERED {
            unanswered.pop_front();
        }
        unanswered.push_back(stream);
    }

    /// The number of heads that `h2` has refused since the last call.
    pub(super) fn take_refused(&self) -> usize {
        self.number_refused.take()
    }

    fn answered(&self, stream: u32) {
        let mut unanswered = self.unanswered.borrow_mut();
        if let Some(index) = unanswered.iter().position(|own| *own == stream) {
            unanswered.remove(index);
        } else {
            self.number_refused.set(self.number_refused.get() + 1);
            self.refused.notify_one();
        }
    }
}

impl FloodGuard {
    /// Guards a stream whose preface has not been read yet.
    pub(super) fn new(stream: Rewind, reports: Rc<Reports>) -> Self {
        Self {
            stream,
            incoming: FrameScanner::after(PREFACE),
            outgoing: FrameScanner::after(0),
            allowance: Allowance::new(),
            reports,
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
            self.reports.exceeded.notify_one();
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        let (allowance, reports) = (&mut self.allowance, &self.reports);
        self.outgoing.scan(bytes, |frame| {
            if frame.carries_message() {
                allowance.earn();
            }
            if let Some(stream) = frame.begins_head() {
                reports.answered(stream);
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
