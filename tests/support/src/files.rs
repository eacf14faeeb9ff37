//! Folders that tests write to, and the files they share.

use std::fs;
use std::path::PathBuf;

use crate::root;

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
