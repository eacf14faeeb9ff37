//! Connections to other servers: URLs, proxies, TLS.

pub mod error;
pub mod proxy;
pub mod transport;
pub mod url;
