//! Waiting for something outside the instance that is not its own socket: HTTP backends and TCP servers.
//!
//! A component asks the host whether something is ready. If the host says no, it later wakes the connection in whose
//! call it was asked (`websocket-handler.wit`, `wake`). See `docs/design/outside.md`.

#[cfg(feature = "http")]
pub mod http;
#[cfg(target_family = "wasm")]
mod pollable;
#[cfg(feature = "tcp")]
pub mod tcp;
