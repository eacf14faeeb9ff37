//! A WebSocket server as a component: joined with one that exports `websocket-handler`, it exports
//! `wasi:cli/run`, and a stock runtime of WASI 0.2 with sockets runs it. It does inside a
//! component what `wasocket serve` does on a machine, and likewise knows nothing of RFC 6455.
//!
//! ```text
//!   listener ── accept ──▶ client ── head ──▶ handle, poll* ──▶ respond ──▶ client
//!                            ▲                      │
//!      server: poll, timers, │                      └─ takeover ─▶ open, receive, wake, ..
//!      wake-others ──────────┘                                        │
//!                          socket ◀── 101, output ────────────────────┘
//! ```
//!
//! One instance, one thread and one loop serve all connections. `server` waits for events;
//! `client` is one connection, from its first request to its end, with a file for each phase; `context` is the state
//! that clients share; `topics` carries out what they want of topics; `socket` moves a client's bytes, and never blocks; `listener` accepts; `options` reads the
//! command line. The crate `wasocket-host-core` makes the decisions, as it does for the runner.
//!
//! A trap in the handler is a trap in this component: it ends the server. See `docs/targets/server.md`.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;
// The allocator and the panic handler.
#[cfg(target_family = "wasm")]
extern crate wasocket;

#[cfg(target_family = "wasm")]
mod client;
#[cfg(target_family = "wasm")]
mod context;
#[cfg(target_family = "wasm")]
mod handler;
#[cfg(target_family = "wasm")]
mod listener;
#[cfg(target_family = "wasm")]
mod log;
#[cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "used where there is WASI, tested everywhere")
)]
mod options;
#[cfg(target_family = "wasm")]
mod run;
#[cfg(target_family = "wasm")]
mod server;
#[cfg(target_family = "wasm")]
mod socket;
#[cfg(target_family = "wasm")]
mod time;
#[cfg(target_family = "wasm")]
mod topics;
