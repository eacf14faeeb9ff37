//! HTTP/2: connections, their streams, and the guard against floods.

pub mod connection;
pub mod flood_guard;
pub mod request;
pub mod stream;
