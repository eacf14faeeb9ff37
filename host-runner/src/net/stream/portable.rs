//! Connections on their way to another thread.
//!
//! A socket of tokio is registered with the event loop of one thread. To be served by another, it is taken out of that
//! loop here, and put into the other's there. What has been received or decrypted already goes with it.

use std::io::{self, IoSlice};
use std::net;
use std::os::unix;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::net::stream::accepted::Accepted;

/// A connection that no event loop knows.
#[derive(Debug)]
pub(crate) enum Portable {
    Tcp(net::TcpStream),
    Unix(unix::net::UnixStream),
    Tls(Box<TlsStream<Transport>>, net::TcpStream),
}

impl Portable {
    /// Takes a connection out of its event loop. Nothing written to it may be waiting to be sent.
    ///
    /// # Errors
    ///
    /// If the system refuses. HTTP/2 streams are none of these: they can be used on any thread as they are.
    pub(crate) fn new(stream: Accepted) -> io::Result<Self> {
        match stream {
            Accepted::Tcp(stream) => stream.into_std().map(Self::Tcp),
            Accepted::Unix(stream) => stream.into_std().map(Self::Unix),
            Accepted::Tls(mut stream) => {
                let tcp = stream.get_mut().0.0.take().ok_or_else(in_transit)?;
                Ok(Self::Tls(stream, tcp.into_std()?))
            }
            Accepted::Tunnel(_) => Err(io::Error::other("an HTTP/2 stream has no socket to move")),
        }
    }

    /// Puts the connection into this thread's event loop.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub(crate) fn into_stream(self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(stream) => Accepted::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Accepted::Unix(UnixStream::from_std(stream)?),
            Self::Tls(mut stream, tcp) => {
                stream.get_mut().0.0 = Some(TcpStream::from_std(tcp)?);
                Accepted::Tls(stream)
            }
        })
    }
}

/// The TCP connection under TLS, except while that is in transit: its state cannot be taken off the stream.
#[derive(Debug)]
pub struct Transport(Option<TcpStream>);

impl Transport {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Some(stream))
    }

    /// The connection.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        self.0.as_ref()
    }

    fn pinned(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.get_mut().0.as_mut();
        stream.map(Pin::new).ok_or_else(in_transit)
    }
}

fn in_transit() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is in transit")
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pinned()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write_vectored(context, bytes)
    }
}
