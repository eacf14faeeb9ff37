//! The tools of the languages: whether they are installed, and how to install them.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A tool that is missing or unsuitable, and how to install it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    what: &'static str,
    how: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, how } = self;
        write!(f, "{what} is missing. To install it: {how}")
    }
}

const CARGO: Missing = Missing {
    what: "cargo",
    how: "rustup, from https://rustup.rs",
};

const TARGET: Missing = Missing {
    what: "the Rust target wasm32-wasip2",
    how: "rustup target add wasm32-wasip2",
};

const NODE: Missing = Missing {
    what: "node, version 20 or later,",
    how: "from https://nodejs.org, or apt-get install nodejs npm, on Debian 13 or later",
};

const NPM: Missing = Missing {
    what: "npm",
    how: "apt-get install npm; a node from https://nodejs.org includes it",
};

const PYTHON: Missing = Missing {
    what: "python3, version 3.10 or later,",
    how: "apt-get install python3 python3-venv",
};

const VENV: Missing = Missing {
    what: "the Python module venv",
    how: "apt-get install python3-venv",
};

const COMPILER: Missing = Missing {
    what: "a C compiler for WebAssembly",
    how: "apt-get install python3-venv, with which `wasocket build` gets one for the project; or put zig on the \
          PATH; or set the environment variable WASI_SDK_PATH to a WASI SDK",
};

const GO: Missing = Missing {
    what: "go, version 1.24 or later,",
    how: "from https://go.dev/dl, or apt-get install golang-go, on Debian 13 or later; or apt-get \
          install python3-venv, with which `wasocket build` gets one for the project",
};

/// Checks for Cargo and the target of components.
pub(super) fn cargo(project: &Path) -> Result<(), Missing> {
    output(project, "cargo", &["--version"]).ok_or(CARGO)?;
    let arguments = ["--print", "target-libdir", "--target", "wasm32-wasip2"];
    let libraries = output(project, "rustc", &arguments).ok_or(TARGET)?;
    let libraries = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
    if Path::new(&libraries).exists() {
        Ok(())
    } else {
        Err(TARGET)
    }
}

/// Checks for Node and npm.
pub(super) fn node(project: &Path) -> Result<(), Missing> {
    let is_new = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";
    output(project, "node", &["--eval", is_new]).ok_or(NODE)?;
    output(project, "npm", &["--version"]).ok_or(NPM)?;
    Ok(())
}

/// Checks for Python, and the modules that make environments with pip.
pub(super) fn python(project: &Path) -> Result<(), Missing> {
    let is_new = "import sys; sys.exit(sys.version_info < (3, 10))";
    output(project, "python3", &["-c", is_new]).ok_or(PYTHON)?;
    output(project, "python3", &["-c", "import ensurepip, venv"]).ok_or(VENV)?;
    Ok(())
}

/// A compiler from C to WebAssembly.
#[derive(Debug)]
pub(super) enum Compiler {
    /// The clang of a WASI SDK.
    WasiSdk(PathBuf),
    /// `zig` on the PATH.
    Zig,
    /// zig as a Python package, in the project's environment.
    Packaged,
}

/// An installed compiler, or one that can be installed in the project only.
pub(super) fn compiler(project: &Path) -> Result<Compiler, Missing> {
    if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
        return Ok(Compiler::WasiSdk(Path::new(&sdk).join("bin/clang")));
    }
    if output(project, "zig", &["version"]).is_some() {
        return Ok(Compiler::Zig);
    }
    python(project).map_err(|_| COMPILER)?;
    Ok(Compiler::Packaged)
}

/// A compiler from Go to WebAssembly.
#[derive(Debug)]
pub(super) enum Go {
    /// `go` on the PATH.
    Installed,
    /// Go as a Python package, in the project's environment.
    Packaged,
}

/// An installed Go that can export functions, or one that can be installed in the project.
pub(super) fn go(project: &Path) -> Result<Go, Missing> {
    // Run in the project: if it has to, `go` downloads the version that go.mod names.
    let version = output(project, "go", &["env", "GOVERSION"]);
    if version.is_some_and(|version| exports_functions(&String::from_utf8_lossy(&version.stdout))) {
        return Ok(Go::Installed);
    }
    python(project).map_err(|_| GO)?;
    Ok(Go::Packaged)
}

/// Whether `go1.24.4` or the like is new enough: 1.24 was the first with `go:wasmexport`.
fn exports_functions(version: &str) -> bool {
    let minor = version.trim().strip_prefix("go1.").map(|minor| {
        let end = minor.find(|c: char| !c.is_ascii_digit());
        minor.split_at(end.unwrap_or(minor.len())).0
    });
    minor
        .and_then(|minor| minor.parse().ok())
        .is_some_and(|minor: u32| minor >= 24)
}

/// The output of a program; `None` if it is missing or fails.
fn output(project: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(project)
        .stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => Some(output),
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!("cannot run {program}: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go() {
        for new in ["go1.24\n", "go1.27.3", "go1.30rc1"] {
            assert!(exports_functions(new), "{new}");
        }
        for other in ["go1.23.9", "go1.9", "", "devel"] {
            assert!(!exports_functions(other), "{other}");
        }
    }
}
