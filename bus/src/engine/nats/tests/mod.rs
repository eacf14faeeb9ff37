//! Tests against a real server.

mod client;
mod history;
mod presence;
mod publications;
mod server;
mod trouble;
