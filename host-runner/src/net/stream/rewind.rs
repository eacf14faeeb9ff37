//! A stream with bytes put back to be read again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::stream::accepted::Accepted;
use crate::net::stream::wire::{Carrier, Wire};

/// A stream that reads `bytes` first, and carries others.
pub(crate) struct Rewind {
    carrier: Arc<Mutex<Carrier<Accepted>>>,
    bytes: BytesMut,
}

impl Rewind {
    pub(crate) fn new(stream: Accepted, bytes: BytesMut) -> Self {
        let carrier = Carrier { stream, written: 0 };
        Self {
            carrier: Arc::new(Mutex::new(carrier)),
            bytes,
        }
    }

    /// What the streams that this one carries ask.
    pub(crate) fn wire(&self) -> Wire {
        Wire::of(&self.carrier)
    }

    fn carrier(&self) -> MutexGuard<'_, Carrier<Accepted>> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, and counts what was written.
    fn write(
        &self,
        write: impl FnOnce(Pin<&mut Accepted>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut carrier = self.carrier();
        let written = ready!(write(Pin::new(&mut carrier.stream)))?;
        carrier.written = carrier.written.saturating_add(written as u64);
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for Rewind {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.carrier().stream).poll_read(context, buffer);
        }
        let length = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes.split_to(length));
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewind {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(|stream| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier().stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier().stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|stream| stream.poll_write_vectored(context, bytes))
    }
}
