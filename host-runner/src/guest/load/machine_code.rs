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

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The magic number: neither WebAssembly nor an executable.
const MAGIC: &[u8; 16] = b"\x7fwasocket-code\0\x01";

/// Between the name of a file and the random end of the name of its unfinished copies.
const UNFINISHED: &str = ".unfinished-";

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

/// Writes a copy next to the file and renames it, so that no one ever sees half a file. The copy is locked while it is
/// being written, and its name is no one else's.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn write(file: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let own = unfinished(file)?;
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode);
    let mut copy = options.open(&own)?;
    let written = copy
        .lock()
        .and_then(|()| copy.write_all(contents))
        .and_then(|()| fs::rename(&own, file));
    if written.is_err() {
        // Ours, since it did not exist before. It may be gone.
        let _ = fs::remove_file(&own);
    }
    written
}

fn unfinished(file: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut name = OsString::from(file.file_name().unwrap_or_default());
    name.push(format!("{UNFINISHED}{:016x}", u64::from_ne_bytes(random)));
    Ok(file.with_file_name(name))
}

/// The name of the file that an unfinished copy with this name was to become.
pub(crate) fn name_of_unfinished(copy: &str) -> Option<&str> {
    let (name, random) = copy.split_once(UNFINISHED)?;
    let is_random = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_random.then_some(name)
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

    #[test]
    fn a_failed_write_removes_only_its_own_copy() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("wasocket-write-{}", std::process::id()));
        // A file cannot replace a folder.
        fs::create_dir_all(folder.join("file/within"))?;
        let other = unfinished(&folder.join("file"))?;
        fs::write(&other, "of another process")?;
        assert!(write(&folder.join("file"), b"x", 0o600).is_err());
        assert_eq!(fs::read(&other)?, b"of another process");
        assert_eq!(fs::read_dir(&folder)?.count(), 2);
        fs::remove_dir_all(folder)
    }
}
