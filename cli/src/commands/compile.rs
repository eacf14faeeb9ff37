//! The command `compile`: ahead-of-time compilation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use wasocket_host::component::{Grants, LoadError, Loader};
use wasocket_host::engine;
use wasocket_host::guest::load::precompiled::{self, WriteError};

use crate::commands::project::say_size;

pub(crate) const COMPILE_HELP: &str = "\
`wasocket serve` compiles a component itself and caches the result. Use this where there is no cache: in container
images, or on systems without a writable folder. The file is for this version of wasocket and for machines like this
one. It is machine code, which runs unchecked: whoever can change it can do anything the program can.

Examples:
  wasocket compile app.wasm                         app.compiled
  wasocket serve app.compiled --allow-precompiled

Exit codes:
  0    compiled
  1    failed; the reason is on stderr
  2    wrong usage";

/// The extension of such files.
const EXTENSION: &str = "compiled";

/// The options of `wasocket compile`.
#[derive(Clone, Debug, Args)]
pub struct Compile {
    /// The component: an app or a handler, in any language
    pub component: PathBuf,
    /// The file to write [default: next to the component, such as app.compiled]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Compiles a component, as `wasocket serve` would.
///
/// # Errors
///
/// See [`CompileError`].
pub fn compile(options: &Compile) -> Result<(), CompileError> {
    let Compile { component, output } = options;
    let default = || component.with_extension(EXTENSION);
    let output = output.clone().unwrap_or_else(default);
    let loader = Loader {
        // What it may connect to is decided when it is served.
        grants: Grants {
            http: Some(Default::default()),
            ..Grants::default()
        },
        ..Loader::new(&engine::engine().map_err(CompileError::Engine)?)
    };
    let compiled = loader
        .file(component)
        .map_err(|error| CompileError::Load(component.clone(), error))?;
    let bytes = precompiled::write(&compiled, &output).map_err(|error| match error {
        WriteError::File(error) => CompileError::Write(output.clone(), error),
        WriteError::Engine(error) => CompileError::Engine(error),
        error => CompileError::Write(output.clone(), io::Error::other(format!("{error:?}"))),
    })?;
    say_size(&output, bytes);
    Ok(())
}

/// Why a component could not be compiled.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompileError {
    /// wasmtime cannot start, or cannot serialize the component.
    Engine(wasmtime::Error),
    /// This component could not be loaded.
    Load(PathBuf, LoadError),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |file: &Path| file.display().to_string();
        match self {
            Self::Engine(error) => write!(f, "wasmtime failed: {error:#}"),
            Self::Load(file, error) => write!(f, "cannot compile {}: {error}", name(file)),
            Self::Write(file, error) => write!(f, "cannot write {}: {error}", name(file)),
        }
    }
}

impl std::error::Error for CompileError {}
