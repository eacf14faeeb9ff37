//! Configuration of the limits on clients.

use crate::limits::per_address::{AddressLimit, PerAddressLimits};

/// Limits on all clients together and on each address.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    /// The most open connections, at least 1; more wait in the system's queue. Lowered if the system allows fewer
    /// open files.
    pub max_connections: usize,
    /// The limits on each address.
    pub per_address: PerAddressLimits,
    /// The most unsent output of all clients together, in bytes.
    pub max_unsent: usize,
}

impl LimitSettings {
    /// The default limits per address for this many connections: a tenth of them, 100 new connections and 1,000
    /// requests per second. They apply to public addresses only: a proxy in front usually has a private address
    /// and speaks for many users.
    #[must_use]
    pub fn per_address(max_connections: usize) -> PerAddressLimits {
        let tenth = u32::try_from(max_connections / 10).unwrap_or(u32::MAX);
        PerAddressLimits {
            connections: AddressLimit::public(tenth.max(1)),
            handshakes: AddressLimit::public(100),
            requests: AddressLimit::public(1000),
        }
    }
}

impl Default for LimitSettings {
    /// 10,000 connections, the limits of [`per_address`](Self::per_address), 256 MiB of unsent output.
    fn default() -> Self {
        let max_connections = 10_000;
        Self {
            max_connections,
            per_address: Self::per_address(max_connections),
            max_unsent: 256 << 20,
        }
    }
}
