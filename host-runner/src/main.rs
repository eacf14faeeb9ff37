//! The program `wasocket`. Exit codes: 0 stopped as asked, 1 could not run, 2 wrong usage.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use wasocket_host::options::{Command, Options};
use wasocket_host::serve::serve;

fn main() -> ExitCode {
    let options = Options::parse();
    start_logging(&options);
    let Command::Serve(command) = &options.command;
    match serve(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(options: &Options) {
    let default = match (options.quiet, options.verbose) {
        (true, _) => "error",
        (_, true) => "info,wasocket_host=debug",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
