//! HTTP/2: connections, their streams, and the flood guard.

pub mod connection;
pub mod flood_guard;
pub mod frame_scanner;
pub(crate) mod incoming;
pub mod request;
pub mod stream;
