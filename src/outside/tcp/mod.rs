//! TCP connections to other servers, read and written without blocking anything else.
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use futures_util::{AsyncReadExt, AsyncWriteExt};
//! use wasocket::{Error, WebSocket, tcp};
//!
//! /// What time does a daytime server have (RFC 867)?
//! async fn daytime(ws: WebSocket) -> Result<(), Error> {
//!     let mut time = String::new();
//!     match tcp::Stream::connect(SocketAddr::from(([127, 0, 0, 1], 13))).await {
//!         Ok(mut stream) => {
//!             let _ = stream.read_to_string(&mut time).await;
//!         }
//!         Err(error) => time = error.to_string(),
//!     }
//!     ws.send(time).await
//! }
//! ```
//!
//! The host decides which servers are allowed: the runner needs `--allow-tcp ADDRESS:PORT`. On any target but
//! WebAssembly, [`Stream::connect`] fails with [`Unsupported`](std::io::ErrorKind::Unsupported).

#[cfg(not(target_family = "wasm"))]
mod nowhere;
#[cfg(target_family = "wasm")]
mod wasi;

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;

use futures_io::{AsyncRead, AsyncWrite};

#[cfg(not(target_family = "wasm"))]
use nowhere as host;
#[cfg(target_family = "wasm")]
use wasi as host;

/// A TCP connection. Dropping it closes it; bytes that are not flushed may be lost.
pub struct Stream(host::Stream);

impl Stream {
    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::PermissionDenied`] when the host does not allow it; or an error of TCP.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        host::connect(address).await.map(Self)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_room(context).map_ok(|_| ())
    }

    /// Ends the direction to the server, whose remaining bytes can still be read.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.finish_sending())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
