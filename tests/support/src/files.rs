//! Folders that tests write to, and the files they share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::root;

/// The same command with a disk of this number of KiB at `folder`, which the command alone sees; `None`, with a message,
/// where that is not allowed.
pub fn with_small_disk(command: &Command, folder: &Path, kib: usize) -> Option<Command> {
    const MOUNT: &str = r#"mount -t tmpfs -o "size=$0k" tmpfs "$1" && shift && exec "$@""#;
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount"]);
        unshare
    };
    if !unshare()
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("skipped: no namespaces for this user (unshare(1))");
        return None;
    }
    let mut wrapped = unshare();
    wrapped
        .args(["sh", "-c", MOUNT, &kib.to_string()])
        .arg(folder)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    Some(wrapped)
}

/// Makes an empty folder for a test in the system's folder for temporary files. Its path is short enough for that
/// of a socket, and differs between processes.
pub fn temporary_folder(test: &str) -> PathBuf {
    let name = format!("wasocket-{}-{test}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a new folder");
    folder
}

/// Makes an empty folder for a test in `target/tests`, where its files remain to be looked at.
pub fn target_folder(test: &str) -> PathBuf {
    let folder = root().join("target/tests").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("target is writable");
    folder
}

/// A file of `tests/support/tls`: `certificate.pem` or `key.pem`, for localhost.
pub fn tls_file(name: &str) -> PathBuf {
    root().join("tests/support/tls").join(name)
}
