//! The protocol alone as a component of the world `protocol`: it imports the app that it serves.
#![cfg_attr(target_family = "wasm", no_std)]

wasocket::export_protocol!();
