//! The runner of Wasocket: it listens, speaks HTTP, asks a component about every request, hands it
//! the sockets it takes over, and guards it. It knows nothing of RFC 6455.
//!
//! The folders, top floor first; imports go down only, between all but `check`, `connect`, `start` and the options,
//! which are the command line's:
//!
//! | Folder | Holds |
//! |---|---|
//! | `server` | the process: listeners, workers, connections, the admin endpoint |
//! | `http` | one request, whatever its version of HTTP |
//! | `session` | a socket in the hands of a guest |
//! | `pool` | connections on instances: places, batches, back-off |
//! | `process` | what all threads share: limits, signals, the service manager |
//! | `observe` | metrics, access log, traces |
//! | `limits` | how much any client may have |
//! | `guest` | a loaded component, its instances, the calls into them, and what they are granted |
//! | `net` | sockets without HTTP: listening, dialing, TLS, streams, proxies' claims |
//! | `contract` | the WIT contract in Rust, and its clock |
//!
//! The life of a socket, through the folders:
//!
//! ```text
//!   server::accept ──▶ http::h1::head_reader ──▶ hyper ──▶ http::h1::service ──▶ pool ── handle ──▶ guest
//!                               ▲                               │                 ▲
//!                               └───── response ◀── hyper ◀─────┤                 │ open, receive, wake, ..
//!                                 (host-core checks it)          └──▶ session ─────┘
//!                                                                      │
//!                                101, output, farewell ◀── net::stream ┘
//! ```
//!
//! The other way round, `connect` moves bytes between a server and the embedded client component, over `net::dial`.
//! `check` plays both the host and the peer, without sockets. `start` makes projects, and builds them.

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

pub use contract::{bindings, clock};
pub use guest::{client, default_app, engine};
pub use net::dial::{transport, url};

/// Components, read, compiled and checked.
pub mod component {
    pub use crate::guest::load::component::{Component, Loader};
    pub use crate::guest::load::error::LoadError;
    pub use crate::guest::load::world::World;
    pub use crate::guest::wasi::Grants;
}
