//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};

use crate::guest::Limits;

const EXAMPLES: &str = "Examples:
  wasocket serve                           the embedded echo app, on http://127.0.0.1:1234/
  wasocket serve chat.wasm                 a component of the world wasocket:websocket/handler
  wasocket serve chat.wasm --listen [::]:80

Logs go to stderr; RUST_LOG overrides --quiet and --verbose (RUST_LOG=guest=info shows what
components print, and nothing else).";

/// Runs WebAssembly components that speak WebSocket.
#[derive(Debug, Parser)]
#[command(name = "wasocket", version, after_help = EXAMPLES)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log errors only
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        display_order = 100
    )]
    pub quiet: bool,
    /// Log every connection
    #[arg(short, long, global = true, display_order = 101)]
    pub verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a component over HTTP until Ctrl-C or SIGTERM
    #[command(after_help = EXAMPLES)]
    Serve(Serve),
}

/// The options of `wasocket serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The component [default: an echo app with a page to try it]
    pub component: Option<PathBuf>,
    /// Where to listen; port 0 is any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1234", value_parser = address)]
    pub listen: String,
    // 32 connections that each collect a message of 1 MiB, the default limit of the protocol,
    // fit twice into the default memory.
    /// How many connections share an instance, and its fate should it fail
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one())]
    pub connections_per_instance: usize,
    /// The memory an instance may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = memory())]
    pub memory: usize,
    /// The time a call into an instance may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub call_timeout: u64,
    /// The time open connections have to end when the runner is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub shutdown_timeout: u64,
}

impl Serve {
    /// What each instance may take.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: self.memory << 20,
            call_time: Duration::from_millis(self.call_timeout),
        }
    }
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// A memory of WebAssembly has at most 4 GiB.
fn memory() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

/// An IP address or a host name, and a port. Names are looked up when the socket is made.
fn address(value: &str) -> Result<String, String> {
    let is_named = |(host, port): (&str, &str)| {
        !host.is_empty() && !host.contains([':', '[', ']']) && port.parse::<u16>().is_ok()
    };
    if value.parse::<SocketAddr>().is_ok() || value.rsplit_once(':').is_some_and(is_named) {
        return Ok(value.to_owned());
    }
    Err("expected ADDRESS:PORT, such as 127.0.0.1:1234, [::1]:1234 or localhost:1234".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Serve, clap::Error> {
        let program = ["wasocket", "serve"];
        let options = Options::try_parse_from(program.iter().chain(arguments))?;
        let Command::Serve(serve) = options.command;
        Ok(serve)
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_limits() -> Result<(), clap::Error> {
        let serve = parse(&[])?;
        assert_eq!(serve.limits().memory, Limits::default().memory);
        assert_eq!(serve.limits().call_time, Limits::default().call_time);
        assert_eq!(serve.listen, "127.0.0.1:1234");
        Ok(())
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "[::1]:1234", "[::]:80", "localhost:65535"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1234",
            ":1234",
            "localhost",
            "::1",
            "a:b",
            "a:65536",
            "[::1]",
            "::1:x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_of_zero_are_refused() {
        for option in ["--connections-per-instance", "--memory", "--call-timeout"] {
            assert!(parse(&[option, "0"]).is_err(), "{option}");
        }
    }
}
