//! A socket with its unsent output, and how it is closed.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;
use wasocket_host_core::http1::limits::FLUSH_TIMEOUT;

use crate::net::stream::Stream;
use crate::net::stream::closing::{Lost, deliver, linger};
use crate::net::stream::progress::Progress;

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
    /// Output to send first, of which others may be sent the same.
    shared: Bytes,
    /// Output to send. Allocates nothing while empty.
    backlog: BytesMut,
    max_backlog: usize,
    progress: Progress,
    /// How long the peer may take nothing of the last bytes.
    close_timeout: Duration,
    at_eof: bool,
}

impl<S: Stream> Socket<S> {
    /// A socket that keeps at most `max_backlog` bytes of unsent output. Its peer has any time to take them until the
    /// socket is closed, and then 5 seconds without progress.
    pub fn new(stream: S, max_backlog: usize) -> Self {
        Self {
            stream,
            shared: Bytes::new(),
            backlog: BytesMut::new(),
            max_backlog,
            progress: Progress::new(Duration::MAX),
            close_timeout: FLUSH_TIMEOUT,
            at_eof: false,
        }
    }

    /// Adds a send timeout: the socket fails if the peer acknowledges nothing of its output for this long.
    #[must_use]
    pub fn with_send_timeout(mut self, send_timeout: Duration) -> Self {
        self.progress = Progress::new(send_timeout);
        self.close_timeout = send_timeout;
        self
    }

    /// Sends as much as the system accepts at once, and keeps the rest.
    ///
    /// # Errors
    ///
    /// If the socket failed, or more than `max_backlog` bytes would be unsent. The socket is unusable then.
    pub fn send(&mut self, output: &[u8]) -> io::Result<()> {
        let sent = self.try_write(output)?;
        let rest = output.get(sent..).unwrap_or_default();
        if self.unsent().saturating_add(rest.len()) > self.max_backlog {
            return Err(io::Error::other("too much output is unsent"));
        }
        self.backlog.extend_from_slice(rest);
        Ok(())
    }

    /// Sends as much as the system accepts at once, and keeps a reference to the rest if nothing else is unsent.
    ///
    /// # Errors
    ///
    /// As those of [`send`](Self::send).
    pub(crate) fn send_shared(&mut self, output: &Bytes) -> io::Result<()> {
        if self.unsent() > 0 {
            return self.send(output);
        }
        let sent = self.try_write(output)?;
        if sent < output.len() {
            self.shared = output.slice(sent..);
        }
        Ok(())
    }

    /// Writes at once, if everything before is sent. Returns the number of bytes.
    fn try_write(&mut self, output: &[u8]) -> io::Result<usize> {
        if self.unsent() > 0 || output.is_empty() {
            return Ok(0);
        }
        let sent = self.stream.try_write(output)?;
        self.progress.wrote(sent);
        Ok(sent)
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

    /// The stream, without what is unsent.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// The stream.
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Number of unsent bytes.
    pub fn unsent(&self) -> usize {
        self.shared.len().saturating_add(self.backlog.len())
    }

    /// Number of bytes that the peer has not acknowledged, as far as the system tells.
    pub fn undelivered(&self) -> usize {
        let in_transit = self.stream.unacknowledged().unwrap_or(0);
        self.unsent().saturating_add(in_transit)
    }

    /// Waits until the peer has acknowledged everything that the system has taken.
    ///
    /// # Errors
    ///
    /// If the peer acknowledges nothing of it for the send timeout.
    pub fn poll_delivered(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream, progress, ..
        } = self;
        progress.poll_delivered(context, || stream.unacknowledged())
    }

    /// Whether all output is sent, including what the stream holds back.
    pub fn is_flushed(&self) -> bool {
        self.unsent() == 0 && self.stream.is_flushed()
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
        let Self {
            stream,
            shared,
            backlog,
            progress,
            ..
        } = self;
        while !shared.is_empty() {
            let written = Pin::new(&mut *stream).poll_write(context, shared);
            let sent = ready!(progress.check(context, || stream.unacknowledged(), written))?;
            progress.wrote(sent);
            shared.advance(sent);
        }
        // Otherwise it would keep the buffer.
        *shared = Bytes::new();
        while !backlog.is_empty() {
            let written = Pin::new(&mut *stream).poll_write(context, backlog);
            let sent = ready!(progress.check(context, || stream.unacknowledged(), written))?;
            progress.wrote(sent);
            backlog.advance(sent);
            if backlog.is_empty() {
                *backlog = BytesMut::new();
            }
        }
        // TLS may hold back a record; TCP has nothing to flush.
        let flushed = Pin::new(&mut *stream).poll_flush(context);
        progress.check(context, || stream.unacknowledged(), flushed)
    }

    /// Sends unsent output, ends our direction, and waits until the peer has acknowledged all of it. Call
    /// [`linger`] on the stream that comes back.
    ///
    /// # Errors
    ///
    /// If the socket fails, or the peer acknowledges nothing for the send timeout, or 5 seconds if there is none.
    pub(crate) fn deliver(mut self) -> impl Future<Output = Result<S, Lost>> {
        // Boxed: needed only at the end, and inline it would enlarge every connection's task.
        Box::pin(async move {
            self.progress.limit(self.close_timeout);
            if let Err(error) = poll_fn(|context| self.poll_flush(context)).await {
                return Err(self.lost(error));
            }
            deliver(self.stream, self.progress).await
        })
    }

    /// The loss of what the peer has not acknowledged.
    pub(crate) fn lost(&self, error: io::Error) -> Lost {
        Lost {
            bytes: self.undelivered(),
            error,
        }
    }

    /// Sends unsent output, and closes in a way that lets the peer read it.
    ///
    /// # Errors
    ///
    /// As those of a socket whose peer has stopped reading: see [`with_send_timeout`](Self::with_send_timeout).
    pub async fn close(self) -> io::Result<()> {
        let stream = self.deliver().await?;
        linger(stream).await;
        Ok(())
    }
}
