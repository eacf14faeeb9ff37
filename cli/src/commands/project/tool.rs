//! The tools of the languages: whether they are there, and what installs them.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A tool that is not there, or not as it has to be, and how it gets there.
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
    what: "Rust's target wasm32-wasip2",
    how: "rustup target add wasm32-wasip2",
};

const NODE: Missing = Missing {
    what: "node, of version 20 or later,",
    how: "from https://nodejs.org, or apt-get install nodejs npm, where that is of Debian 13 or later",
};

const NPM: Missing = Missing {
    what: "npm",
    how: "apt-get install npm; where node is from https://nodejs.org, it is part of it",
};

const PYTHON: Missing = Missing {
    what: "python3, of version 3.10 or later,",
    how: "apt-get install python3 python3-venv",
};

const VENV: Missing = Missing {
    what: "Python's module venv",
    how: "apt-get install python3-venv",
};

const COMPILER: Missing = Missing {
    what: "a C compiler for WebAssembly",
    how: "apt-get install python3-venv, by which `wasocket build` gets one for the project; or put zig on the \
          PATH; or have the environment variable WASI_SDK_PATH name a WASI SDK",
};

const GO: Missing = Missing {
    what: "go, of version 1.24 or later,",
    how: "from https://go.dev/dl, or apt-get install golang-go, where that is of Debian 13 or later; or apt-get \
          install python3-venv, by which `wasocket build` gets one for the project",
};

/// Cargo, and the target of components.
pub(super) fn cargo(project: &Path) -> Result<(), Missing> {
    output(project, "cargo", &["--version"]).ok_or(CARGO)?;
    let arguments = ["--print", "target-libdir", "--target", "wasm32-wasip2"];
    let libraries = output(project, "rustc", &arguments).ok_or(TARGET)?;
    let libraries = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
    match Path::new(&libraries).exists() {
        true => Ok(()),
        false => Err(TARGET),
    }
}

/// Node, and npm.
pub(super) fn node(project: &Path) -> Result<(), Missing> {
    let is_new = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";
    output(project, "node", &["--eval", is_new]).ok_or(NODE)?;
    output(project, "npm", &["--version"]).ok_or(NPM)?;
    Ok(())
}

/// Python, and what makes environments with pip in them.
pub(super) fn python(project: &Path) -> Result<(), Missing> {
    let is_new = "import sys; sys.exit(sys.version_info < (3, 10))";
    output(project, "python3", &["-c", is_new]).ok_or(PYTHON)?;
    output(project, "python3", &["-c", "import ensurepip, venv"]).ok_or(VENV)?;
    Ok(())
}

/// What compiles C to WebAssembly.
#[derive(Debug)]
pub(super) enum Compiler {
    /// The clang of a WASI SDK.
    WasiSdk(PathBuf),
    /// `zig` on the PATH.
    Zig,
    /// zig as a package of Python's, in the project's environment.
    Packaged,
}

/// A compiler that is there, or that can be had without installing anything but for the project.
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

/// What compiles Go to WebAssembly.
#[derive(Debug)]
pub(super) enum Go {
    /// `go` on the PATH.
    Installed,
    /// Go as a package of Python's, in the project's environment.
    Packaged,
}

/// A toolchain of Go that can export functions, or one that can be had for the project.
pub(super) fn go(project: &Path) -> Result<Go, Missing> {
    // Asked in the project: where it has to, `go` gets the version that go.mod names.
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

/// What a program prints; none if it is not there, or fails.
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
            tracing::warn!("{program} does not run: {error}");
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
