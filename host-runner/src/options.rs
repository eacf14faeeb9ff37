//! The command line.

mod sockets;

pub use sockets::Sockets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{RangedU64ValueParser, ValueHint};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::contract::bindings::{Field, ShutdownReason};
use crate::guest::compose::Target;
use crate::guest::limits::Limits;
use crate::guest::wasi::allowed::{Allowed, Policy};
use crate::guest::wasi::directory::Directory;
use crate::guest::wasi::grants::Grants;
use crate::net::dial::url::Url;
use crate::net::listen::is_address;
use crate::operating::Operating;
use crate::start::{self, Language};

const EXAMPLES: &str = "Examples:
  wasocket serve                           the embedded echo app, on http://127.0.0.1:1234/
  wasocket serve chat.wasm                 a component of the world wasocket:websocket/handler, or
                                           .../application: that is joined with the protocol
  wasocket serve chat.wasm --watch         the same; and what it becomes, as soon as it is built anew
  wasocket serve chat.wasm --listen [::]:80
  wasocket serve relay.wasm --allow-http localhost:8080 --env BACKEND=http://localhost:8080

All options can stand in a file (docs/configuration.md): wasocket.toml here, or what --config names.
Logs go to stderr; RUST_LOG overrides --quiet and --verbose (RUST_LOG=guest=info shows what
components print, and nothing else).";

const CONNECT_HELP: &str = "\
Each line of stdin is sent as a text message; each message received is printed on stdout as a line.
The end of stdin closes the connection, when the server has answered a ping and then been silent for
200 ms, or after 5 seconds; Ctrl-C closes at once, and a second one exits. All else goes to stderr.

Examples:
  wasocket connect ws://127.0.0.1:1234/echo
  echo hello | wasocket connect ws://127.0.0.1:1234/echo
  wasocket connect wss://feed.example/ --one-message </dev/null
  wasocket connect ws://127.0.0.1:1234/ --ping </dev/null     the round-trip time

Environment, as curl reads it (a user and a password are sent: http://USER:PASSWORD@HOST:PORT):
  http_proxy, https_proxy   an HTTP proxy for ws:// and for wss://; ws_proxy and wss_proxy come
                            before, all_proxy behind
  no_proxy                  the servers that need none: hosts, domains, networks, * for all
  SSL_CERT_FILE             the certificates to trust, instead of the system's

Exit codes:
  0    closed normally (code 1000, 1001 or none)
  1    could not connect, the server refused the handshake, or stdin could not be sent
  2    wrong usage
  3    closed abnormally, or by the server with another code: stderr says which
  130  interrupted";

const NEW_HELP: &str = "\
The project is an app that answers a page at /, and the WebSocket that it talks to. What its tools have to be
told is in its README.

Examples:
  wasocket new hello
  wasocket new hello --lang python

Exit codes:
  0    it is there
  1    it could not be made
  2    wrong usage";

const BUILD_HELP: &str = "\
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

const COMPOSE_HELP: &str = "\
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

const COMPILE_HELP: &str = "\
`wasocket serve` compiles a component itself, and keeps what it has compiled. This is for where that is no use: in
images of containers, on systems without a writable folder. The file is for this version of the program and for
machines like this one. It is machine code, which is run as it is: whoever can change it can do what the program can.

Examples:
  wasocket compile app.wasm                         app.compiled
  wasocket serve app.compiled --allow-precompiled

Exit codes:
  0    it is made
  1    it is not, and why has been said
  2    wrong usage";

const CHECK_HELP: &str = "\
Runs the vectors of tests/vectors, the frames also cut at every byte, and checks that the component
keeps the contract in wit/websocket-handler.wit. The path should echo each message; what the component
does not negotiate, or does not do, is skipped, and the report says why.

Examples:
  wasocket check echo.wasm
  wasocket check chat.wasm --path '/room?name=x' --json

Exit codes:
  0    all passed
  1    some failed
  2    wrong usage, or a component that cannot be loaded or has no WebSocket at the path";

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

/// The options of `wasocket compile`.
#[derive(Clone, Debug, Args)]
pub struct Compile {
    /// The component: an app, or a handler, in any language
    pub component: PathBuf,
    /// The file that is made [default: beside the component, such as app.compiled]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The options of `wasocket serve`. Each can stand in a file, too: see [`config`](crate::config).
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The component [default: an echo app with a page to try it]
    pub component: Option<PathBuf>,
    /// Serve what the file becomes when it changes: new connections get the new component, those that are
    /// there are closed with 1012
    #[arg(long, requires = "component")]
    pub watch: bool,
    /// Compile the component anew, and do not keep what is compiled (in `$XDG_CACHE_HOME/wasocket`, or
    /// `~/.cache/wasocket`)
    #[arg(long)]
    pub no_cache: bool,
    /// Serve the component also if it is a file of `wasocket compile`: machine code, run as it is
    #[arg(long)]
    pub allow_precompiled: bool,
    /// A file with options, in TOML: `max-connections = 500`. What is said here goes before it [default:
    /// wasocket.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where connections come from, and for whom.
    #[command(flatten)]
    pub sockets: Sockets,
    /// How many threads serve, each with instances of its own; `auto` is one for each core. Clients of an app
    /// that meet, as in a chat, do so within an instance
    #[arg(long, value_name = "N", default_value = "1", value_parser = crate::server::workers::number)]
    pub workers: usize,
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
    /// The time the app may wait for files in one call, in milliseconds, if it has directories (--dir)
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub file_timeout: u64,
    /// The time an instance may take to start, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub start_timeout: u64,
    /// A variable of the app's environment, which is empty otherwise. May be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// An HTTP server that the app may ask, at ports 80 and 443 if none is named; `*` and `*.NAME` stand
    /// for public hosts. May be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_http: Vec<Allowed>,
    /// The time an HTTP server that the app asks may be silent: until it answers, and in its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub http_timeout: u64,
    /// A TCP server that the app may connect to; port 0 is any. May be repeated
    #[arg(long, value_name = "IP:PORT", value_parser = tcp_server)]
    pub allow_tcp: Vec<SocketAddr>,
    /// A directory that the app finds at a path of its own, to read in it; with `::rw`, to write, too. May be
    /// repeated
    #[arg(long, value_name = "HOST_PATH::GUEST_PATH[::rw]", value_hint = ValueHint::DirPath)]
    pub dir: Vec<Directory>,
    /// The time a client may take nothing of what it is sent
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub send_timeout: u64,
    /// The time the app may take to answer a request, if it has to ask somebody first
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub decision_timeout: u64,
    /// The time open connections have to end when the runner is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub shutdown_timeout: u64,
    /// What WebSockets are closed with then: 1001, going away, or 1012, where a restart is all it is
    #[arg(long, value_name = "CODE", default_value = "1001", value_parser = shutdown_code)]
    pub shutdown_code: ShutdownReason,
    /// What the network may ask.
    #[command(flatten)]
    pub operating: Operating,
}

impl Serve {
    /// What each instance may take.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: self.memory << 20,
            call_time: Duration::from_millis(self.call_timeout),
            file_time: Duration::from_millis(self.file_timeout),
            start_time: Duration::from_millis(self.start_timeout),
            ceiling: self.operating.ceiling(),
        }
    }

    /// What the component is granted.
    pub fn grants(&self) -> Grants {
        let policy = || Policy {
            allowed: self.allow_http.clone(),
            max_under_way: self.connections_per_instance.saturating_mul(2),
            silence_timeout: Duration::from_secs(self.http_timeout),
            ..Policy::default()
        };
        Grants {
            http: (!self.allow_http.is_empty()).then(|| Arc::new(policy())),
            tcp: self.allow_tcp.clone(),
            environment: self.env.clone(),
            directories: self.dir.clone(),
        }
    }
}

/// The options of `wasocket connect`.
#[derive(Clone, Debug, Args)]
pub struct Connect {
    /// Where to connect: `ws://HOST/PATH`, or `wss://HOST/PATH` for TLS
    pub url: Url,
    /// Send stdin as binary messages, as it comes, and print messages as they are, without line ends
    #[arg(long)]
    pub binary: bool,
    /// A subprotocol to offer, the preferred one first; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub subprotocol: Vec<String>,
    /// A further field of the request; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    pub header: Vec<Field>,
    /// The Origin to claim, as a browser's page would, such as `https://example.com`
    #[arg(long)]
    pub origin: Option<String>,
    /// Offer compression (permessage-deflate)
    #[arg(long)]
    pub compress: bool,
    /// Ping the server when connected, and every so many seconds if given; stderr has the time it took
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = seconds())]
    pub ping: Option<Option<u64>>,
    /// Close after the first message received; the end of stdin does not close then
    #[arg(long)]
    pub one_message: bool,
    /// The longest message to receive, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = RangedU64ValueParser::<usize>::new().range(1..=100))]
    pub max_message: usize,
    /// The time to reach the server; for its answer it has 10 seconds more
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds())]
    pub timeout: u64,
    // A text, since an error of the command line's would show it, and a password with it.
    /// An HTTP proxy to go through by CONNECT, instead of the environment's: `http://HOST:PORT`
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Go through no proxy, whatever the environment has
    #[arg(long, conflicts_with = "proxy")]
    pub no_proxy: bool,
    /// DANGEROUS: accept any certificate. Anybody on the way can read and change everything
    #[arg(long)]
    pub insecure: bool,
}

impl Connect {
    /// What the component may take: it may hold a message several times, as received, inflated, and
    /// handed over.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: (64 << 20) + 8 * (self.max_message << 20),
            call_time: Duration::from_secs(10),
            ..Limits::default()
        }
    }
}

/// The options of `wasocket check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// The component
    pub component: PathBuf,
    /// The path of a WebSocket that echoes each message
    #[arg(long, default_value = "/echo", value_parser = path)]
    pub path: String,
    /// Print one JSON object, with all cases
    #[arg(long)]
    pub json: bool,
    /// Compile the component anew, and do not keep what is compiled (in `$XDG_CACHE_HOME/wasocket`, or
    /// `~/.cache/wasocket`)
    #[arg(long)]
    pub no_cache: bool,
    /// The memory an instance may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = memory())]
    pub memory: usize,
    // Ten times that of `serve`: how quick this machine is now is not what is checked.
    /// The time a call into an instance may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub call_timeout: u64,
}

impl Check {
    /// What each instance may take.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: self.memory << 20,
            call_time: Duration::from_millis(self.call_timeout),
            ..Limits::default()
        }
    }
}

/// A path, and a query perhaps (RFC 9112 §3.2.1).
fn path(value: &str) -> Result<String, String> {
    let is_visible = value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match value.starts_with('/') && is_visible {
        true => Ok(value.to_owned()),
        false => Err("expected a path, such as /echo or /room?name=x".to_owned()),
    }
}

/// A folder, whose last part is a name for a project.
fn project(folder: &str) -> Result<String, String> {
    start::name(folder).map(|_| folder.to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Names are not looked up: what they lead to may change.
fn tcp_server(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected an IP address and a port, such as 127.0.0.1:22 or [::1]:22";
    text.parse().map_err(|_| expected.to_owned())
}

fn shutdown_code(text: &str) -> Result<ShutdownReason, &'static str> {
    match text {
        "1001" => Ok(ShutdownReason::GoingAway),
        "1012" => Ok(ShutdownReason::ServiceRestart),
        _ => Err("expected 1001 or 1012"),
    }
}

fn seconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=86_400)
}

/// A field line. Whether it can be sent is for the component to say.
fn field(line: &str) -> Result<Field, String> {
    let (name, value) = line
        .split_once(':')
        .ok_or("expected 'Name: value', with a colon")?;
    Ok((name.to_owned(), value.trim().as_bytes().to_vec()))
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// A memory of WebAssembly has at most 4 GiB.
fn memory() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

/// For an address that is no path.
pub(crate) fn address(value: &str) -> Result<String, String> {
    match is_address(value) {
        true => Ok(value.to_owned()),
        false => Err(
            "expected ADDRESS:PORT, such as 127.0.0.1:1234, [::1]:1234 or localhost:1234"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::net::listen::Listen;

    fn parse(arguments: &[&str]) -> Result<Serve, clap::Error> {
        let program = ["wasocket", "serve"];
        let options = Options::try_parse_from(program.iter().chain(arguments))?;
        match options.command {
            Command::Serve(serve) => Ok(*serve),
            _ => Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
        }
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
        assert_eq!(
            serve.sockets.listen,
            [Listen::Address("127.0.0.1:1234".to_owned())]
        );
        Ok(())
    }

    #[test]
    fn paths_begin_with_a_slash() {
        for good in ["/", "/echo", "/a/b?c=%20"] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in ["", "echo", "/a b", "/a#b", "ws://a/b", "/\u{e9}"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_granted_but_what_is_named() -> Result<(), clap::Error> {
        let none = parse(&[])?.grants();
        assert!(none.http.is_none() && none.tcp.is_empty() && none.environment.is_empty());
        assert!(none.directories.is_empty());
        let options = [
            "--allow-http",
            "a.test",
            "--allow-tcp",
            "[::1]:22",
            "--env",
            "A=b=c",
        ];
        let grants = parse(&options)?.grants();
        assert_eq!(grants.http.map(|policy| policy.allowed.len()), Some(1));
        assert_eq!(
            grants.tcp,
            [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 22))]
        );
        assert_eq!(grants.environment, [("A".to_owned(), "b=c".to_owned())]);
        for (option, value) in [
            ("--allow-http", "http://a.test"),
            ("--allow-tcp", "localhost:22"),
            ("--env", "A"),
            ("--env", "=b"),
            ("--dir", "data"),
        ] {
            assert!(parse(&[option, value]).is_err(), "{option} {value}");
        }
        Ok(())
    }

    #[test]
    fn limits_of_zero_are_refused() {
        for option in [
            "--connections-per-instance",
            "--memory",
            "--call-timeout",
            "--max-connections",
            "--max-unsent",
        ] {
            assert!(parse(&[option, "0"]).is_err(), "{option}");
        }
    }
}
