//! JavaScript targets: folders that the npm package makes from a component. The package is embedded here, and unpacked
//! next to the cache, with its dependencies from npm.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use ring::digest::{Context, SHA256};

use super::say;
use super::tool::{self, Missing};
use wasocket_host::guest::load::cache::folder_of_user;

/// The files of `npm/`, as `build.rs` found them: paths and contents.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/npm.rs"));

/// Makes a folder for a target.
///
/// # Errors
///
/// See [`PackageError`].
pub(super) fn transpile(component: &Path, target: &str, output: &Path) -> Result<(), PackageError> {
    tool::node(Path::new("."))?;
    let package = unpacked()?;
    let mut node = Command::new("node");
    node.arg(package.join("transpile.js"))
        .arg(component)
        .args(["--target", target, "--output"])
        .arg(output);
    run(&mut node, "node")
}

/// The folder of the package with its dependencies. Unpacks it the first time.
fn unpacked() -> Result<PathBuf, PackageError> {
    let folder = folder_of_user().ok_or(PackageError::NoHome)?.join(name());
    fs::create_dir_all(&folder).map_err(PackageError::System)?;
    // Held until this function returns, so that another process waits and then finds everything there.
    let lock = File::create(folder.join("lock")).map_err(PackageError::System)?;
    lock.lock().map_err(PackageError::System)?;
    // npm writes this file last.
    if folder.join("node_modules/.package-lock.json").exists() {
        return Ok(folder);
    }
    for (path, contents) in FILES {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(PackageError::System)?;
        }
        fs::write(file, contents).map_err(PackageError::System)?;
    }
    let install = [
        "install",
        "--omit=dev",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--silent",
    ];
    say(&format!("{}$ npm {}", folder.display(), install.join(" ")));
    run(
        Command::new("npm").args(install).current_dir(&folder),
        "npm",
    )?;
    Ok(folder)
}

/// A name for each version of the package.
fn name() -> String {
    let mut digest = Context::new(&SHA256);
    for (path, contents) in FILES {
        digest.update(path.as_bytes());
        digest.update(&contents.len().to_le_bytes());
        digest.update(contents);
    }
    let digest = digest.finish();
    let start = digest.as_ref().iter().take(8);
    start.fold("npm-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

fn run(command: &mut Command, program: &'static str) -> Result<(), PackageError> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(PackageError::Step(program)),
        Err(error) => Err(PackageError::Start(program, error)),
    }
}

/// Why a folder could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum PackageError {
    /// A tool is missing.
    Missing(Missing),
    /// There is no home directory to unpack the package in.
    NoHome,
    /// This program could not be started.
    Start(&'static str, io::Error),
    /// This program failed, and printed why.
    Step(&'static str),
    /// Another system call failed.
    System(io::Error),
}

impl fmt::Display for PackageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(f),
            Self::NoHome => write!(f, "neither HOME nor XDG_CACHE_HOME is set: set one"),
            Self::Start(program, error) => write!(f, "cannot start {program}: {error}"),
            Self::Step(program) => write!(f, "{program} failed: see above"),
            Self::System(error) => write!(f, "cannot unpack the npm package: {error}"),
        }
    }
}

impl std::error::Error for PackageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(_, error) | Self::System(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Missing> for PackageError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_complete() {
        for needed in [
            "package.json",
            "transpile.js",
            "node/pool.js",
            "templates/node/server.js",
        ] {
            assert!(FILES.iter().any(|(path, _)| *path == needed), "{needed}");
        }
        assert!(!FILES.iter().any(|(path, _)| path.contains("node_modules")));
    }
}
