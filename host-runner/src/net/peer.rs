//! The remote end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Who is at the other end, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address. A Unix socket has none.
    pub ip: Option<IpAddr>,
    /// The port. A proxy need not tell it.
    pub port: Option<u16>,
    /// Whether it came over TLS.
    pub secure: bool,
}

impl Peer {
    /// One behind a Unix socket.
    pub const LOCAL: Self = Self {
        ip: None,
        port: None,
        secure: false,
    };

    /// What the contract has of the address.
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
