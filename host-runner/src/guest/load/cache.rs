//! A cache of compiled components: a JavaScript engine takes seconds to compile.
//!
//! Compiled components are machine code that runs unchecked. So a file is used only if it is the user's own, no one else
//! could have written it, and it is undamaged. Its name is a digest of the component and of everything else that its
//! compilation depends on. What has another name in the folder belongs to others.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use rustix::fs::OFlags;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::guest::load::{machine_code, whole_file};

/// The number of components to keep. Those of JavaScript and Python have 30 MB each.
const KEPT: usize = 8;

/// How long after its creation an unfinished file is locked for certain.
const LOCKED_BY: Duration = Duration::from_secs(60);

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
            tracing::warn!(
                "could not cache the compiled component, so the next start compiles it again: {error:#} ({})",
                self.folder.display()
            );
        }
        Ok(component)
    }

    fn keep(&self, file: &Path, component: &Component) -> wasmtime::Result<()> {
        whole_file::replace(file, &machine_code::pack(&component.serialize()?), 0o600)?;
        Ok(self.forget()?)
    }

    /// Removes the least recently used of its own files, and the unfinished ones that no process is writing.
    fn forget(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for file in fs::read_dir(&self.folder)?.filter_map(Result::ok) {
            let (path, name) = (file.path(), file.file_name());
            let name = name.to_str().unwrap_or_default();
            if whole_file::name_of_unfinished(name).is_some_and(is_name) {
                remove_if_abandoned(&path);
            } else if is_name(name)
                && let Ok(metadata) = file.metadata()
                && let Ok(modified) = metadata.modified()
            {
                files.push((modified, path));
            }
        }
        files.sort();
        let too_many = files.len().saturating_sub(KEPT);
        for (_, file) in files.iter().take(too_many) {
            // Another process may have removed it.
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}

/// Removes an unfinished file, unless the process that is writing it is alive and has it locked, or is about to.
fn remove_if_abandoned(file: &Path) {
    let is_abandoned = |open: File| {
        let age = open.metadata()?.modified()?.elapsed().unwrap_or_default();
        io::Result::Ok(age > LOCKED_BY && open.try_lock().is_ok())
    };
    if File::open(file).and_then(is_abandoned).unwrap_or(false) {
        // Another process may have removed it.
        let _ = fs::remove_file(file);
    }
}

/// Whether a file with this name is one of a cache.
fn is_name(name: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 2 * SHA256_OUTPUT_LEN && name.bytes().all(is_digit)
}

/// The component in a file, if the file exists and can be trusted.
fn take(engine: &Engine, file: &Path) -> Option<Component> {
    let mut options = File::options();
    // Opening a pipe would wait for a writer otherwise.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).ok()?;
    let mut file = options.read(true).custom_flags(flags).open(file).ok()?;
    check_owner(&file.metadata().ok()?).ok()?;
    let mut contents = Vec::new();
    file.read_to_end(&mut contents).ok()?;
    let component = machine_code::deserialize(engine, machine_code::unpack(&contents)?).ok()?;
    // Marks it as recently used.
    let _ = file.set_modified(SystemTime::now());
    Some(component)
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
    use std::process;

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
            // Nor one that is not whole, nor anything else that has its name.
            let whole = fs::read(file)?;
            for damaged in [&whole[..whole.len() - 1], &whole[..10], b"broken", b""] {
                fs::write(file, damaged)?;
                assert!(take(&engine, file).is_none());
            }
            fs::rename(file, folder.join("elsewhere"))?;
            std::os::unix::fs::symlink(folder.join("elsewhere"), file)?;
            assert!(take(&engine, file).is_none());
            fs::remove_file(folder.join("elsewhere"))?;
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
        let own = |number: usize| folder.join(format!("{number:064x}"));
        for number in 0..KEPT + 3 {
            let file = File::create(own(number))?;
            let age = Duration::from_secs(100 - number as u64);
            file.set_modified(SystemTime::now() - age)?;
        }
        cache.forget()?;
        assert_eq!(files(&folder)?.len(), KEPT);
        assert!(!own(2).exists() && own(3).exists());
        fs::remove_dir_all(folder)
    }

    #[test]
    fn removes_nothing_that_is_not_its_own() -> io::Result<()> {
        let folder = folder("others");
        let cache = Cache::in_folder(folder.clone())?;
        let name = "a".repeat(64);
        let long_ago = SystemTime::UNIX_EPOCH;
        let others: Vec<PathBuf> = (0..KEPT)
            .map(|number| format!("other-{number}"))
            .chain([
                format!("{name}.1234"),
                "a.unfinished-0123456789abcdef".into(),
            ])
            .map(|name| folder.join(name))
            .collect();
        for file in &others {
            File::create(file)?.set_modified(long_ago)?;
        }
        fs::create_dir(folder.join("folder"))?;
        let unfinished = |end: &str| folder.join(format!("{name}.unfinished-{end:0>16}"));
        let [new, busy, abandoned] = ["1", "2", "3"].map(unfinished);
        File::create(&new)?;
        let writing = File::create(&busy)?;
        writing.lock()?;
        writing.set_modified(long_ago)?;
        File::create(&abandoned)?.set_modified(long_ago)?;
        for number in 0..=KEPT {
            File::create(folder.join(format!("{number:064x}")))?;
        }
        cache.forget()?;
        assert!(others.iter().all(|file| file.exists()));
        assert!(folder.join("folder").exists());
        assert!(new.exists() && busy.exists() && !abandoned.exists());
        assert_eq!(files(&folder)?.len(), others.len() + 3 + KEPT);
        fs::remove_dir_all(folder)
    }

    /// The same component, in as many processes as there are threads here.
    #[test]
    fn many_may_write_at_once() -> wasmtime::Result<()> {
        let (folder, engine) = (folder("at-once"), engine::engine()?);
        let cache = Cache::in_folder(folder.clone())?;
        let compile = || Component::from_binary(&engine, EMPTY);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| cache.keep(&folder.join("b".repeat(64)), &compile()?)))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| wasmtime::format_err!("panic"))?)
        })?;
        let kept = files(&folder)?;
        assert_eq!(kept.len(), 1);
        assert!(kept.iter().all(|file| take(&engine, file).is_some()));
        Ok(fs::remove_dir_all(folder)?)
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
