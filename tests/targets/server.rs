//! A whole server in a component, in stock runtimes: in wasmtime, whose smallest use `stock.rs` is, and in jco.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::{apps, compose};
use crate::hosts::{self, assert_echoes};
use crate::runner::{Server, build_guest, root, text, wasocket};

/// What this target cannot do.
const CANNOT: [(&str, &str); 1] = [(
    "an exception closes all of the instance with 1011",
    "there is one instance, and nobody outlives it who could say so: the server ends",
)];

/// A runtime: the command that runs a component.
type Runtime = fn() -> Command;

fn wasmtime() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        // With the features of the whole workspace: nothing is built twice.
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
    let mut command = runtime();
    command.arg(component).args(["--listen", "127.0.0.1:0"]);
    Server::run(command.args(options))
}

/// A server made of the default app.
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
fn what_every_host_does_on_wasmtime() {
    let server = serve(wasmtime, &default_app(), &[]);
    apps::run("server on wasmtime", hosts::DEFAULT_APP, &server, &[]);
    let server = serve(wasmtime, &faults(), &[]);
    apps::run("server on wasmtime", hosts::FAULTS, &server, &[]);
}

#[test]
fn what_every_host_does_on_jco() {
    let server = serve(jco, &default_app(), &[]);
    apps::run("server on jco", hosts::DEFAULT_APP, &server, &[]);
    let server = serve(jco, &faults(), &[]);
    apps::run("server on jco", hosts::FAULTS, &server, &[]);
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    for runtime in [wasmtime, jco] {
        let component = faults();
        hosts::a_peer_that_takes_nothing_is_given_up(|options| serve(runtime, &component, options));
    }
}

#[test]
fn decisions_take_their_time() {
    for runtime in [wasmtime, jco] {
        let component = compose(&build_guest("hesitates", ""), "server");
        hosts::decisions_take_their_time(|options| serve(runtime, &component, options));
    }
}

/// Clients that nobody here wrote.
#[test]
fn peers() {
    for runtime in [wasmtime, jco] {
        let server = serve(runtime, &default_app(), &[]);
        for peer in ["ws", "python"] {
            server.assert_serves(peer, "ws");
        }
    }
}

#[test]
fn beyond_the_most_connections_others_wait() {
    for runtime in [wasmtime, jco] {
        let server = serve(runtime, &default_app(), &["--max-connections", "2"]);
        let first = server.websocket("/echo");
        let mut second = server.websocket("/echo");
        let mut third = server.connect();
        third.send(b"GET /nowhere HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        assert_echoes(&mut second, "only two");
        assert!(third.has_nothing_to_read());
        drop(first);
        assert_eq!(third.read_head().status, 404);
    }
}

#[test]
fn what_an_app_does_wrong_is_logged() {
    apps::build();
    let chat = compose(&apps::component("rust", "chat"), "server");
    let server = serve(wasmtime, &chat, &[]);
    server.websocket("/rooms/a?ann").send(&text("/flood"));
    server.wait_for_log("the app is at fault");
}

/// Documented: one instance has one life.
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
fn the_command_line_is_that_of_wasocket_serve() {
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
    assert_echoes(&mut server.websocket("/echo"), "hello");
}

/// The lowest version of WASI 0.2 that there is, and nothing that is not used.
#[test]
fn imports() {
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
