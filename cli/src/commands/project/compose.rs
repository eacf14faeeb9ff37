//! The command `compose`: turns a component into what a target needs.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use super::package::{PackageError, transpile};
use crate::commands::project::args::Compose;
use wasocket_host::guest::compose::{self, ComposeError, Target};
use wasocket_host::guest::load::whole_file;

/// Composes a component for a target.
///
/// # Errors
///
/// See [`ComposeFileError`].
pub fn compose(options: &Compose) -> Result<(), ComposeFileError> {
    let Compose {
        component,
        target,
        output,
    } = options;
    let output = output
        .clone()
        .unwrap_or_else(|| default_output(component, target.0));
    compose_file(component, target.0, &output)
}

/// The default output: `app-server.wasm` of `app.wasm` for the target `server`; for `node`, the folder `app-node`.
pub(super) fn default_output(component: &Path, target: Target) -> PathBuf {
    let stem = component.file_stem().unwrap_or_default();
    let mut name = stem.to_os_string();
    name.push(format!("-{}", target.name()));
    if !target.is_folder() {
        name.push(".wasm");
    }
    component.with_file_name(name)
}

pub(super) fn compose_file(
    component: &Path,
    target: Target,
    output: &Path,
) -> Result<(), ComposeFileError> {
    let bytes = fs::read(component)
        .map_err(|error| ComposeFileError::Read(component.to_path_buf(), error))?;
    let composed = compose::compose(&bytes, target)
        .map_err(|error| ComposeFileError::Compose(component.to_path_buf(), error))?;
    let write = |file: &Path| {
        whole_file::write(file, &composed, 0o666)
            .map_err(|error| ComposeFileError::Write(file.into(), error))
    };
    if !target.is_folder() {
        write(output)?;
        super::say_size(output, composed.len());
        return Ok(());
    }
    // Next to the folder, which does not exist yet; with a name that no one else uses.
    let handed_over = output.with_extension(format!("{}.wasm", process::id()));
    write(&handed_over)?;
    let made = transpile(&handed_over, target.name(), output);
    // The result is complete; at worst a superfluous file is left.
    let _ = fs::remove_file(&handed_over);
    made.map_err(ComposeFileError::Transpile)
}

/// Why a component could not be composed for a target.
#[derive(Debug)]
#[non_exhaustive]
pub enum ComposeFileError {
    /// The component cannot be read.
    Read(PathBuf, io::Error),
    /// It does not fit the target.
    Compose(PathBuf, ComposeError),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
    /// It could not be transpiled to JavaScript.
    Transpile(PackageError),
}

impl fmt::Display for ComposeFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Self::Compose(file, error) => {
                write!(f, "cannot compose {}: {error}", file.display())
            }
            Self::Write(file, error) => write!(f, "cannot write {}: {error}", file.display()),
            Self::Transpile(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ComposeFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) | Self::Write(_, error) => Some(error),
            Self::Compose(_, error) => Some(error),
            Self::Transpile(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_next_to_the_component() {
        let output = default_output(Path::new("a/app.wasm"), Target::Handler);
        assert_eq!(output, Path::new("a/app-handler.wasm"));
        let output = default_output(Path::new("a/app.wasm"), Target::Node);
        assert_eq!(output, Path::new("a/app-node"));
    }
}
