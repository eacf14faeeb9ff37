//! `wasi:sockets` 0.2, without its blocking calls.

use core::task::{Context, Poll, ready};
use std::io;
use std::net::SocketAddr;

use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasi::sockets::instance_network::instance_network;
use wasi::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasi::sockets::tcp::{ShutdownType, TcpSocket};
use wasi::sockets::tcp_create_socket::create_tcp_socket;

use crate::outside::pollable;

/// Fields drop from first to last, as WASI requires: children before parents.
pub(super) struct Stream {
    readable: Pollable,
    writable: Pollable,
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
}

pub(super) async fn connect(address: SocketAddr) -> io::Result<Stream> {
    let (family, address) = to_wasi(address);
    let socket = create_tcp_socket(family).map_err(io_error)?;
    socket
        .start_connect(&instance_network(), address)
        .map_err(io_error)?;
    let pollable = socket.subscribe();
    let (input, output) = loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => pollable::ready(&pollable).await,
            outcome => break outcome.map_err(io_error)?,
        }
    };
    Ok(Stream {
        readable: input.subscribe(),
        writable: output.subscribe(),
        input,
        output,
        socket,
    })
}

impl Stream {
    pub(super) fn poll_read(
        &self,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.input.read(buffer.len() as u64) {
                Ok(bytes) if bytes.is_empty() && !buffer.is_empty() => {
                    ready!(pollable::poll_ready(&self.readable, context));
                }
                Ok(bytes) => {
                    let size = bytes.len().min(buffer.len());
                    buffer[..size].copy_from_slice(&bytes[..size]);
                    return Poll::Ready(Ok(size));
                }
                Err(StreamError::Closed) => return Poll::Ready(Ok(0)),
                Err(StreamError::LastOperationFailed(_)) => return Poll::Ready(Err(reset())),
            }
        }
    }

    pub(super) fn poll_write(
        &self,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(context))?;
        let size = bytes.len().min(room);
        let written = self.output.write(&bytes[..size]).map_err(|_| reset());
        Poll::Ready(written.map(|()| size))
    }

    /// Waits until there is room for more, which means that all earlier bytes have been sent.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            match self.output.check_write() {
                Ok(0) => ready!(pollable::poll_ready(&self.writable, context)),
                Ok(room) => return Poll::Ready(Ok(usize::try_from(room).unwrap_or(usize::MAX))),
                Err(_) => return Poll::Ready(Err(reset())),
            }
        }
    }

    pub(super) fn finish_sending(&self) -> io::Result<()> {
        self.socket.shutdown(ShutdownType::Send).map_err(io_error)
    }
}

/// The host gives no reliable account of what became of the connection.
fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn to_wasi(address: SocketAddr) -> (IpAddressFamily, IpSocketAddress) {
    match address {
        SocketAddr::V4(address) => {
            let octets = address.ip().octets();
            let address = Ipv4SocketAddress {
                port: address.port(),
                address: octets.into(),
            };
            (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(address))
        }
        SocketAddr::V6(address) => {
            let segments = address.ip().segments();
            let address = Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: segments.into(),
                scope_id: address.scope_id(),
            };
            (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
        }
    }
}

fn io_error(code: ErrorCode) -> io::Error {
    let kind = match code {
        ErrorCode::AccessDenied => io::ErrorKind::PermissionDenied,
        ErrorCode::NotSupported => io::ErrorKind::Unsupported,
        ErrorCode::ConnectionRefused => io::ErrorKind::ConnectionRefused,
        ErrorCode::ConnectionReset => io::ErrorKind::ConnectionReset,
        ErrorCode::ConnectionAborted => io::ErrorKind::ConnectionAborted,
        ErrorCode::RemoteUnreachable => io::ErrorKind::HostUnreachable,
        ErrorCode::Timeout => io::ErrorKind::TimedOut,
        ErrorCode::OutOfMemory => io::ErrorKind::OutOfMemory,
        ErrorCode::InvalidArgument => io::ErrorKind::InvalidInput,
        _ => return io::Error::other(code.name()),
    };
    io::Error::new(kind, code.name())
}
