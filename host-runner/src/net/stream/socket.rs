//! A socket with what is still to be sent on it, and the way it is closed.

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
use crate::net::stream::write_timeout::Stall;

/// What came of [`Socket::poll_exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// No output is unsent any more.
    Sent,
    /// So many bytes were received; 0 at the end of stream.
    Received(usize),
}

/// A socket and its unsent output.
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
    /// Without memory of its own while it is empty.
    backlog: BytesMut,
    max_backlog: usize,
    stall: Stall,
    at_eof: bool,
}

impl<S: Stream> Socket<S> {
    /// A socket on which at most `max_backlog` bytes may wait to be sent, for as long as it takes.
    pub fn new(stream: S, max_backlog: usize) -> Self {
        Self {
            stream,
            backlog: BytesMut::new(),
            max_backlog,
            stall: Stall::new(Duration::MAX),
            at_eof: false,
        }
    }

    /// The same socket, which fails when the peer takes nothing of the output for so long.
    #[must_use]
    pub fn with_send_timeout(mut self, send_timeout: Duration) -> Self {
        self.stall = Stall::new(send_timeout);
        self
    }

    /// Sends what the peer takes at once, and keeps the rest.
    ///
    /// # Errors
    ///
    /// When the socket failed, or more is to be kept than may be. The socket is of no use then.
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

    /// Sends what is unsent, and when none is left, receives: 0 bytes at the end of stream, and
    /// nothing ever after.
    ///
    /// # Errors
    ///
    /// When the socket failed.
    pub fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(context))?;
        self.poll_read(context, buffer)
    }

    /// Sends what is unsent, and receives all the while, so that two peers who send much cannot wait
    /// for each other.
    ///
    /// # Errors
    ///
    /// When the socket failed.
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
            // The peer takes nothing more, but may have said why: that is read first. A dead socket is
            // readable, too, so that this comes to an end.
            Err(error) => match ready!(self.poll_read(context, buffer)) {
                Ok(received) => Poll::Ready(Ok(Traffic::Received(received))),
                Err(_) => Poll::Ready(Err(error)),
            },
        }
    }

    /// How many bytes of output are unsent.
    pub fn unsent(&self) -> usize {
        self.backlog.len()
    }

    /// Whether all output is sent, what the stream holds back included.
    pub fn is_flushed(&self) -> bool {
        self.backlog.is_empty() && self.stream.is_flushed()
    }

    /// Whether there may be something to read, behind what was received; if not, who asks is woken when there is.
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
        // Not `try_read`: when the bytes do not fill the buffer, `poll_read` knows that the socket
        // is drained, and saves the read that would only say so.
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let received = buffer.filled().len();
        self.at_eof = received == 0;
        Poll::Ready(Ok(received))
    }

    /// Sends what is unsent.
    ///
    /// # Errors
    ///
    /// When the socket failed.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.backlog.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, &self.backlog);
            let sent = ready!(self.stall.judge(context, written))?;
            self.backlog.advance(sent);
            if self.backlog.is_empty() {
                self.backlog = BytesMut::new();
            }
        }
        // TLS may hold a record back; TCP has nothing to do.
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.stall.judge(context, flushed)
    }

    /// Sends what is unsent, and closes so that the peer can read it.
    ///
    /// # Errors
    ///
    /// When the socket failed, or the peer takes nothing of the output for 5 seconds.
    pub fn close(mut self) -> impl Future<Output = io::Result<()>> {
        // On the heap: it is needed at the end only, and would be room in every connection's task.
        Box::pin(async move {
            self.stall = Stall::new(FLUSH_TIMEOUT);
            poll_fn(|context| self.poll_flush(context)).await?;
            linger(self.stream).await
        })
    }
}

/// Ends our direction, and discards for a short time what the peer still sends.
///
/// RFC 9112 §9.6: closing with unread input makes the system send a reset, which can erase "the
/// server's last response" at the client before it is read.
///
/// # Errors
///
/// When the socket failed. Only the peer's delay is no error.
pub fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> impl Future<Output = io::Result<()>> {
    // As above.
    Box::pin(linger(stream))
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    // TLS has something to send at its end, which the peer may not take.
    timeout(FLUSH_TIMEOUT, stream.shutdown()).await??;
    let mut input = stream.take(MAX_LINGERED);
    let discard = async { tokio::io::copy(&mut input, &mut tokio::io::sink()).await };
    match timeout(LINGER_TIMEOUT, discard).await {
        Ok(discarded) => discarded.map(drop),
        Err(_) => Ok(()),
    }
}
