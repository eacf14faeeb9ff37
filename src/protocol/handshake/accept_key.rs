use alloc::string::String;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Accepts non-zero trailing bits: RFC 4648 §3.5 leaves that open, and clients in use send them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 §4.2.2, item 5.4).
///
/// ```
/// // The example of RFC 6455 §1.3.
/// let accept = wasocket::accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    BASE64.encode(digest)
}

/// Whether a `Sec-WebSocket-Key` is the base64 of 16 bytes (RFC 6455 §4.2.1, item 5).
pub(super) fn is_valid_key(key: &[u8]) -> bool {
    // One byte too many, so that a longer key is noticed.
    let mut nonce = [0; 18];
    BASE64.decode_slice(key, &mut nonce) == Ok(16)
}

#[cfg(test)]
mod tests {
    use super::is_valid_key;

    #[test]
    fn keys() {
        for valid in ["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAB=="] {
            assert!(is_valid_key(valid.as_bytes()), "{valid}");
        }
        for invalid in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ== ",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "dGhlIHNhbXBsZSBub25jZTEy",
            "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
            "dGhl_HNhbXBsZSBub25jZQ==",
            "ZGhlIHNhbXBsZSBub25jZSBkaGUgc2FtcGxlIG5vbmNl",
        ] {
            assert!(!is_valid_key(invalid.as_bytes()), "{invalid}");
        }
    }
}
