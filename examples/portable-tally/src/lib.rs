//! Counts the messages of each connection, in two versions. The second one also counts their bytes, so it keeps more in
//! the state, and continues connections that the first one began. The same app as `languages/python/tally_*.py`.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p portable-tally
//! cp target/wasm32-wasip2/release/portable_tally.wasm tally.wasm
//! wasocket serve tally.wasm --watch                      # and connect to it
//! cargo build --release --target wasm32-wasip2 -p portable-tally --features v2
//! cp target/wasm32-wasip2/release/portable_tally.wasm tally.wasm
//! ```
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

#[cfg(not(feature = "v2"))]
mod v1;
#[cfg(feature = "v2")]
mod v2;
