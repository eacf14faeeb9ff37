//! The client's side of the protocol as a component of the world `client`.
#![cfg_attr(target_family = "wasm", no_std)]

wasocket::export_client!();
