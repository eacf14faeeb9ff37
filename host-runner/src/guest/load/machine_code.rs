//! Files of machine code, which wasmtime compiled before.
//!
//! ```text
//!   16 bytes   magic number
//!   32 bytes   SHA-256 of the rest
//!   the rest   the component, joined with the protocol, as compiled by wasmtime
//! ```
//!
//! Machine code runs unchecked: no check could tell what it will do. The digest detects damage, not malice; wasmtime
//! detects code of another version or for another machine. Who may have written a file is up to its user to check.

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The magic number: neither WebAssembly nor an executable.
const MAGIC: &[u8; 16] = b"\x7fwasocket-code\0\x01";

/// The contents of a file with this code.
pub(crate) fn pack(code: &[u8]) -> Vec<u8> {
    let digest = digest(&SHA256, code);
    [MAGIC, digest.as_ref(), code].concat()
}

/// Whether a file is one of machine code.
pub(crate) fn is_packed(file: &[u8]) -> bool {
    file.starts_with(MAGIC)
}

/// The code in a file, if it is whole.
pub(crate) fn unpack(file: &[u8]) -> Option<&[u8]> {
    let rest = file.strip_prefix(MAGIC)?;
    let (expected, code) = rest.split_at_checked(SHA256_OUTPUT_LEN)?;
    (digest(&SHA256, code).as_ref() == expected).then_some(code)
}

/// The component of code whose origin has been checked. wasmtime itself refuses code of another version or with another
/// configuration.
#[allow(
    unsafe_code,
    reason = "whoever could write the file, as all callers check, can do all that this process can"
)]
pub(crate) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: these bytes come from `Component::serialize` in this program, and are undamaged.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_shows() {
        let file = pack(b"code");
        assert!(is_packed(&file) && !is_packed(b"\0asm\x0d\0\x01\0"));
        assert_eq!(unpack(&file), Some(&b"code"[..]));
        for length in 0..file.len() {
            assert_eq!(unpack(&file[..length]), None, "{length}");
        }
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 1;
            assert_eq!(unpack(&damaged), None, "{place}");
        }
    }
}
