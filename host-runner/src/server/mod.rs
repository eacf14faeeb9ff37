//! The process: listeners, workers, connections, the admin endpoint; and the process before it and after it.

mod accept;
pub mod admin;
mod adopt;
mod commands;
pub mod config;
mod connection;
pub(crate) mod handover;
mod ingress;
pub mod serve;
mod versions;
mod workers;
