//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::check::args::{CHECK_HELP, Check};
use crate::commands::compile::{COMPILE_HELP, Compile};
use crate::commands::connect::args::{CONNECT_HELP, Connect};
use crate::commands::project::args::{BUILD_HELP, Build, COMPOSE_HELP, Compose, NEW_HELP, New};
use crate::commands::publish::args::{PUBLISH_HELP, Publish};
use crate::commands::serve::args::{EXAMPLES, Serve};

/// Runs WebAssembly components that speak WebSocket.
#[derive(Debug, Parser)]
#[command(name = "wasocket", version, after_help = EXAMPLES)]
pub struct Options {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Log errors only, and no access log
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        display_order = 100
    )]
    pub quiet: bool,
    /// Log every event of a connection, not only its end
    #[arg(short, long, global = true, display_order = 101)]
    pub verbose: bool,
    /// Format of log lines
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

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a small project: an app, a page to try it, and a build
    #[command(after_help = NEW_HELP)]
    New(New),
    /// Build the project in a folder into the component app.wasm
    #[command(after_help = BUILD_HELP)]
    Build(Build),
    /// Join a component with what a target needs
    #[command(after_help = COMPOSE_HELP)]
    Compose(Compose),
    /// Compile a component ahead of time into a file that loads in milliseconds
    #[command(after_help = COMPILE_HELP)]
    Compile(Compile),
    /// Serve a component over HTTP until Ctrl-C or SIGTERM
    #[command(after_help = EXAMPLES)]
    Serve(Box<Serve>),
    /// Connect to a WebSocket server: lines from stdin are sent as messages, received messages go to stdout
    #[command(after_help = CONNECT_HELP)]
    Connect(Box<Connect>),
    /// Publish to a topic of a running server: a message, or lines from stdin
    #[command(after_help = PUBLISH_HELP)]
    Publish(Publish),
    /// Check a component against RFC 6455 and the contract, without sockets
    #[command(after_help = CHECK_HELP)]
    Check(Check),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_accepts_the_definition() {
        Options::command().debug_assert();
    }
}
