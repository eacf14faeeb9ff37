//! Precompiled components: a component's machine code in a file that loads in milliseconds.
//!
//! Security rests on who may write the file, and on the operator, who has to allow such files.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::guest::load::component::Component as Loaded;
use crate::guest::load::error::LoadError;
use crate::guest::load::{machine_code, whole_file};

/// Writes the machine code of a component to a file. Returns its length in bytes.
///
/// # Errors
///
/// If wasmtime cannot serialize the component, or the file cannot be written.
pub fn write(component: &Loaded, file: &Path) -> Result<usize, WriteError> {
    let code = component.instance_pre.component().serialize();
    let contents = machine_code::pack(&code.map_err(WriteError::Engine)?);
    whole_file::write(file, &contents, 0o644).map_err(WriteError::File)?;
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
    let code = machine_code::unpack(file).ok_or(LoadError::CodeDamaged)?;
    machine_code::deserialize(engine, code).map_err(LoadError::CodeOfOtherKind)
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
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use wasmtime::Config;

    use crate::guest::engine;
    use crate::guest::load::machine_code::pack;

    use super::*;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    /// Metadata of a file with this mode.
    fn metadata(mode: u32) -> io::Result<Metadata> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("wasocket-compiled-{}-{number}", std::process::id());
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
        assert!(unpack(&engine, &file, &own).is_ok());
        let damaged = unpack(&engine, &file[..file.len() - 1], &own);
        assert!(matches!(damaged, Err(LoadError::CodeDamaged)));
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
