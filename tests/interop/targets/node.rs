//! Node's HTTP server, through the package in `npm/`, which passes the whole table. More tests are in `npm/test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use support::host_behaviours;
use support::{Server, app_behaviours, build_guest, root};

/// Behaviours that Node's own HTTP parser makes impossible.
const CANNOT: [(&str, &str); 7] = [
    (
        "the vectors of opening handshakes",
        "Node reads some of them differently: npm/test/vectors.test.js lists them",
    ),
    (
        "bytes after a refused upgrade get no answer",
        "Node reads some of them differently; npm/test has a request after a handshake that the component refuses",
    ),
    (
        "a body of known length keeps the connection open",
        "Node sends `Connection: keep-alive`, and keeps connections open after chunked bodies, too",
    ),
    (
        "a slow request head times out",
        "only after the `headersTimeout` of Node's server, which is a minute",
    ),
    (
        "an incomplete request head is refused",
        "Node's 400 has neither a length nor a text",
    ),
    (
        "hijack speaks raw TCP",
        "Node hands over only the sockets of requests with Upgrade: npm/test has one",
    ),
    (
        "a slow reader gets everything",
        "it needs a raw takeover of a request without Upgrade; npm/test has a slow reader",
    ),
];

/// So that a busy machine ends no instance: `callTimeout` is wall-clock time. JavaScript's engine also takes some
/// 100 ns for each character of a text.
const CALL_TIMEOUT: [&str; 2] = ["--call-timeout", "5000"];

/// Serves the folder of a component.
fn serve(folder: &Path, options: &[&str]) -> Server {
    Server::run(
        Command::new("node")
            // Python's modules need it; Node 22 has it by default.
            .arg("--experimental-wasm-extended-const")
            .arg(folder.join("server.js"))
            .args(["--listen", "127.0.0.1:0"])
            .args(CALL_TIMEOUT)
            .args(options)
            .env("NODE_DEBUG", "wasocket"),
    )
}

/// A component that includes the protocol.
fn guest(package: &str, features: &str) -> PathBuf {
    super::compose(&build_guest(package, features), "node")
}

#[test]
fn apps_on_node() {
    for language in super::ALL_FORMS {
        super::check("node", language, &[], |app| {
            serve(&super::compose(app, "node"), &[])
        });
    }
}

#[test]
fn every_host_behaviour_holds() {
    let echo = guest("echo", "");
    let faults = guest("faults", "bare");
    std::thread::scope(|scope| {
        for (folder, table) in [
            (&echo, host_behaviours::DEFAULT_APP),
            (&faults, host_behaviours::FAULTS),
        ] {
            for row in table {
                scope.spawn(|| {
                    let server = serve(folder, &[]);
                    app_behaviours::run("node", &[*row], &server, &CANNOT)
                });
            }
        }
    });
}

#[test]
fn a_peer_that_stops_reading_is_disconnected() {
    let folder = guest("faults", "bare");
    host_behaviours::a_peer_that_stops_reading_is_disconnected(|options| {
        // Node logs with NODE_DEBUG what the runner logs with `--verbose`.
        let options: Vec<_> = options
            .iter()
            .copied()
            .filter(|option| *option != "--verbose")
            .collect();
        serve(&folder, &options)
    });
}

#[test]
fn decisions_may_take_time_up_to_the_limit() {
    let folder = guest("pending", "");
    host_behaviours::decisions_may_take_time_up_to_the_limit(|options| serve(&folder, options));
}

/// The tests in `npm/test`, and the check of the types.
#[test]
fn the_npm_package_passes_its_own_tests() {
    guest("hijack", "");
    for script in ["check", "test"] {
        let output = Command::new("npm")
            .args(["run", "--silent", script])
            .current_dir(root().join("npm"))
            .output()
            .expect("npm runs; `make setup` installs it");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
