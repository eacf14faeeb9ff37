//! The app served when no component is given: `examples/echo`, embedded.

/// The component, as `build.rs` built it.
pub const DEFAULT_APP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/echo.wasm"));
