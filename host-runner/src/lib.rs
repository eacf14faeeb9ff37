//! The runner of Wasocket: it listens, speaks HTTP, asks a component about every request, hands it
//! the sockets it takes over, and guards it. It knows nothing of RFC 6455.
//!
//! The life of a socket, through the files:
//!
//! ```text
//!   listener ── accept ──▶ gate ── head ──▶ hyper ──▶ service ──▶ pool ── handle ──▶ guest
//!                            ▲                           │         ▲
//!                            └── response ◀── hyper ◀────┤         │ open, receive, wake, ..
//!                               (checked there)          └──▶ session
//!                                                               │
//!                             101, output, farewell ◀── socket ─┘
//! ```
//!
//! `accepted` is what comes in, over TCP or a Unix socket, and `entrance` what
//! it goes through first, such as `tls`; `proxied` is what a proxy says of its clients. `gate` reads the heads of requests (the crate `wasocket-host-core` parses and bounds them) and has hyper frame
//! the messages. A worker is one thread with a current-thread runtime, `workers` are all of them, and what they have
//! in common is in `shared`: nothing that a message touches.
//! `bindings` holds the contract's types, `component` loads (`compose` joins an app that has no protocol with
//! it, and both with what other places need, `cache` keeps what is compiled, `compiled` has it as a file), `guest` has the calls and
//! `instance` bounds each, `pool` puts connections on instances and buries the dead (`call` is what it has of a call,
//! `batch` what goes to many in one), `backoff` has pauses made if those are many, `access` logs their
//! ends, `trace` tells a collector, `capacity` says how many are let in and `admission` who, `rate` how fast one is read, `debt` how much may wait for all,
//! `metrics` counts and `admin` shows it, `signals` tells a connection what happens elsewhere, `shutdown` hears those of the system, `watch`
//! looks for a new component, `serve` puts all together.
//!
//! The other way round, `connect` moves bytes between a server and the embedded `client`, over a
//! `transport` (TCP, TLS, a `proxy`), and messages between that and the `input` and stdout.
//!
//! `options` is the command line, and `config` the file beside it. `hosts` says whose requests are answered at all.
//!
//! `check` plays both the host and the peer, without sockets. `start` makes projects, and builds them.

pub mod accepted;
mod access;
pub mod admin;
mod admission;
mod ask;
mod backoff;
mod batch;
pub mod bell;
pub mod bindings;
mod bucket;
pub mod cache;
pub mod call;
mod capacity;
pub mod check;
pub mod client;
pub mod clock;
pub mod compiled;
pub mod component;
pub mod compose;
pub mod config;
pub mod connect;
mod debt;
pub mod default_app;
pub mod directory;
pub mod engine;
pub mod entrance;
mod files;
mod gate;
pub mod guest;
pub mod hosts;
mod http2;
mod input;
mod instance;
pub mod listener;
pub mod log;
mod metrics;
mod notify;
pub mod operating;
pub mod options;
pub mod outgoing;
mod patience;
pub mod pool;
mod process;
pub mod proxied;
pub mod proxy;
mod rate;
mod read_buffer;
pub mod serve;
mod service;
pub mod session;
pub mod shared;
pub mod shutdown;
pub mod signals;
pub mod socket;
mod stall;
pub mod start;
mod state;
pub mod takeover;
mod timer;
pub mod tls;
pub mod trace;
pub mod transport;
pub mod url;
mod wasi;
pub mod watch;
pub mod worker;
pub mod workers;
