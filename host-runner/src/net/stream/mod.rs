//! Byte streams: what sockets are made of, and a socket with its unsent output.

pub mod accepted;
pub mod h2_stream;
pub mod rewind;
pub mod socket;
pub mod write_timeout;

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// What a socket is made of: TCP, TLS on it, a Unix socket.
pub trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {
    /// Writes what can be written at once, and says how much. By default nothing: it is written when
    /// the socket is next polled.
    ///
    /// # Errors
    ///
    /// When the stream failed.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        Ok(0)
    }

    /// Whether there may be something to read; if not, who asks is woken when there is. By default there always
    /// may be.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Ready(())
    }

    /// Whether nothing that was written is held back until a flush.
    fn is_flushed(&self) -> bool {
        true
    }
}

impl Stream for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // A failure is found by reading.
        self.poll_read_ready(context).map(drop)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match TcpStream::try_write(self, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }
}

impl Stream for UnixStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // A failure is found by reading.
        self.poll_read_ready(context).map(drop)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match UnixStream::try_write(self, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }
}

impl Stream for Box<dyn Stream> {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (**self).try_write(bytes)
    }
}
