//! An app behind a proxy that speaks GRIP (Pushpin, Fastly Fanout), as a component of `wasi:http`: it imports
//! the app that it serves. `wasocket::grip` makes all decisions; this crate does the I/O.
#![cfg_attr(target_family = "wasm", no_std)]

#[cfg(target_family = "wasm")]
extern crate alloc;

#[cfg(target_family = "wasm")]
mod log;
#[cfg(target_family = "wasm")]
mod publish;
#[cfg(target_family = "wasm")]
mod serve;
