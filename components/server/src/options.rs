//! The command line, with the names and defaults of `wasocket serve`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

/// The output of `--help`.
pub(crate) const HELP: &str = "\
Serves the component that this server is joined with over HTTP, until the runtime is stopped.

Options:
      --listen ADDRESS            Where to listen: an IP address, or localhost, and a port; port 0 is any
                                  free port [default: 127.0.0.1:1234]
      --max-connections N         The most connections at a time; others wait [default: 1000]
      --send-timeout SECONDS      The time a client may stop reading [default: 30]
      --decision-timeout SECONDS  The time the app may take to answer a request, if it does not answer at
                                  once [default: 30]
  -q, --quiet                     Log errors only
  -v, --verbose                   Log every connection
  -h, --help                      Print help
  -V, --version                   Print version

The limits on memory and on the time of a call are the runtime's, and so are the environment and the
files of the app: see its own options.

Examples:
  wasmtime run -S inherit-network app-server.wasm --listen 127.0.0.1:8080
  jco run app-server.wasm --listen 127.0.0.1:8080

Exit codes:
  0    help or version was asked for
  1    could not listen, or wrong usage
";

/// The command that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve(Options),
    Help,
    Version,
}

/// How to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) max_connections: usize,
    pub(crate) send_timeout: Duration,
    pub(crate) decision_timeout: Duration,
    pub(crate) verbosity: Verbosity,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1234)),
            max_connections: 1000,
            send_timeout: Duration::from_secs(30),
            decision_timeout: Duration::from_secs(30),
            verbosity: Verbosity::Normal,
        }
    }
}

/// Reads the arguments after the program's name.
///
/// # Errors
///
/// A message for the user.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (&*argument, None),
        };
        let is_flag = value.is_none();
        let mut value = || {
            let value = value.clone().or_else(|| arguments.next());
            value.ok_or_else(|| format!("{name} needs a value: see --help"))
        };
        match name {
            "-h" | "--help" if is_flag => return Ok(Command::Help),
            "-V" | "--version" if is_flag => return Ok(Command::Version),
            "-q" | "--quiet" if is_flag => verbosity(&mut options, Verbosity::Quiet)?,
            "-v" | "--verbose" if is_flag => verbosity(&mut options, Verbosity::Verbose)?,
            "--listen" => options.listen = address(&value()?)?,
            "--max-connections" => {
                options.max_connections = number(name, &value()?, 1..=usize::MAX)?;
            }
            "--send-timeout" => options.send_timeout = seconds(name, &value()?)?,
            "--decision-timeout" => options.decision_timeout = seconds(name, &value()?)?,
            _ if is_of_the_runtime(name) => {
                return Err(format!(
                    "{name} is an option of `wasocket serve`: use the runtime's own option"
                ));
            }
            _ => return Err(format!("{argument:?} is not an option: see --help")),
        }
    }
    Ok(Command::Serve(options))
}

fn verbosity(options: &mut Options, verbosity: Verbosity) -> Result<(), String> {
    if options.verbosity != Verbosity::Normal && options.verbosity != verbosity {
        return Err("--quiet and --verbose exclude each other".to_owned());
    }
    options.verbosity = verbosity;
    Ok(())
}

/// Options of the runner for limits and grants that an instance cannot impose on itself.
fn is_of_the_runtime(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "--memory",
        "--call-timeout",
        "--env",
        "--allow-http",
        "--allow-tcp",
    ];
    NAMES.contains(&name)
}

/// Names other than `localhost` (RFC 6761 §6.3) would require lookups, which is one more thing for the
/// runtime to grant.
fn address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:");
    let local = local.map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("--listen {text}: expected an IP address and a port, such as 127.0.0.1:1234, [::1]:1234 or localhost:1234")
    })
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    let seconds = number(name, text, 1..=86_400)?;
    Ok(Duration::from_secs(seconds as u64))
}

fn number(name: &str, text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| match *range.end() {
        usize::MAX => format!("{name} {text}: expected a number from {}", range.start()),
        end => format!(
            "{name} {text}: expected a number from {} to {end}",
            range.start()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(ToOwned::to_owned))
    }

    fn options(line: &str) -> Options {
        match parsed(line) {
            Ok(Command::Serve(options)) => options,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn no_arguments_give_the_defaults() {
        assert_eq!(options(""), Options::default());
    }

    #[test]
    fn values_follow_a_space_or_an_equals_sign() {
        for line in [
            "--listen [::]:80 --send-timeout 7 --decision-timeout 86400 --max-connections 1 -q",
            "--listen=[::]:80 --send-timeout=7 --decision-timeout=86400 --max-connections=1 --quiet",
        ] {
            let expected = Options {
                listen: SocketAddr::from(([0u16; 8], 80)),
                max_connections: 1,
                send_timeout: Duration::from_secs(7),
                decision_timeout: Duration::from_secs(86_400),
                verbosity: Verbosity::Quiet,
            };
            assert_eq!(options(line), expected, "{line}");
        }
        let listen = options("--listen localhost:0 -v").listen;
        assert_eq!(listen, SocketAddr::from(([127, 0, 0, 1], 0)));
    }

    #[test]
    fn help_and_version_take_precedence() {
        for (line, command) in [
            ("--help", Command::Help),
            ("-q -h --what", Command::Help),
            ("--version", Command::Version),
            ("-V", Command::Version),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn errors_name_the_mistake() {
        for (line, said) in [
            ("--listen", "--listen needs a value"),
            ("--listen nonsense", "127.0.0.1:1234"),
            ("--listen example.com:80", "expected an IP address"),
            ("--listen localhost:x", "expected an IP address"),
            ("--listen=127.0.0.1:65536", "expected an IP address"),
            ("--max-connections 0", "a number from 1"),
            ("--send-timeout 0", "a number from 1 to 86400"),
            ("--decision-timeout -1", "a number from 1 to 86400"),
            ("--quiet --verbose", "exclude each other"),
            ("--quiet=yes", "\"--quiet=yes\" is not an option"),
            ("--port 1", "\"--port\" is not an option: see --help"),
            ("app.wasm", "\"app.wasm\" is not an option"),
            ("--memory 64", "use the runtime's own option"),
        ] {
            let error = parsed(line).err().unwrap_or_default();
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn help_lists_the_defaults() {
        for default in ["127.0.0.1:1234", "1000", "30"] {
            assert!(HELP.contains(&format!("[default: {default}]")), "{default}");
        }
    }
}
