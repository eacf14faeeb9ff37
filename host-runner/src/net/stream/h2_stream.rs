//! An HTTP/2 stream as a socket (RFC 8441 §5): DATA is its bytes, END_STREAM its end, RST_STREAM its loss.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::stream::Stream;
use crate::net::stream::wire::Wire;

/// The most bytes in one frame: what every client accepts (RFC 9113 §4.2).
pub(crate) const MAX_FRAME: usize = 16_384;

/// An HTTP/2 stream, as a socket.
///
/// One frame is in transit at a time, as it would be in the send buffer of a system's socket. Later output stays with
/// the session, which counts it.
#[derive(Debug)]
pub struct Tunnel {
    incoming: RecvStream,
    outgoing: SendStream<Frame>,
    /// Received and not yet read. The client's window stays smaller by this much.
    received: Bytes,
    transit: Arc<Transit>,
    wire: Wire,
    /// The number of bytes on the wire with which the last frame was sent, once somebody has asked.
    mark: Cell<Option<u64>>,
    has_ended: bool,
}

impl Tunnel {
    pub(crate) fn new(incoming: RecvStream, outgoing: SendStream<Frame>, wire: Wire) -> Self {
        Self {
            incoming,
            outgoing,
            received: Bytes::new(),
            transit: Arc::default(),
            wire,
            mark: Cell::new(None),
            has_ended: false,
        }
    }

    /// Sends what fits into the client's window. No frame may be in transit.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(MAX_FRAME);
        self.outgoing.reserve_capacity(length);
        let length = length.min(self.outgoing.capacity());
        let bytes = bytes.get(..length).unwrap_or_default();
        if length > 0 {
            let frame = self.transit.begin(bytes);
            self.mark.set(None);
            self.outgoing.send_data(frame, false).map_err(io_error)?;
        }
        Ok(length)
    }
}

impl Stream for Tunnel {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.transit.is_busy() {
            Ok(0)
        } else {
            self.send(bytes)
        }
    }

    /// What was on the wire when the last frame had been sent, and is not acknowledged. Frames that are sent later, those
    /// of other streams, do not count.
    fn unacknowledged(&self) -> Option<usize> {
        let (written, acknowledged) = self.wire.progress()?;
        let mark = self.mark.get().unwrap_or(written);
        self.mark.set(Some(mark));
        let left = usize::try_from(mark.saturating_sub(acknowledged)).unwrap_or(usize::MAX);
        Some(left.max(self.transit.is_busy().into()))
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.received.is_empty() {
            match ready!(self.incoming.poll_data(context)) {
                Some(data) => self.received = data.map_err(io_error)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received.split_to(length));
        let window = self.incoming.flow_control();
        Poll::Ready(window.release_capacity(length).map_err(io_error))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.transit.poll_over(context));
        loop {
            let sent = self.send(bytes)?;
            if sent > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(sent));
            }
            match ready!(self.outgoing.poll_capacity(context)) {
                Some(room) => drop(room.map_err(io_error)?),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_ended {
            ready!(self.transit.poll_over(context));
            self.has_ended = true;
            let last = self.transit.begin(&[]);
            self.mark.set(None);
            self.outgoing.send_data(last, true).map_err(io_error)?;
        }
        self.transit.poll_over(context).map(Ok)
    }
}

/// A payload. `h2` drops it once it is sent, or if it never will be.
#[derive(Debug)]
pub struct Frame {
    bytes: Bytes,
    transit: Arc<Transit>,
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, length: usize) {
        self.bytes.advance(length);
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.transit.end();
    }
}

/// Whether a frame is in transit, and the waker of the task that waits for its end.
#[derive(Default)]
struct Transit(Mutex<(bool, Option<Waker>)>);

impl Transit {
    fn begin(self: &Arc<Self>, bytes: &[u8]) -> Frame {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
        Frame {
            bytes: Bytes::copy_from_slice(bytes),
            transit: Arc::clone(self),
        }
    }

    fn is_busy(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn poll_over(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }

    fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = false;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Transit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transit").finish_non_exhaustive()
    }
}

/// Converts an error of `h2` to one that sockets have.
pub(crate) fn io_error(error: h2::Error) -> io::Error {
    if error.is_io() {
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::other(format!("HTTP/2: {error}"))
    }
}
