//! A socket with what is still to be sent on it, and the way it is closed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the last bytes may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the peer may take to close after us.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// How much it may send meanwhile.
const LINGER_BYTES: u64 = 1024 * 1024;

/// A socket and its unsent output.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// Without memory of its own while it is empty.
    backlog: BytesMut,
    max_backlog: usize,
    at_eof: bool,
}

impl Socket {
    /// A socket on which at most `max_backlog` bytes may wait to be sent.
    pub fn new(stream: TcpStream, max_backlog: usize) -> Self {
        Self {
            stream,
            backlog: BytesMut::new(),
            max_backlog,
            at_eof: false,
        }
    }

    /// Sends what the peer takes at once, and keeps the rest.
    ///
    /// # Errors
    ///
    /// When the socket failed, or more is to be kept than may be. The socket is of no use then.
    pub fn send(&mut self, output: &[u8]) -> io::Result<()> {
        let sent = if self.backlog.is_empty() && !output.is_empty() {
            try_write(&self.stream, output)?
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

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.backlog.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.backlog))?;
            self.backlog.advance(sent);
            if self.backlog.is_empty() {
                self.backlog = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is unsent, and closes so that the peer can read it.
    ///
    /// # Errors
    ///
    /// When the socket failed or the peer does not take the output in time.
    pub async fn close(mut self) -> io::Result<()> {
        timeout(FLUSH_TIMEOUT, self.stream.write_all(&self.backlog)).await??;
        close(self.stream).await
    }
}

fn try_write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
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
pub async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut input = stream.take(LINGER_BYTES);
    let discard = async { tokio::io::copy(&mut input, &mut tokio::io::sink()).await };
    match timeout(LINGER_TIMEOUT, discard).await {
        Ok(discarded) => discarded.map(drop),
        Err(_) => Ok(()),
    }
}
