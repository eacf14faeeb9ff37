//! Wasocket's host: listens, speaks HTTP, asks a component about each request, hands it the sockets it takes over, and
//! enforces its limits. It knows nothing of RFC 6455.
//!
//! The folders, from the top layer down. Imports go down only, which `tests/layers.rs` checks:
//!
//! | Folder | Contents |
//! |---|---|
//! | `server` | the process: listeners, workers, connections, the admin endpoint |
//! | `http` | one request, whatever the version of HTTP |
//! | `session` | one socket in the hands of an instance |
//! | `pool` | connections on instances: placing, batches, deliveries, backoff |
//! | `process` | what all threads share: limits, signals, the service manager |
//! | `topics` | a worker's topics: who subscribes to what, what arrives, what waits |
//! | `observe` | metrics, access log, traces |
//! | `limits` | limits on clients |
//! | `guest` | a loaded component, its instances, the calls into them, and what they are granted |
//! | `net` | sockets without HTTP: listening, dialing, TLS, streams, proxies in front |
//! | `contract` | the WIT contract in Rust, and its clock |
//!
//! The path of a socket through the folders:
//!
//! ```text
//!   server::accept ──▶ http::h1::head_reader ──▶ hyper ──▶ http::h1::service ──▶ pool ── handle ──▶ guest
//!                               ▲                               │                 ▲
//!                               └───── response ◀── hyper ◀─────┤                 │ open, receive, wake, ..
//!                                 (host-core checks it)          └──▶ session ─────┘
//!                                                                      │
//!                             101, output, final bytes ◀── net::stream ┘
//! ```
//!
//! `ARCHITECTURE.md` has the whole picture.

pub mod contract;
pub mod guest;
pub mod http;
pub mod limits;
pub mod net;
pub mod observe;
mod pool;
pub mod process;
pub mod server;
pub mod session;
pub mod topics;

pub use contract::{bindings, clock};
pub use guest::{client, default_app, engine};
pub use net::dial::{transport, url};
pub use observe::log_writer;
pub use server::handover::HandoverError;
pub use wasocket_bus as bus;

/// Loading of components.
pub mod component {
    pub use crate::guest::load::component::{Component, Loader};
    pub use crate::guest::load::error::LoadError;
    pub use crate::guest::load::world::World;
    pub use crate::guest::wasi::Grants;
}
