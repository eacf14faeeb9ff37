//! The program `wasocket`. Exit codes of `serve`: 0 stopped as asked, 1 failed, 2 wrong usage. Those of other commands
//! are in their help.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::str::FromStr;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};
use wasocket_cli::cli::{Command, LogFormat, Options};
use wasocket_cli::commands::check::check;
use wasocket_cli::commands::compile::compile;
use wasocket_cli::commands::connect::connect;
use wasocket_cli::commands::project::{build, compose, new};
use wasocket_cli::commands::serve::serve;
use wasocket_cli::config_file;
use wasocket_cli::json_log::Json;

fn main() -> ExitCode {
    let (options, file) = match config_file::parse(env::args_os().collect()) {
        Ok(given) => given,
        Err(config_file::Error::CommandLine(error)) => error.exit(),
        Err(config_file::Error::File(error)) => return fail(&error, 2),
    };
    start_logging(&options);
    if let Some(file) = file {
        tracing::info!("loaded options from {}", file.display());
    }
    match options.command {
        Command::Serve(command) => match serve(*command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
        Command::New(command) => match new(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
        Command::Build(command) => match build(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
        Command::Compose(command) => match compose(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
        Command::Compile(command) => match compile(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
        Command::Connect(command) => match connect(&command, options.quiet) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Check(command) => match check(&command) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => fail(&error, 2),
        },
    }
}

fn fail(error: &dyn fmt::Display, code: u8) -> ExitCode {
    // A closed stderr must not change how this fails.
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::from(code)
}

fn start_logging(options: &Options) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => "error",
        (_, true) => "info,wasocket_host=debug,wasocket_cli=debug",
        _ => "info",
    };
    // h2 warns about things that a client can repeat at will.
    let default = Targets::from_str(&format!("{level},h2=error")).unwrap_or_default();
    let filter = env::var("RUST_LOG")
        .ok()
        .and_then(|filter| filter.parse().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.unwrap_or(default)))
        .init();
}
