//! The process: listeners, workers, connections, the admin endpoint.

mod accept;
pub mod admin;
mod adopt;
pub mod config;
mod connection;
mod ingress;
pub mod serve;
mod watch;
mod workers;
