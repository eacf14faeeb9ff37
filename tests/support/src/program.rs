//! The program under test, and the components that it serves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The root of the repository.
pub fn root() -> PathBuf {
    let support = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = support.ancestors().nth(2);
    root.expect("this package is in tests/support").into()
}

/// Builds a component for the tests, with these features of its package.
pub fn build_guest(package: &str, features: &str) -> PathBuf {
    // Cargo writes the same file whatever the features.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = root().join("target/guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2"])
        .args(["-p", package, "--features", features, "--target-dir"])
        .arg(&folder)
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{package} does not build");
    let file = package.replace('-', "_");
    let built = folder.join(format!("wasm32-wasip2/release/{file}.wasm"));
    let kept = folder.join(format!("{package}+{features}.wasm"));
    // Renamed into place: another test may be reading the previous copy.
    let copy = kept.with_extension("new");
    std::fs::copy(&built, &copy).expect("the component is copied");
    std::fs::rename(&copy, &kept).expect("the copy is renamed");
    kept
}

/// The command line under test: this repository's, or that of another host, named by the variable `WASOCKET`.
pub fn wasocket(arguments: &[&str]) -> Command {
    let other = std::env::var_os("WASOCKET");
    // Cargo names the binary to the tests and benches of its package.
    let program = other.or_else(|| std::env::var_os("CARGO_BIN_EXE_wasocket"));
    let mut command = Command::new(program.expect("run by cargo, or WASOCKET is set"));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("XDG_CACHE_HOME", root().join("target/cache"))
        .env("NO_COLOR", "1");
    command
}
