//! Arguments of `wasocket new`, `build` and `compose`.

use std::path::PathBuf;

use clap::Args;

use super::Language;
use super::new::name;
use super::target::Target;

pub(crate) const NEW_HELP: &str = "\
The project is an app that serves a page at /, and the WebSocket that the page talks to. Its README says which
tools it needs.

Examples:
  wasocket new hello
  wasocket new hello --lang python

Exit codes:
  0    created
  1    failed; the reason is on stderr
  2    wrong usage";

pub(crate) const BUILD_HELP: &str = "\
Runs the tools of the project's language, printing each command, and leaves the component in the project's
folder, as app.wasm. If a tool is missing, the error names the command that installs it. Packages from npm and
pip are installed in the project's folder.

Examples:
  wasocket build
  wasocket build hello

Exit codes:
  0    built
  1    failed; the reason is on stderr
  2    wrong usage";

pub(crate) const COMPOSE_HELP: &str = "\
Joins an app that exports wasocket:websocket/app with the protocol. `wasocket serve` does that by itself; this
command is for other hosts and tools. How to deploy the result is described in docs/targets.

Examples:
  wasocket compose app.wasm                         app-handler.wasm, a component
  wasocket compose app.wasm --target server         app-server.wasm, for wasmtime or jco
  wasocket compose app.wasm --target node           app-node, a folder for node
  wasocket compose app.wasm --output whole.wasm

Exit codes:
  0    composed
  1    failed; the reason is on stderr
  2    wrong usage";

/// The options of `wasocket new`.
#[derive(Clone, Debug, Args)]
pub struct New {
    /// The project's name, which its folder has too; a path may precede it
    #[arg(value_name = "NAME", value_parser = project)]
    pub folder: String,
    /// The language
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub lang: Language,
    /// A checkout of Wasocket's repository, for its Rust crates [default: the one that this program was built
    /// from]
    #[arg(long, value_name = "FOLDER")]
    pub wasocket: Option<PathBuf>,
}

/// The options of `wasocket build`.
#[derive(Clone, Debug, Args)]
pub struct Build {
    /// The folder of the project
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Where it will run: also make what that target needs, next to app.wasm
    #[arg(long, value_enum)]
    pub target: Option<Target>,
}

/// The options of `wasocket compose`.
#[derive(Clone, Debug, Args)]
pub struct Compose {
    /// The component: an app or a handler, in any language
    pub component: PathBuf,
    /// Where it will run
    #[arg(long, value_enum, default_value_t)]
    pub target: Target,
    /// The file or folder to write [default: next to the component, with the name of the target, such as
    /// app-handler.wasm]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// Parses a folder whose last part is a valid name for a project.
fn project(folder: &str) -> Result<String, String> {
    name(folder).map(|_| folder.to_owned())
}
