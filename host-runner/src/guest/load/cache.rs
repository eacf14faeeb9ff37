//! A cache of compiled components: a JavaScript engine takes seconds to compile.
//!
//! Compiled components are machine code that runs unchecked. So a file is used only if it is the user's own and no one
//! else could have written it; its name is a digest of the component and of everything else that its compilation
//! depends on.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, process};

use ring::digest::{Context, SHA256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The number of components to keep. Those of JavaScript and Python have 30 MB each.
const KEPT: usize = 8;

/// `$XDG_CACHE_HOME/wasocket`, or `~/.cache/wasocket`; `None` if there is no home directory.
pub fn folder_of_user() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("wasocket"))
}

/// A folder of compiled components.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's cache, in `$XDG_CACHE_HOME/wasocket` or `~/.cache/wasocket`; `None` if there is no home directory, or
    /// others may write to it.
    pub fn of_user() -> Option<Self> {
        match Self::in_folder(folder_of_user()?) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::debug!("no cache of compiled components: {error}");
                None
            }
        }
    }

    /// A cache in this folder, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be created, or is not the user's own.
    pub fn in_folder(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        check_owner(&fs::metadata(&folder)?)?;
        Ok(Self { folder })
    }

    /// Returns what was compiled from these sources before; otherwise compiles it and keeps it.
    ///
    /// # Errors
    ///
    /// If it does not compile. Failing to keep it is not an error.
    pub fn take_or<E>(
        &self,
        engine: &Engine,
        sources: &[&[u8]],
        compile: impl FnOnce() -> Result<Component, E>,
    ) -> Result<Component, E> {
        let file = self.folder.join(name(engine, sources));
        if let Some(component) = take(engine, &file) {
            return Ok(component);
        }
        let component = compile()?;
        if let Err(error) = self.keep(&file, &component) {
            tracing::debug!("could not cache the compiled component: {error:#}");
        }
        Ok(component)
    }

    fn keep(&self, file: &Path, component: &Component) -> wasmtime::Result<()> {
        put(file, &component.serialize()?, 0o600)?;
        Ok(self.forget()?)
    }

    /// Removes the least recently used files.
    fn forget(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .filter_map(|file| {
                let file = file.ok()?;
                Some((file.metadata().ok()?.modified().ok()?, file.path()))
            })
            .collect();
        files.sort();
        let too_many = files.len().saturating_sub(KEPT);
        files
            .iter()
            .take(too_many)
            .try_for_each(|(_, file)| fs::remove_file(file))
    }
}

/// Writes a temporary file next to it and renames that, so that no one ever sees half a file.
pub(crate) fn put(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let own = file.with_extension(process::id().to_string());
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode);
    let written = options
        .open(&own)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&own, file));
    if written.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&own);
    }
    written
}

/// The component in a file, if the file exists and can be trusted.
fn take(engine: &Engine, file: &Path) -> Option<Component> {
    let mut file = File::open(file).ok()?;
    let metadata = file.metadata().ok()?;
    check_owner(&metadata).ok()?;
    let mut compiled = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
    file.read_to_end(&mut compiled).ok()?;
    // Marks it as recently used.
    let _ = file.set_modified(SystemTime::now());
    deserialize(engine, &compiled).ok()
}

/// wasmtime itself refuses code of another version or with another configuration.
#[allow(
    unsafe_code,
    reason = "the file is the user's own, as both callers check: whoever can write it can do all that this process can"
)]
pub(crate) fn deserialize(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: these bytes come from `Component::serialize` in this program.
    unsafe { Component::deserialize(engine, compiled) }
}

/// Refuses a file that belongs to another user, or that others may write.
fn check_owner(metadata: &fs::Metadata) -> io::Result<()> {
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    if is_own && metadata.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(io::Error::other("others may write to it"))
    }
}

fn name(engine: &Engine, sources: &[&[u8]]) -> String {
    let mut digest = Digest(Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut digest);
    sources.hash(&mut digest);
    let digest = digest.0.finish();
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Hashes with SHA-256.
struct Digest(Context);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Unused: the digest is longer.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::guest::engine;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn folder(test: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("wasocket-cache-{}-{test}", process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect()
    }

    #[test]
    fn compiled_components_are_kept_and_reused() -> wasmtime::Result<()> {
        let (folder, engine) = (folder("kept"), engine::engine()?);
        let cache = Cache::in_folder(folder.clone())?;
        let compile = || Component::from_binary(&engine, EMPTY);
        cache.take_or(&engine, &[EMPTY], compile)?;
        let kept = files(&folder)?;
        assert_eq!(kept.len(), 1);
        assert!(kept.iter().all(|file| take(&engine, file).is_some()));

        // A file that others could have written is not.
        for file in &kept {
            fs::set_permissions(file, fs::Permissions::from_mode(0o666))?;
            assert!(take(&engine, file).is_none());
            fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
            fs::write(file, "broken")?;
            assert!(take(&engine, file).is_none());
        }
        let compile = || Component::from_binary(&engine, EMPTY);
        cache.take_or(&engine, &[EMPTY], compile)?;
        assert!(kept.iter().all(|file| take(&engine, file).is_some()));
        Ok(fs::remove_dir_all(folder)?)
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_used() -> io::Result<()> {
        let folder = folder("shared");
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        assert!(Cache::in_folder(folder.clone()).is_err());
        fs::remove_dir(folder)
    }

    #[test]
    fn removes_the_least_recently_used_first() -> io::Result<()> {
        let folder = folder("many");
        let cache = Cache::in_folder(folder.clone())?;
        for number in 0..KEPT + 3 {
            let file = File::create(folder.join(number.to_string()))?;
            let age = std::time::Duration::from_secs(100 - number as u64);
            file.set_modified(SystemTime::now() - age)?;
        }
        cache.forget()?;
        assert_eq!(files(&folder)?.len(), KEPT);
        assert!(!folder.join("2").exists() && folder.join("3").exists());
        fs::remove_dir_all(folder)
    }

    #[test]
    fn the_name_depends_on_the_component() -> wasmtime::Result<()> {
        let engine = engine::engine()?;
        assert_eq!(name(&engine, &[EMPTY]), name(&engine, &[EMPTY]));
        assert_ne!(name(&engine, &[b"a", b"b"]), name(&engine, &[b"ab"]));
        assert_eq!(name(&engine, &[EMPTY]).len(), 64);
        Ok(())
    }
}
