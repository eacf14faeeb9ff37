//! The remote end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// At this IP address.
    Ip(IpAddr),
    /// On this machine, connected through a Unix socket.
    Unix,
    /// Unknown: a trusted proxy does not tell, or not intelligibly.
    Unknown,
}

/// The remote end of a connection, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The address.
    pub address: Address,
    /// The port; `None` if a proxy did not tell.
    pub port: Option<u16>,
    /// Whether the client uses TLS.
    pub secure: bool,
}

impl Peer {
    /// A peer on a Unix socket.
    pub const LOCAL: Self = Self {
        address: Address::Unix,
        port: None,
        secure: false,
    };

    /// The address as the contract has it.
    pub(crate) fn remote(&self) -> Option<String> {
        self.ip().map(|_| self.to_string())
    }

    /// The IP address, if it has one that is known.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self.address {
            Address::Ip(ip) => Some(ip),
            Address::Unix | Address::Unknown => None,
        }
    }

    /// The IP address to limit it by. All clients whose address is unknown share one; those on a Unix socket have none.
    pub(crate) fn limited_ip(&self) -> Option<IpAddr> {
        match self.address {
            Address::Ip(ip) => Some(ip),
            Address::Unix => None,
            Address::Unknown => Some(Ipv6Addr::UNSPECIFIED.into()),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: Address::Ip(address.ip()),
            port: Some(address.port()),
            secure: false,
        }
    }
}

/// `192.0.2.1:50000`, `[2001:db8::1]:50000`; without a port the address alone; otherwise `unix` or `unknown`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (Address::Ip(ip), Some(port)) => SocketAddr::new(ip, port).fmt(f),
            (Address::Ip(ip), None) => ip.fmt(f),
            (Address::Unix, _) => f.write_str("unix"),
            (Address::Unknown, _) => f.write_str("unknown"),
        }
    }
}
