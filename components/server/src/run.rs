//! The export `wasi:cli/run`.

use alloc::format;
use alloc::string::String;

use wasi::cli::environment::get_arguments;
use wasi::cli::stdout::get_stdout;

use crate::listener::Listener;
use crate::log::Log;
use crate::options::{Command, HELP, Options, Verbosity, parse};
use crate::server::Server;

struct Run;

#[allow(
    unsafe_code,
    missing_docs,
    reason = "generated: the export of the canonical ABI"
)]
mod export {
    wasi::cli::command::export!(Run);

    use super::Run;
}

impl wasi::exports::cli::run::Guest for Run {
    fn run() -> Result<(), ()> {
        // The first is the program's name.
        run(get_arguments().into_iter().skip(1)).map_err(|error| {
            Log::new(Verbosity::Normal).error(format_args!("{error}"));
        })
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    match parse(arguments)? {
        Command::Help => print(HELP),
        Command::Version => print(concat!("wasocket-server ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve(options) => return serve(options),
    }
    Ok(())
}

fn serve(options: Options) -> Result<(), String> {
    let listener = Listener::bind(options.listen)?;
    let address = listener.address().unwrap_or(options.listen);
    // Tests read the port from it.
    print(&format!("Wasocket serves on http://{address}/\n"));
    Server::new(listener, options).serve()
}

/// Before there are connections, so that it may wait.
fn print(text: &str) {
    let stdout = get_stdout();
    // The most that one write may have (`wasi:io/streams`, `blocking-write-and-flush`).
    for part in text.as_bytes().chunks(4096) {
        // Without a reader the server still serves.
        let _ = stdout.blocking_write_and_flush(part);
    }
}
