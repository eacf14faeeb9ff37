//! The limits on clients, as plain values.

use crate::limits::per_address::{PerAddress, Rule};

/// How much all clients together, and each address, may have.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    /// The most connections at once, at least 1; further ones wait with the system. Fewer where the system
    /// allows fewer open files.
    pub max_connections: usize,
    /// The limits on each address.
    pub per_address: PerAddress,
    /// The most output, in bytes, that may wait for all clients together.
    pub max_unsent: usize,
}

impl LimitSettings {
    /// The default limits on an address where there may be this many connections: a tenth of them, 100 new ones
    /// and 1,000 requests a second. Public addresses alone are limited: a proxy in front is usually on a
    /// private one, and speaks for many users.
    #[must_use]
    pub fn per_address(max_connections: usize) -> PerAddress {
        let tenth = u32::try_from(max_connections / 10).unwrap_or(u32::MAX);
        PerAddress {
            connections: Rule::public(tenth.max(1)),
            handshakes: Rule::public(100),
            requests: Rule::public(1000),
        }
    }
}

impl Default for LimitSettings {
    /// 10,000 connections, the limits of [`per_address`](Self::per_address), 256 MiB unsent.
    fn default() -> Self {
        let max_connections = 10_000;
        Self {
            max_connections,
            per_address: Self::per_address(max_connections),
            max_unsent: 256 << 20,
        }
    }
}
