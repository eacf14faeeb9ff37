//! Tests against a real server.

mod client;
mod history;
mod presence;
mod publications;
mod schedules;
mod server;
mod throughput;
mod trouble;
