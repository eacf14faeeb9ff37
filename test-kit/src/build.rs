use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The files that Cargo leaves in every target directory.
const MARKER: &str = ".rustc_info.json";

/// Builds a package of the workspace for `wasm32-wasip2`, optimised, and returns the component's file, for
/// `Kit::component`. Builds into a directory of its own inside the target directory; quick if nothing has changed.
///
/// # Panics
///
/// If it does not build, or the package is not a `cdylib`.
#[must_use]
#[track_caller]
pub fn build(package: &str) -> PathBuf {
    // Cargo would wait for its own lock, but would say so on the terminal.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = target_directory().join("wasocket-test");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2"])
        .args(["--package", package, "--target-dir"])
        .arg(&folder)
        .current_dir(package_directory());
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(_) => panic!(
            "the package {package:?} does not build for wasm32-wasip2 (see above). If the target is \
             missing: rustup target add wasm32-wasip2"
        ),
        Err(error) => panic!("cannot run cargo: {error}"),
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    let component = folder.join("wasm32-wasip2/release").join(file);
    assert!(
        component.exists(),
        "the package {package:?} builds, but not to {}: does it have `crate-type = [\"cdylib\"]`?",
        component.display()
    );
    component
}

/// The directory of the package under test, which Cargo sets for tests.
fn package_directory() -> PathBuf {
    let directory = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    directory.unwrap_or_else(|| PathBuf::from("."))
}

/// The target directory in which the running test was built.
fn target_directory() -> PathBuf {
    let test = env::current_exe().unwrap_or_default();
    let is_target = |directory: &&Path| directory.join(MARKER).exists();
    let directory = test.ancestors().find(is_target).map(Path::to_path_buf);
    directory.unwrap_or_else(|| package_directory().join("target"))
}
