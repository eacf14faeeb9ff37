//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::check::args::{CHECK_HELP, Check};
use crate::commands::compile::{COMPILE_HELP, Compile};
use crate::commands::connect::args::{CONNECT_HELP, Connect};
use crate::commands::project::args::{BUILD_HELP, Build, COMPOSE_HELP, Compose, NEW_HELP, New};
use crate::commands::serve::args::{EXAMPLES, Serve};

/// Runs WebAssembly components that speak WebSocket.
#[derive(Debug, Parser)]
#[command(name = "wasocket", version, after_help = EXAMPLES)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log errors only, and no connections
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        display_order = 100
    )]
    pub quiet: bool,
    /// Log what happens to every connection, not only its end
    #[arg(short, long, global = true, display_order = 101)]
    pub verbose: bool,
    /// How log lines look
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        display_order = 102
    )]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a small project: an app, its page, and what builds it
    #[command(after_help = NEW_HELP)]
    New(New),
    /// Build the project in a folder to the component app.wasm
    #[command(after_help = BUILD_HELP)]
    Build(Build),
    /// Join a component with what a target needs
    #[command(after_help = COMPOSE_HELP)]
    Compose(Compose),
    /// Compile a component ahead of time, to a file that is served in milliseconds
    #[command(after_help = COMPILE_HELP)]
    Compile(Compile),
    /// Serve a component over HTTP until Ctrl-C or SIGTERM
    #[command(after_help = EXAMPLES)]
    Serve(Box<Serve>),
    /// Speak to a WebSocket server: stdin lines to messages, messages to stdout
    #[command(after_help = CONNECT_HELP)]
    Connect(Box<Connect>),
    /// Check a component against RFC 6455 and the contract, without sockets
    #[command(after_help = CHECK_HELP)]
    Check(Check),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_finds_no_contradiction() {
        Options::command().debug_assert();
    }
}
