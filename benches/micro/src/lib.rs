//! The costs of the parts of the protocol: see `benches/protocol.rs`.
