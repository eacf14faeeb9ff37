//! The process: listeners, workers, connections, the admin endpoint.

mod accept;
pub mod admin;
mod adopt;
mod commands;
pub mod config;
mod connection;
mod ingress;
pub mod serve;
mod swap;
mod watch;
mod workers;
