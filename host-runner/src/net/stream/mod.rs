//! Byte streams, and sockets with their unsent output.

pub mod accepted;
pub(crate) mod closing;
pub mod h2_stream;
pub(crate) mod portable;
pub(crate) mod progress;
pub mod rewind;
pub mod socket;
pub mod transport;
pub(crate) mod wire;

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A byte stream under a socket: TCP, TLS, a Unix socket, an HTTP/2 stream.
pub trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {
    /// Writes what can be written at once and returns the number of bytes. By default 0, so that the bytes are
    /// written when the socket is next polled.
    ///
    /// # Errors
    ///
    /// If the stream failed.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        Ok(0)
    }

    /// Ready if there may be something to read; otherwise the waker is called once there is. Always ready by
    /// default.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Ready(())
    }

    /// Whether the stream holds back no written bytes until a flush.
    fn is_flushed(&self) -> bool {
        true
    }

    /// The number of written bytes that the peer has not acknowledged. `None`, the default, if that is not known.
    fn unacknowledged(&self) -> Option<usize> {
        None
    }
}

impl Stream for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // Reading will report the error.
        self.poll_read_ready(context).map(drop)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match TcpStream::try_write(self, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }

    fn unacknowledged(&self) -> Option<usize> {
        progress::unacknowledged(self)
    }
}

impl Stream for UnixStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // Reading will report the error.
        self.poll_read_ready(context).map(drop)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match UnixStream::try_write(self, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }

    fn unacknowledged(&self) -> Option<usize> {
        progress::unacknowledged(self)
    }
}

impl Stream for Box<dyn Stream> {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (**self).try_write(bytes)
    }

    fn unacknowledged(&self) -> Option<usize> {
        (**self).unacknowledged()
    }
}
