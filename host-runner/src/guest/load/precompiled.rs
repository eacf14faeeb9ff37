//! Precompiled components: a component's machine code in a file that loads in milliseconds.
//!
//! ```text
//!   16 bytes   magic number
//!   32 bytes   SHA-256 of the rest
//!   the rest   the component, joined with the protocol, as compiled by wasmtime
//! ```
//!
//! Machine code runs unchecked: no check could tell what it will do. The digest detects damage, not malice; wasmtime
//! detects code of another version or for another machine. Beyond that, security rests on who may write the file, and
//! on the operator, who has to allow such files.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::guest::load::cache;
use crate::guest::load::component::Component as Loaded;
use crate::guest::load::error::LoadError;

/// The magic number: neither WebAssembly nor an executable.
const MAGIC: &[u8; 16] = b"\x7fwasocket-code\0\x01";

/// Writes the machine code of a component to a file. Returns its length in bytes.
///
/// # Errors
///
/// If wasmtime cannot serialize the component, or the file cannot be written.
pub fn write(component: &Loaded, file: &Path) -> Result<usize, WriteError> {
    let code = component.instance_pre.component().serialize();
    let contents = pack(&code.map_err(WriteError::Engine)?);
    cache::put(file, &contents, 0o644).map_err(WriteError::File)?;
    Ok(contents.len())
}

/// Why a precompiled component cannot be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// wasmtime cannot serialize it.
    Engine(wasmtime::Error),
    /// The file cannot be written.
    File(io::Error),
}

/// The contents of the file.
fn pack(code: &[u8]) -> Vec<u8> {
    let digest = digest(&SHA256, code);
    [MAGIC, digest.as_ref(), code].concat()
}

/// Whether a file is a precompiled component.
pub(crate) fn is_compiled(file: &[u8]) -> bool {
    file.starts_with(MAGIC)
}

/// Loads the component in such a file. `metadata` is that of the file.
///
/// # Errors
///
/// If others could have written it, it is damaged, or this engine cannot run it.
pub(crate) fn unpack(
    engine: &Engine,
    file: &[u8],
    metadata: &Metadata,
) -> Result<Component, LoadError> {
    if !is_trustworthy(metadata) {
        return Err(LoadError::CodeOfOthers);
    }
    let rest = file.get(MAGIC.len()..).unwrap_or_default();
    let (expected, code) = rest
        .split_at_checked(SHA256_OUTPUT_LEN)
        .ok_or(LoadError::CodeDamaged)?;
    if digest(&SHA256, code).as_ref() != expected {
        return Err(LoadError::CodeDamaged);
    }
    cache::deserialize(engine, code).map_err(LoadError::CodeOfOtherKind)
}

/// Whether a file belongs to the user or root, and no one else may write it. Both can do all that this process can.
fn is_trustworthy(metadata: &Metadata) -> bool {
    let owners = [0, rustix::process::geteuid().as_raw()];
    owners.contains(&metadata.uid()) && metadata.mode() & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use wasmtime::Config;

    use crate::guest::engine;

    use super::*;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    /// Metadata of a file with this mode.
    fn metadata(mode: u32) -> io::Result<Metadata> {
        let name = format!("wasocket-compiled-{}-{mode:o}", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, "")?;
        fs::set_permissions(&file, Permissions::from_mode(mode))?;
        let metadata = fs::metadata(&file)?;
        fs::remove_file(file)?;
        Ok(metadata)
    }

    #[test]
    fn loads_what_was_written_unless_damaged() -> wasmtime::Result<()> {
        let (engine, own) = (engine::engine()?, metadata(0o644)?);
        let file = pack(&Component::from_binary(&engine, EMPTY)?.serialize()?);
        assert!(is_compiled(&file) && !is_compiled(EMPTY));
        assert!(unpack(&engine, &file, &own).is_ok());
        for length in [MAGIC.len(), MAGIC.len() + 31, file.len() - 1] {
            let damaged = unpack(&engine, &file[..length], &own);
            assert!(matches!(damaged, Err(LoadError::CodeDamaged)), "{length}");
        }
        for place in [MAGIC.len(), MAGIC.len() + 40, file.len() - 1] {
            let mut damaged = file.clone();
            damaged[place] ^= 1;
            let damaged = unpack(&engine, &damaged, &own);
            assert!(matches!(damaged, Err(LoadError::CodeDamaged)), "{place}");
        }
        Ok(())
    }

    #[test]
    fn a_file_writable_by_others_is_refused() -> wasmtime::Result<()> {
        let engine = engine::engine()?;
        let file = pack(&Component::from_binary(&engine, EMPTY)?.serialize()?);
        for mode in [0o664, 0o646] {
            let refused = unpack(&engine, &file, &metadata(mode)?);
            assert!(matches!(refused, Err(LoadError::CodeOfOthers)), "{mode:o}");
        }
        Ok(())
    }

    #[test]
    fn code_of_another_engine_is_refused() -> wasmtime::Result<()> {
        let engine = engine::engine()?;
        let other = Engine::new(Config::new().epoch_interruption(false))?;
        let file = pack(&Component::from_binary(&other, EMPTY)?.serialize()?);
        let refused = unpack(&engine, &file, &metadata(0o644)?);
        let Err(LoadError::CodeOfOtherKind(_)) = &refused else {
            return Err(wasmtime::format_err!("it is taken"));
        };
        let text = refused.map(|_| ()).map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.contains("`wasocket compile`")));
        // Not machine code, with a correct digest.
        let refused = unpack(&engine, &pack(b"ELF"), &metadata(0o644)?);
        assert!(matches!(refused, Err(LoadError::CodeOfOtherKind(_))));
        Ok(())
    }
}
