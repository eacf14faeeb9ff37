//! A socket with its unsent output, and how it is closed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use wasocket_host_core::http1::limits::{FLUSH_TIMEOUT, LINGER_TIMEOUT, MAX_LINGERED};

use crate::net::stream::Stream;
use crate::net::stream::write_timeout::WriteTimeout;

/// The outcome of [`Socket::poll_exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// All output is sent.
    Sent,
    /// The number of bytes received; 0 at the end of stream.
    Received(usize),
}

/// A socket and its unsent output.
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
    /// Output to send. Allocates nothing while empty.
    backlog: BytesMut,
    max_backlog: usize,
    write_timeout: WriteTimeout,
    at_eof: bool,
}

impl<S: Stream> Socket<S> {
    /// A socket that keeps at most `max_backlog` bytes of unsent output, without a write timeout.
    pub fn new(stream: S, max_backlog: usize) -> Self {
        Self {
            stream,
            backlog: BytesMut::new(),
            max_backlog,
            write_timeout: WriteTimeout::new(Duration::MAX),
            at_eof: false,
        }
    }

    /// Adds a write timeout: the socket fails if the peer accepts no output for this long.
    #[must_use]
    pub fn with_send_timeout(mut self, send_timeout: Duration) -> Self {
        self.write_timeout = WriteTimeout::new(send_timeout);
        self
    }

    /// Sends as much as the system accepts at once, and keeps the rest.
    ///
    /// # Errors
    ///
    /// If the socket failed, or more than `max_backlog` bytes would be unsent. The socket is unusable then.
    pub fn send(&mut self, output: &[u8]) -> io::Result<()> {
        let sent = if self.backlog.is_empty() && !output.is_empty() {
            self.stream.try_write(output)?
        } else {
            0
        };
        let rest = output.get(sent..).unwrap_or_default();
        if self.backlog.len().saturating_add(rest.len()) > self.max_backlog {
            return Err(io::Error::other("too much output is unsent"));
        }
        self.backlog.extend_from_slice(rest);
        Ok(())
    }

    /// Sends unsent output, then receives: 0 bytes at the end of stream, after which it is pending forever.
    ///
    /// # Errors
    ///
    /// If the socket failed.
    pub fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(context))?;
        self.poll_read(context, buffer)
    }

    /// Sends unsent output and receives at the same time, so that two peers that both send a lot cannot wait for
    /// each other.
    ///
    /// # Errors
    ///
    /// If the socket failed.
    pub fn poll_exchange(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Traffic>> {
        let had_output = self.unsent() > 0;
        let flushed = self.poll_flush(context);
        if flushed.is_pending() || !had_output {
            let read = self.poll_read(context, buffer);
            return read.map_ok(Traffic::Received);
        }
        match ready!(flushed) {
            Ok(()) => Poll::Ready(Ok(Traffic::Sent)),
            // The peer accepts no more output, but may have said why, so what it sent is read first. A dead socket
            // is readable too, so this ends.
            Err(error) => match ready!(self.poll_read(context, buffer)) {
                Ok(received) => Poll::Ready(Ok(Traffic::Received(received))),
                Err(_) => Poll::Ready(Err(error)),
            },
        }
    }

    /// Number of unsent bytes.
    pub fn unsent(&self) -> usize {
        self.backlog.len()
    }

    /// Whether all output is sent, including what the stream holds back.
    pub fn is_flushed(&self) -> bool {
        self.backlog.is_empty() && self.stream.is_flushed()
    }

    /// Ready if there may be more to read; otherwise the waker is called once there is.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_readable(context)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.at_eof {
            return Poll::Pending;
        }
        // Not `try_read`: when the bytes do not fill the buffer, `poll_read` knows that the socket is drained and
        // saves a read that would return nothing.
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let received = buffer.filled().len();
        self.at_eof = received == 0;
        Poll::Ready(Ok(received))
    }

    /// Sends unsent output.
    ///
    /// # Errors
    ///
    /// If the socket failed.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.backlog.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, &self.backlog);
            let sent = ready!(self.write_timeout.check(context, written))?;
            self.backlog.advance(sent);
            if self.backlog.is_empty() {
                self.backlog = BytesMut::new();
            }
        }
        // TLS may hold back a record; TCP has nothing to flush.
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.write_timeout.check(context, flushed)
    }

    /// Sends unsent output, and closes in a way that lets the peer read it.
    ///
    /// # Errors
    ///
    /// If the socket failed, or the peer accepts no output for 5 seconds.
    pub fn close(mut self) -> impl Future<Output = io::Result<()>> {
        // Boxed: needed only at the end, and inline it would enlarge every connection's task.
        Box::pin(async move {
            self.write_timeout = WriteTimeout::new(FLUSH_TIMEOUT);
            poll_fn(|context| self.poll_flush(context)).await?;
            linger(self.stream).await
        })
    }
}

/// Shuts down our direction, and discards for a short time what the peer still sends.
///
/// RFC 9112 §9.6: closing with unread input makes the system send a reset, which can erase "the
/// server's last response" at the client before it is read.
///
/// # Errors
///
/// If the socket failed. A peer that is slow to close is no error.
pub fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> impl Future<Output = io::Result<()>> {
    // Boxed as above.
    Box::pin(linger(stream))
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    // TLS sends close_notify, which the peer may not accept.
    timeout(FLUSH_TIMEOUT, stream.shutdown()).await??;
    let mut input = stream.take(MAX_LINGERED);
    let discard = async { tokio::io::copy(&mut input, &mut tokio::io::sink()).await };
    match timeout(LINGER_TIMEOUT, discard).await {
        Ok(discarded) => discarded.map(drop),
        Err(_) => Ok(()),
    }
}
