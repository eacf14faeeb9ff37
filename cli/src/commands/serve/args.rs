//! Arguments of `wasocket serve`, and the configuration made from them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use clap::builder::ValueHint;
use wasocket_host::bindings::ShutdownReason;
use wasocket_host::guest::Limits;
use wasocket_host::guest::wasi::{Allowed, Directory, Grants, Policy};
use wasocket_host::http::path_pattern::PathPattern;
use wasocket_host::http::settings::HttpSettings;
use wasocket_host::server::config::ServerConfig;

use crate::commands::serve::ServeFailure;
use crate::commands::serve::network::Network;
use crate::commands::serve::sockets::Sockets;
use crate::commands::serve::swap::{Swap, UnixPlace};
use crate::commands::serve::topics::Topics;
use crate::parse::{at_least_one, memory, milliseconds, seconds};

pub(crate) const EXAMPLES: &str = "Examples:
  wasocket serve                           the embedded echo app, on http://127.0.0.1:1234/
  wasocket serve chat.wasm                 a component of the world wasocket:websocket/handler, or
                                           .../application, which is joined with the protocol
  wasocket serve chat.wasm --watch         the same, reloaded whenever it is rebuilt
  wasocket serve chat.wasm --listen [::]:80
  wasocket serve relay.wasm --allow-http localhost:8080 --env BACKEND=http://localhost:8080

All options can be set in a file (docs/configuration.md): wasocket.toml in this folder, or the one named by
--config. Logs go to stderr; RUST_LOG overrides --quiet and --verbose (RUST_LOG=guest=info shows only what
components print).";

/// The most workers.
const MAX_WORKERS: usize = 1024;

/// The options of `wasocket serve`. Each can be set in a file too: see [`config_file`](crate::config_file).
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The component [default: an echo app with a page to try it]
    pub component: Option<PathBuf>,
    /// Replace the component when its file changes; connections move to the new version, see --swap-grace
    #[arg(long, requires = "component")]
    pub watch: bool,
    /// Compile the component again, and do not cache the result (in `$XDG_CACHE_HOME/wasocket`, or
    /// `~/.cache/wasocket`)
    #[arg(long)]
    pub no_cache: bool,
    /// Allow the component to be a file of `wasocket compile`: machine code, which runs unchecked
    #[arg(long)]
    pub allow_precompiled: bool,
    /// A TOML file with options, such as `max-connections = 500`. The command line overrides it [default:
    /// wasocket.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listeners, TLS and proxies.
    #[command(flatten)]
    pub sockets: Sockets,
    /// Number of threads that serve, each with its own instances; `auto` means one per core
    #[arg(long, value_name = "N", default_value = "1", value_parser = workers)]
    pub workers: usize,
    // 32 connections that each collect a message of 1 MiB, the protocol's default limit, use half of the default
    // memory.
    /// Number of connections that share an instance, and fail together with it
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one())]
    pub connections_per_instance: usize,
    /// Put all connections and requests whose path has the same values on one instance, whichever worker accepts
    /// them: `/rooms/{room}`, where `{room}` is any one segment
    #[arg(long, value_name = "PATTERN")]
    pub instance_by: Option<PathPattern>,
    /// Memory limit of an instance, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = memory())]
    pub memory: usize,
    // In JavaScript, a text of 1 MiB, the protocol's default limit, takes a fifth of it on a fast machine.
    /// CPU time that a call into an instance may use, in milliseconds; more if the call brings much input
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = milliseconds())]
    pub call_timeout: u64,
    /// Time the app may wait for files within a call, in milliseconds, if it has directories (--dir)
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = milliseconds())]
    pub file_timeout: u64,
    /// CPU time that an instance may use to start, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = milliseconds())]
    pub start_timeout: u64,
    /// An environment variable of the app; it has no others. May be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// An HTTP server that the app may send requests to, on ports 80 and 443 unless a port is given; `*` and
    /// `*.NAME` match public hosts. May be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_http: Vec<Allowed>,
    /// Time an HTTP server may be silent, before its response and within it
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub http_timeout: u64,
    /// A TCP server that the app may connect to; port 0 means any port. May be repeated
    #[arg(long, value_name = "IP:PORT", value_parser = tcp_server)]
    pub allow_tcp: Vec<SocketAddr>,
    /// Mount a directory for the app, which may read it and, with `::rw`, write it. May be repeated
    #[arg(long, value_name = "HOST_PATH::GUEST_PATH[::rw]", value_hint = ValueHint::DirPath)]
    pub dir: Vec<Directory>,
    /// Time after which a client that acknowledges nothing of its output is disconnected
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub send_timeout: u64,
    /// Time limit for the app to answer a request, if it has to ask another server first
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub decision_timeout: u64,
    /// How long to go on accepting connections after a signal to stop, while /readyz is 503: the time a load balancer
    /// needs to notice
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub shutdown_delay: u64,
    /// Time open connections have to close when the runner is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub shutdown_timeout: u64,
    /// Close code of WebSockets when the runner is stopped: 1001 (going away) or 1012 (service restart)
    #[arg(long, value_name = "CODE", default_value = "1001", value_parser = shutdown_code)]
    pub shutdown_code: ShutdownReason,
    /// Limits on the network and operator endpoints.
    #[command(flatten)]
    pub network: Network,
    /// New versions of the component.
    #[command(flatten)]
    pub swap: Swap,
    /// Topics.
    #[command(flatten)]
    pub topics: Topics,
}

impl Serve {
    /// The configuration of the server.
    ///
    /// # Errors
    ///
    /// If the environment has an invalid endpoint for traces, there is no token in its file, or the bus cannot be set up so.
    pub fn into_config(self) -> Result<ServerConfig, ServeFailure> {
        let network = &self.network;
        let topics = &self.topics;
        Ok(ServerConfig {
            bus: topics.engine().map_err(ServeFailure::Bus)?,
            bus_limits: topics.limits(),
            topics: topics.settings().into(),
            traces: network.traces().map_err(ServeFailure::Traces)?,
            limits: network.limits(),
            session: network.session(
                Duration::from_secs(self.send_timeout),
                self.swap.settings(),
                self.instance_by.is_some(),
            ),
            http: HttpSettings {
                head_timeout: Duration::from_secs(network.head_timeout),
                keep_alive_timeout: Duration::from_secs(network.keep_alive_timeout),
                max_head: network.max_head.saturating_mul(1 << 10),
                decision_timeout: Duration::from_secs(self.decision_timeout),
                http2: self.sockets.http2,
            },
            guest: self.limits(),
            grants: self.grants(),
            component: self.component,
            watch: self.watch,
            cache: !self.no_cache,
            allow_precompiled: self.allow_precompiled,
            tls: self.sockets.tls(),
            trust: self.sockets.trust(),
            unix: self.sockets.unix_access(),
            listen: self.sockets.listen,
            hosts: self.sockets.allow_host,
            proxy_protocol: self.sockets.proxy_protocol,
            workers: self.workers,
            connections_per_instance: self.connections_per_instance,
            instance_by: self.instance_by,
            take_over_from: self.swap.take_over_from.map(|UnixPlace(path)| path),
            shutdown_delay: Duration::from_secs(self.shutdown_delay),
            shutdown_timeout: Duration::from_secs(self.shutdown_timeout),
            shutdown_reason: self.shutdown_code,
            admin: self.network.admin().map_err(ServeFailure::Admin)?,
        })
    }

    /// The limits of each instance.
    fn limits(&self) -> Limits {
        Limits {
            memory: self.memory << 20,
            call_time: Duration::from_millis(self.call_timeout),
            file_time: Duration::from_millis(self.file_timeout),
            start_time: Duration::from_millis(self.start_timeout),
            message_limits: self.network.message_limits(),
        }
    }

    /// What the component is granted.
    fn grants(&self) -> Grants {
        let policy = || Policy {
            allowed: self.allow_http.clone(),
            max_in_progress: self.connections_per_instance.saturating_mul(2),
            silence_timeout: Duration::from_secs(self.http_timeout),
            ..Policy::default()
        };
        Grants {
            http: (!self.allow_http.is_empty()).then(|| Arc::new(policy())),
            tcp: self.allow_tcp.clone(),
            environment: self.env.clone(),
            directories: self.dir.clone(),
            ..Grants::default()
        }
    }
}

/// Parses `--workers`: a number; `auto` or 0 means one per core.
fn workers(text: &str) -> Result<usize, String> {
    let number = match text {
        "auto" => Some(0),
        text => text.parse().ok().filter(|number| *number <= MAX_WORKERS),
    };
    match number {
        None => Err(format!("expected auto, or a number up to {MAX_WORKERS}")),
        Some(0) => {
            Ok(thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS)))
        }
        Some(number) => Ok(number),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Does not resolve names, as their addresses may change.
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Command, Options};

    fn parse(arguments: &[&str]) -> Result<Serve, clap::Error> {
        let program = ["wasocket", "serve"];
        let options = Options::try_parse_from(program.iter().chain(arguments))?;
        match options.command {
            Command::Serve(serve) => Ok(*serve),
            _ => Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() -> Result<(), Box<dyn std::error::Error>> {
        let given = parse(&[])?.into_config()?;
        let default = ServerConfig::default();
        assert_eq!(format!("{given:?}"), format!("{default:?}"));
        Ok(())
    }

    #[test]
    fn workers_are_a_number_or_one_per_core() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(workers("auto"), Ok(cores));
        assert_eq!(workers("0"), Ok(cores));
        assert_eq!(workers("3"), Ok(3));
        for bad in ["", "-1", "1025", "many"] {
            assert!(workers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn grants_only_what_is_named() -> Result<(), clap::Error> {
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
