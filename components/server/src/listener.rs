//! The listening socket.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use wasi::io::poll::Pollable;
use wasi::sockets::instance_network::instance_network;
use wasi::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasi::sockets::tcp::TcpSocket;
use wasi::sockets::tcp_create_socket::create_tcp_socket;

use crate::socket::Socket;

/// The most connections that the system queues until they are accepted.
const BACKLOG: u64 = 1024;

/// Fields are dropped in order, as WASI requires: children before parents.
pub(crate) struct Listener {
    pollable: Pollable,
    socket: TcpSocket,
}

/// The outcome of an attempt to accept.
pub(crate) enum Accepted {
    Client(Socket, String),
    /// No client is waiting.
    Nothing,
    /// The client left before it was accepted.
    Gone,
    /// A problem of the whole process, such as too many open files.
    Failed(ErrorCode),
}

impl Listener {
    /// # Errors
    ///
    /// A sentence that says what to do.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, String> {
        bind(address).map_err(|code| explain(address, code))
    }

    /// The address it listens on, with the port that the system chose.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_address().ok().map(from_wasi)
    }

    /// Ready when a client is waiting.
    pub(crate) fn pollable(&self) -> &Pollable {
        &self.pollable
    }

    pub(crate) fn accept(&self) -> Accepted {
        match self.socket.accept() {
            Ok((socket, input, output)) => {
                let remote = socket.remote_address().map(from_wasi);
                let remote = remote.map_or_else(|_| String::new(), |remote| remote.to_string());
                Accepted::Client(Socket::new(socket, input, output), remote)
            }
            Err(ErrorCode::WouldBlock) => Accepted::Nothing,
            Err(ErrorCode::ConnectionAborted | ErrorCode::ConnectionReset) => Accepted::Gone,
            Err(code) => Accepted::Failed(code),
        }
    }
}

/// Binds and listens. May block, as there are no connections yet.
fn bind(address: SocketAddr) -> Result<Listener, ErrorCode> {
    let (family, local) = to_wasi(address);
    let socket = create_tcp_socket(family)?;
    let pollable = socket.subscribe();
    let network = instance_network();
    socket.start_bind(&network, local)?;
    finish(&pollable, || socket.finish_bind())?;
    // Only a hint.
    let _ = socket.set_listen_backlog_size(BACKLOG);
    socket.start_listen()?;
    finish(&pollable, || socket.finish_listen())?;
    Ok(Listener { pollable, socket })
}

fn finish(pollable: &Pollable, step: impl Fn() -> Result<(), ErrorCode>) -> Result<(), ErrorCode> {
    loop {
        match step() {
            Err(ErrorCode::WouldBlock) => pollable.block(),
            outcome => return outcome,
        }
    }
}

fn explain(address: SocketAddr, code: ErrorCode) -> String {
    match code {
        ErrorCode::AddressInUse => {
            format!("{address} is in use: stop the other program or choose another with --listen")
        }
        ErrorCode::AccessDenied => format!(
            "listening on {address} is not permitted: let the runtime grant the network (wasmtime run \
             -S inherit-network), and choose a port above 1023 with --listen"
        ),
        ErrorCode::AddressNotBindable => {
            format!("{address} is not an address of this machine: choose another with --listen")
        }
        ErrorCode::NotSupported => format!("the runtime has no sockets for {address}"),
        code => format!("cannot listen on {address}: {}", code.name()),
    }
}

fn to_wasi(address: SocketAddr) -> (IpAddressFamily, IpSocketAddress) {
    match address {
        SocketAddr::V4(address) => {
            let address = Ipv4SocketAddress {
                port: address.port(),
                address: address.ip().octets().into(),
            };
            (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(address))
        }
        SocketAddr::V6(address) => {
            let address = Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: address.ip().segments().into(),
                scope_id: address.scope_id(),
            };
            (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
        }
    }
}

fn from_wasi(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(address) => {
            let octets: [u8; 4] = address.address.into();
            SocketAddr::from((octets, address.port))
        }
        IpSocketAddress::Ipv6(address) => {
            let segments: [u16; 8] = address.address.into();
            let ip = Ipv6Addr::from(segments);
            SocketAddrV6::new(ip, address.port, address.flow_info, address.scope_id).into()
        }
    }
}
