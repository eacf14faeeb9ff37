//! Helpers that the tests of the running binary share. [`Server`] starts it, [`Client`] talks to it byte by byte;
//! [`app_behaviours`] and [`host_behaviours`] are tables of the behaviour of every app and every host.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper fails its test by panicking"
)]

pub mod app_behaviours;
pub mod backend;
mod client;
pub mod connect;
pub mod crowd;
pub mod engine;
mod files;
pub mod host_behaviours;
pub mod operator;
mod process;
mod program;
mod server;
mod site;

use std::time::Duration;

pub use client::{Client, Head, client_config, opening_handshake, read_head, text};
pub use files::{target_folder, temporary_folder, tls_file, with_small_disk};
pub use process::{collect_lines, kill_group};
pub use program::{build_guest, root, wasocket};
pub use server::Server;
pub use site::Site;

/// The longest that anything may take. Generous, but shorter than the 10 seconds after which the runner drops
/// a client, so that an answer that comes only then does not pass.
pub const TIMEOUT: Duration = Duration::from_secs(8);
