//! A whole server in a component, in stock runtimes: wasmtime, through the small program `stock.rs`, and jco.

use std::fs::File;
use std::io::pipe;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use super::compose;
use support::host_behaviours;
use support::{Server, app_behaviours, build_guest, root, text, wasocket};

/// Behaviours that this target cannot have.
const CANNOT: [(&str, &str); 1] = [(
    "a trap closes every connection of the instance with 1011",
    "the server ends with its only instance, and nothing is left to send a Close frame",
)];

/// A runtime: the command that runs a component.
type Runtime = fn() -> Command;

fn wasmtime() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        // With the features of the whole workspace, so that nothing is built twice.
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--example", "stock"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the stock runtime does not build");
        let wasocket = Path::new(env!("CARGO_BIN_EXE_wasocket"));
        wasocket.with_file_name("examples/stock")
    });
    Command::new(program)
}

fn jco() -> Command {
    let mut command = Command::new(root().join("tests/peers/jco/node_modules/.bin/jco"));
    command.arg("run").env("TMPDIR", super::leftovers());
    command
}

fn serve(runtime: Runtime, component: &Path, options: &[&str]) -> Server {
    Server::run(&mut command(runtime, component, options))
}

fn command(runtime: Runtime, component: &Path, options: &[&str]) -> Command {
    let mut command = runtime();
    command.arg(component).args(["--listen", "127.0.0.1:0"]);
    command.args(options);
    command
}

/// A server that contains the default app.
fn default_app() -> PathBuf {
    compose(&build_guest("echo", ""), "server")
}

fn faults() -> PathBuf {
    compose(&build_guest("faults", "bare"), "server")
}

fn run(runtime: Runtime, arguments: &[&str]) -> Output {
    let mut command = runtime();
    command.arg(default_app()).args(arguments);
    command.output().expect("the runtime runs")
}

#[test]
fn apps_on_wasmtime() {
    for language in super::ALL_FORMS {
        super::check("server on wasmtime", language, &CANNOT, |app| {
            serve(wasmtime, &compose(app, "server"), &[])
        });
    }
}

#[test]
fn apps_on_jco() {
    for language in ["fused", "rust", "c"] {
        super::check("server on jco", language, &CANNOT, |app| {
            serve(jco, &compose(app, "server"), &[])
        });
    }
}

#[test]
fn every_host_behaviour_holds_on_wasmtime() {
    let server = serve(wasmtime, &default_app(), &[]);
    app_behaviours::run(
        "server on wasmtime",
        host_behaviours::DEFAULT_APP,
        &server,
        &[],
    );
    let server = serve(wasmtime, &faults(), &[]);
    app_behaviours::run("server on wasmtime", host_behaviours::FAULTS, &server, &[]);
}

#[test]
fn every_host_behaviour_holds_on_jco() {
    let server = serve(jco, &default_app(), &[]);
    app_behaviours::run("server on jco", host_behaviours::DEFAULT_APP, &server, &[]);
    let server = serve(jco, &faults(), &[]);
    app_behaviours::run("server on jco", host_behaviours::FAULTS, &server, &[]);
}

#[test]
fn a_peer_that_stops_reading_is_disconnected() {
    for runtime in [wasmtime, jco] {
        let component = faults();
        host_behaviours::a_peer_that_stops_reading_is_disconnected(|options| {
            serve(runtime, &component, options)
        });
    }
}

#[test]
fn decisions_may_take_time_up_to_the_limit() {
    for runtime in [wasmtime, jco] {
        let component = compose(&build_guest("pending", ""), "server");
        host_behaviours::decisions_may_take_time_up_to_the_limit(|options| {
            serve(runtime, &component, options)
        });
    }
}

/// Third-party clients.
#[test]
fn third_party_clients_connect() {
    for runtime in [wasmtime, jco] {
        let server = serve(runtime, &default_app(), &[]);
        for peer in ["ws", "python"] {
            server.assert_serves(peer, "ws");
        }
    }
}

#[test]
fn connections_over_the_limit_wait() {
    for runtime in [wasmtime, jco] {
        let server = serve(runtime, &default_app(), &["--max-connections", "2"]);
        let first = server.websocket("/echo");
        let mut second = server.websocket("/echo");
        let mut third = server.connect();
        third.send(b"GET /nowhere HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        second.assert_echoes("only two");
        assert!(third.has_nothing_to_read());
        drop(first);
        assert_eq!(third.read_head().status, 404);
    }
}

#[test]
fn faults_of_the_app_are_logged() {
    app_behaviours::build();
    let chat = compose(&app_behaviours::component("rust", "chat"), "server");
    let server = serve(wasmtime, &chat, &[]);
    server.websocket("/rooms/a?ann").send(&text("/flood"));
    server.wait_for_log("app error: ");
}

/// ENOSPC and EPIPE.
#[test]
fn a_log_that_cannot_be_written_loses_only_lines() {
    let full = File::options().write(true).open("/dev/full");
    let (reader, closed) = pipe().expect("a pipe");
    drop(reader);
    for log in [full.expect("Linux has it").into(), Stdio::from(closed)] {
        let mut command = command(wasmtime, &default_app(), &["--verbose"]);
        let server = Server::run_logging_to(log, &mut command);
        for _ in 0..20 {
            server.websocket("/echo").assert_echoes("served");
            let (head, _) = server.request("GET / HTTP/1.1\r\n\r\n");
            assert_eq!(head.status, 400, "refused, with a line in the log");
        }
    }
}

#[test]
fn a_flood_of_refusals_does_not_fill_the_log() {
    for runtime in [wasmtime, jco] {
        let server = serve(runtime, &default_app(), &[]);
        for _ in 0..50 {
            let (head, _) = server.request("GET / HTTP/1.1\r\n\r\n");
            assert_eq!(head.status, 400);
        }
        server.wait_for_log("refused with 400");
        let lines = server.log().matches("refused with 400").count();
        // On a machine on which these take longer than ten seconds there may be some more.
        assert!(lines < 40, "{}", server.log());
    }
}

/// Documented: the server lives as long as its only instance.
#[test]
fn a_trap_ends_the_server() {
    for runtime in [wasmtime, jco] {
        let mut server = serve(runtime, &faults(), &[]);
        let mut client = server.websocket("/");
        client.send(&text("trap"));
        assert!(server.wait().is_some_and(|code| code != 0));
        assert!(server.log().contains("unreachable"), "{}", server.log());
    }
}

#[test]
fn options_match_those_of_wasocket_serve() {
    for runtime in [wasmtime, jco] {
        let help = run(runtime, &["--help"]);
        assert!(help.status.success());
        let help = String::from_utf8_lossy(&help.stdout);
        for option in ["--listen", "--send-timeout", "--decision-timeout"] {
            let of_the_runner = wasocket(&["serve", "--help"]).output().expect("it runs");
            let of_the_runner = String::from_utf8_lossy(&of_the_runner.stdout);
            assert!(help.contains(option) && of_the_runner.contains(option));
        }
        let wrong = run(runtime, &["--listen", "nonsense"]);
        assert_eq!(wrong.status.code(), Some(1));
        let wrong = String::from_utf8_lossy(&wrong.stderr);
        assert!(
            wrong.contains("error: --listen nonsense: expected"),
            "{wrong}"
        );
    }
}

#[test]
fn a_port_in_use_is_named() {
    for runtime in [wasmtime, jco] {
        let server = serve(runtime, &default_app(), &[]);
        let address = server.address.to_string();
        let output = run(runtime, &["--listen", &address]);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(&format!("{address} is in use")), "{error}");
    }
}

#[test]
fn listens_on_ipv6() {
    let mut command = wasmtime();
    command.arg(default_app()).args(["--listen", "[::1]:0"]);
    let server = Server::run(&mut command);
    assert!(server.address.is_ipv6());
    server.websocket("/echo").assert_echoes("hello");
}

/// The lowest version of WASI 0.2, and no unused imports.
#[test]
fn imports_only_the_lowest_version_of_wasi() {
    assert_eq!(
        super::imports(&default_app()),
        [
            "wasi:cli/environment@0.2.0",
            "wasi:cli/stderr@0.2.0",
            "wasi:cli/stdout@0.2.0",
            "wasi:clocks/monotonic-clock@0.2.0",
            "wasi:clocks/wall-clock@0.2.0",
            "wasi:io/error@0.2.0",
            "wasi:io/poll@0.2.0",
            "wasi:io/streams@0.2.0",
            "wasi:sockets/instance-network@0.2.0",
            "wasi:sockets/network@0.2.0",
            "wasi:sockets/tcp-create-socket@0.2.0",
            "wasi:sockets/tcp@0.2.0",
        ]
    );
}
