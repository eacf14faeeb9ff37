//! Connections on their way to another thread.
//!
//! A socket of tokio is registered with the event loop of one thread. To be served by another, it is taken out of that
//! loop here, and put into the other's there. What has been received or decrypted already goes with it.

use std::io;
use std::net;
use std::os::unix;

use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::net::stream::accepted::Accepted;
use crate::net::stream::transport::Transport;

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
                let tcp = stream.get_mut().0.take()?.into_std()?;
                Ok(Self::Tls(stream, tcp))
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
                stream.get_mut().0.put(TcpStream::from_std(tcp)?);
                Accepted::Tls(stream)
            }
        })
    }
}
