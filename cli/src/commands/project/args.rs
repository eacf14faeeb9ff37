//! The arguments of `wasocket new`, `build` and `compose`.

use std::path::PathBuf;

use clap::Args;

use super::Language;
use super::new::name;
use super::target::Target;

pub(crate) const NEW_HELP: &str = "\
The project is an app that answers a page at /, and the WebSocket that it talks to. What its tools have to be
told is in its README.

Examples:
  wasocket new hello
  wasocket new hello --lang python

Exit codes:
  0    it is there
  1    it could not be made
  2    wrong usage";

pub(crate) const BUILD_HELP: &str = "\
Runs the tools of the project's language, each of which is printed, and leaves the component in the project's
folder, as app.wasm. A tool that is not there is named, with the command that installs it. What comes by npm or
pip goes into the project's folder.

Examples:
  wasocket build
  wasocket build hello

Exit codes:
  0    it is built
  1    it is not, and why has been said
  2    wrong usage";

pub(crate) const COMPOSE_HELP: &str = "\
An app that exports wasocket:websocket/app is joined with the protocol. `wasocket serve` does that by itself; what
is made here is for other hosts, and for other tools. How to deploy it is in docs/targets.

Examples:
  wasocket compose app.wasm                         app-handler.wasm, a component
  wasocket compose app.wasm --target server         app-server.wasm, to be run by wasmtime or jco
  wasocket compose app.wasm --target node           app-node, a folder, to be run by node
  wasocket compose app.wasm --output whole.wasm

Exit codes:
  0    it is made
  1    it is not, and why has been said
  2    wrong usage";

/// The options of `wasocket new`.
#[derive(Clone, Debug, Args)]
pub struct New {
    /// The name, which is that of the folder, too; in front of it there may be a path
    #[arg(value_name = "NAME", value_parser = project)]
    pub folder: String,
    /// The language
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub lang: Language,
    /// A checkout of Wasocket's repository, where the crates for Rust are [default: the one that this
    /// program was built from]
    #[arg(long, value_name = "FOLDER")]
    pub wasocket: Option<PathBuf>,
}

/// The options of `wasocket build`.
#[derive(Clone, Debug, Args)]
pub struct Build {
    /// The folder of the project
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Where it is to run: beside app.wasm there is what that target needs, too
    #[arg(long, value_enum)]
    pub target: Option<Target>,
}

/// The options of `wasocket compose`.
#[derive(Clone, Debug, Args)]
pub struct Compose {
    /// The component: an app, or a handler, in any language
    pub component: PathBuf,
    /// Where it is to run
    #[arg(long, value_enum, default_value_t)]
    pub target: Target,
    /// What is made, a file or a folder [default: beside the component, with the name of the target, such as
    /// app-handler.wasm]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// A folder, whose last part is a name for a project.
fn project(folder: &str) -> Result<String, String> {
    name(folder).map(|_| folder.to_owned())
}
