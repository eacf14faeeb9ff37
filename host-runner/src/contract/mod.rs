//! The WIT contract in Rust, and the clock that its instants are on.

pub mod bindings;
pub mod clock;
