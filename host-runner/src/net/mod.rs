//! Sockets without HTTP: listening, dialing, TLS, proxies in front, and who the peer is.

pub(crate) mod address;
pub mod dial;
pub mod forwarded;
pub(crate) mod host_pattern;
pub(crate) mod inherited;
pub mod listen;
pub mod peer;
pub(crate) mod percent;
pub(crate) mod records;
pub mod stream;
pub mod tls;
