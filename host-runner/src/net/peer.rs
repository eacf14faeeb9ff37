//! The remote end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The remote end of a connection, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The IP address; `None` for a Unix socket.
    pub ip: Option<IpAddr>,
    /// The port; `None` if a proxy did not tell.
    pub port: Option<u16>,
    /// Whether the client uses TLS.
    pub secure: bool,
}

impl Peer {
    /// A peer on a Unix socket.
    pub const LOCAL: Self = Self {
        ip: None,
        port: None,
        secure: false,
    };

    /// The address as the contract has it.
    pub(crate) fn remote(&self) -> Option<String> {
        self.ip.map(|_| self.to_string())
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: Some(address.ip()),
            port: Some(address.port()),
            secure: false,
        }
    }
}

/// `192.0.2.1:50000`, `[2001:db8::1]:50000`; without a port the address alone; `unix` where there is none.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (Some(ip), Some(port)) => SocketAddr::new(ip, port).fmt(f),
            (Some(ip), None) => ip.fmt(f),
            (None, _) => f.write_str("unix"),
        }
    }
}
