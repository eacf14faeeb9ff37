//! The wire layout of frames (RFC 6455 §5.2), but not what they mean in sequence.

mod header;
mod mask;
mod masking_keys;
mod opcode;

pub use header::{Decoded, Expected, Header, MAX_CONTROL_PAYLOAD};
pub use mask::apply_mask;
pub use masking_keys::MaskingKeys;
pub use opcode::Opcode;
