//! The stream of an accepted connection.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::net::stream::Stream;
use crate::net::stream::h2_stream::Tunnel;
use crate::net::stream::transport::Transport;
use crate::net::tls::HTTP_2;

/// An accepted stream. An enum, so that each byte costs a branch instead of a virtual call.
#[derive(Debug)]
pub enum Accepted {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a Unix socket.
    Unix(UnixStream),
    /// TLS over TCP. Boxed, as it is large and few connections use it.
    Tls(Box<TlsStream<Transport>>),
    /// An HTTP/2 stream on one of the others.
    Tunnel(Box<Tunnel>),
}

impl Accepted {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether another process could go on with the connection, given its descriptor: nothing else belongs to it.
    pub(crate) fn is_portable(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// A copy of the descriptor of a portable connection.
    ///
    /// # Errors
    ///
    /// If the system refuses, or the connection is not portable.
    pub(crate) fn copy_descriptor(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(stream) => stream.as_fd().try_clone_to_owned(),
            Self::Unix(stream) => stream.as_fd().try_clone_to_owned(),
            Self::Tls(_) | Self::Tunnel(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Goes on with the connection that a descriptor from another process is of. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If it is not that of a connected stream socket.
    pub(crate) fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(descriptor);
        if socket.r#type()? != socket2::Type::STREAM || socket.is_listener()? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a descriptor is not that of a connection",
            ));
        }
        // Fails if it is not connected.
        let is_unix = socket.peer_addr()?.is_unix();
        socket.set_nonblocking(true)?;
        Ok(if is_unix {
            Self::Unix(UnixStream::from_std(socket.into())?)
        } else {
            Self::Tcp(TcpStream::from_std(socket.into())?)
        })
    }

    /// Whether client and server have agreed on HTTP/2 (RFC 7301).
    pub(crate) fn has_agreed_on_http2(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP_2),
            _ => false,
        }
    }
}

/// The same expression for each kind of stream.
macro_rules! each {
    ($accepted:expr, $stream:ident => $do:expr) => {
        match $accepted {
            Accepted::Tcp($stream) => $do,
            Accepted::Unix($stream) => $do,
            Accepted::Tls($stream) => $do,
            Accepted::Tunnel($stream) => $do,
        }
    };
}

impl Stream for Accepted {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => Stream::try_write(stream, bytes),
            Self::Unix(stream) => Stream::try_write(stream, bytes),
            Self::Tls(stream) => try_write(stream, bytes),
            Self::Tunnel(stream) => Stream::try_write(&mut **stream, bytes),
        }
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(stream) => stream.poll_readable(context),
            Self::Unix(stream) => stream.poll_readable(context),
            // More may have been decrypted, or received in a frame, than was read.
            Self::Tls(_) | Self::Tunnel(_) => Poll::Ready(()),
        }
    }

    fn is_flushed(&self) -> bool {
        match self {
            Self::Tls(stream) => !stream.get_ref().1.wants_write(),
            _ => true,
        }
    }

    fn unacknowledged(&self) -> Option<usize> {
        match self {
            Self::Tcp(stream) => stream.unacknowledged(),
            Self::Unix(stream) => stream.unacknowledged(),
            Self::Tls(stream) => stream.get_ref().0.tcp().and_then(Stream::unacknowledged),
            Self::Tunnel(stream) => stream.unacknowledged(),
        }
    }
}

/// Wakes no task. What is left is sent at the next poll, which `is_flushed` asks for.
fn try_write(stream: &mut TlsStream<Transport>, bytes: &[u8]) -> io::Result<usize> {
    let context = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(written) = Pin::new(&mut *stream).poll_write(context, bytes)? else {
        return Ok(0);
    };
    if let Poll::Ready(flushed) = Pin::new(stream).poll_flush(context) {
        flushed?;
    }
    Ok(written)
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(context, bytes))
    }
}
