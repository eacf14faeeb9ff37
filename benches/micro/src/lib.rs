//! What the parts of the protocol take: see `benches/protocol.rs`.
