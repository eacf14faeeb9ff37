//! Files that are written as a whole or not at all: a full disk leaves what was there before.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};

/// Between the name of a file and the random end of the name of its unfinished copies.
const UNFINISHED: &str = ".unfinished-";

/// Writes a file, so that no one ever sees half of it, and nothing of it is left if that fails. Links are followed. What is
/// no regular file, such as a pipe, is not replaced but written to.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(file: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    // A new file has none, nor has a link that leads nowhere.
    let target = fs::canonicalize(file);
    let file = target.as_deref().unwrap_or(file);
    let is_regular = match fs::metadata(file) {
        Ok(metadata) => metadata.is_file(),
        // Whatever else is wrong will show again.
        Err(_) => true,
    };
    if is_regular {
        return replace(file, contents, mode);
    }
    open_special(file)?.write_all(contents)
}

/// Opens a device or a pipe. A pipe without a reader would be waited for otherwise.
fn open_special(file: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let mut options = File::options();
    let file = options.write(true).custom_flags(flags).open(file)?;
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Writes a copy next to the file and renames it. The copy is locked while it is being written, and its name is no one
/// else's.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn replace(file: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
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
    fn a_failed_write_removes_only_its_own_copy() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("wasocket-write-{}", std::process::id()));
        // A file cannot replace a folder.
        fs::create_dir_all(folder.join("file/within"))?;
        let other = unfinished(&folder.join("file"))?;
        fs::write(&other, "of another process")?;
        assert!(replace(&folder.join("file"), b"x", 0o600).is_err());
        assert_eq!(fs::read(&other)?, b"of another process");
        assert_eq!(fs::read_dir(&folder)?.count(), 2);
        fs::remove_dir_all(folder)
    }

    #[test]
    fn a_link_stays_one() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("wasocket-link-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let (link, target) = (folder.join("link"), folder.join("target"));
        fs::write(&target, "before")?;
        std::os::unix::fs::symlink("target", &link)?;
        write(&link, b"after", 0o600)?;
        assert_eq!(fs::read(&target)?, b"after");
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        fs::remove_dir_all(folder)
    }

    #[test]
    fn a_device_is_written_to() {
        let full = Path::new("/dev/full");
        let error = write(full, b"x", 0o600).expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(fs::metadata(full).is_ok_and(|metadata| !metadata.is_file()));
    }
}
