use core::fmt;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The masking keys of one client connection: fresh and unpredictable for every frame, so that an app that
/// chooses the payload cannot choose the bytes on the wire (RFC 6455 §5.3, §10.3).
///
/// A cryptographic generator seeded once; nothing here reads randomness from a system.
pub struct MaskingKeys(ChaCha12Rng);

impl MaskingKeys {
    /// Keys from a seed, which must come from a secure source and serve one connection only.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// The key of the next frame.
    pub(crate) fn next(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}

impl fmt::Debug for MaskingKeys {
    /// Shows nothing, since the state reveals all keys to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskingKeys(..)")
    }
}
