//! The program `wasocket`. Exit codes of `serve`: 0 stopped as asked, 1 failed, 2 wrong usage, 128 plus its number for a
//! second signal. Those of other commands are in their help.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};
use wasocket_cli::cli::{Command, LogFormat, Options};
use wasocket_cli::commands::check::check;
use wasocket_cli::commands::compile::compile;
use wasocket_cli::commands::connect::connect;
use wasocket_cli::commands::project::{build, compose, new};
use wasocket_cli::commands::publish::publish;
use wasocket_cli::commands::serve::serve;
use wasocket_cli::config_file;
use wasocket_cli::json_log::Json;
use wasocket_host::log_writer::{Line, LogWriter, Weight};

fn main() -> ExitCode {
    let (options, file) = match config_file::parse(env::args_os().collect()) {
        Ok(given) => given,
        Err(config_file::Error::CommandLine(error)) => error.exit(),
        Err(config_file::Error::File(error)) => return fail(&error, 2),
    };
    let log = match start_logging(&options) {
        Ok(log) => log,
        Err(error) => return fail(&format_args!("cannot start the log: {error}"), 1),
    };
    if let Some(file) = file {
        tracing::info!("loaded options from {}", file.display());
    }
    let code = run(options, &|error, code| fail_after(&log, error, code));
    log.flush(LAST_LINES);
    code
}

/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

fn run(options: Options, fail: &dyn Fn(&dyn fmt::Display, u8) -> ExitCode) -> ExitCode {
    match options.command {
        Command::Serve(command) => match serve(*command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, error.exit_code()),
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
        Command::Publish(command) => match publish(&command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
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

/// The same once lines are logged, after the others.
fn fail_after(log: &LogWriter, error: &dyn fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(log.line(Weight::Important), "error: {error}");
    ExitCode::from(code)
}

/// Logs to stderr, and the runner's own panics with the rest.
///
/// # Errors
///
/// If the thread that writes cannot be started.
fn start_logging(options: &Options) -> io::Result<LogWriter> {
    let level = match (options.quiet, options.verbose) {
        (true, _) => "error",
        (_, true) => "info,wasocket_host=debug,wasocket_cli=debug",
        _ => "info",
    };
    // h2 warns about things that a client can repeat at will, and async_nats about what the bus reports itself.
    let quiet = format!("{level},h2=error,async_nats=off");
    let default = Targets::from_str(&quiet).unwrap_or_default();
    let filter = env::var("RUST_LOG")
        .ok()
        .and_then(|filter| filter.parse().ok());
    let writer = LogWriter::start(io::stderr())?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines(writer.clone()))
        .with_ansi(io::stderr().is_terminal());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.unwrap_or(default)))
        .init();
    panic::set_hook(Box::new(|panic| {
        tracing::error!("bug in the runner: {panic}")
    }));
    Ok(writer)
}

/// A line in the queue for each event.
struct Lines(LogWriter);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        self.0.line(Weight::Ordinary)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        self.0.line(if *metadata.level() <= Level::WARN {
            Weight::Important
        } else {
            Weight::Ordinary
        })
    }
}
