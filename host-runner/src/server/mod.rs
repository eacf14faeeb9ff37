//! The process: listeners, workers, connections, the admin endpoint.

pub mod accept;
pub mod admin;
pub mod connection;
pub mod ingress;
pub mod serve;
pub mod watch;
pub mod workers;
