//! Node's HTTP server, by the package in `npm/`: it can do all of it. The rest is in `npm/test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::apps;
use crate::hosts;
use crate::runner::{Server, build_guest, root};

/// What Node's parser of HTTP in front makes impossible.
const CANNOT: [(&str, &str); 7] = [
    (
        "the vectors of opening handshakes",
        "Node reads some of them differently: npm/test/vectors.test.js lists them",
    ),
    (
        "nothing behind a refused upgrade is answered",
        "so it reads their kin; npm/test has a request behind a handshake that the component refuses",
    ),
    (
        "a body keeps the connection where its end is known",
        "Node says `Connection: keep-alive`, and keeps it behind chunked bodies, too",
    ),
    (
        "a slow head is given up",
        "after `headersTimeout` of Node's server, which is a minute",
    ),
    (
        "half a head is refused",
        "Node's 400 has no length, nor a text",
    ),
    (
        "hijack speaks raw TCP",
        "Node gives back the sockets of requests with Upgrade only: npm/test has one",
    ),
    (
        "a slow reader gets everything",
        "by a raw takeover of a request without Upgrade; npm/test has a slow reader",
    ),
];

/// A busy machine ends no instance: the clock of `callTimeout` goes on while others run. JavaScript's engine takes some
/// 100 ns for each character of a text, too.
const CALL_TIMEOUT: [&str; 2] = ["--call-timeout", "5000"];

/// Serves the folder of a component.
fn serve(folder: &Path, options: &[&str]) -> Server {
    Server::run(
        Command::new("node")
            // Python's modules need it; Node 22 knows it without.
            .arg("--experimental-wasm-extended-const")
            .arg(folder.join("server.js"))
            .args(["--listen", "127.0.0.1:0"])
            .args(CALL_TIMEOUT)
            .args(options)
            .env("NODE_DEBUG", "wasocket"),
    )
}

/// A component that needs no protocol.
fn guest(package: &str, features: &str) -> PathBuf {
    super::compose(&build_guest(package, features), "node")
}

#[test]
fn node() {
    for language in super::ALL_FORMS {
        super::check("node", language, &[], |app| {
            serve(&super::compose(app, "node"), &[])
        });
    }
}

#[test]
fn what_every_host_does() {
    let echo = guest("echo", "");
    let faults = guest("faults", "bare");
    std::thread::scope(|scope| {
        for (folder, table) in [(&echo, hosts::DEFAULT_APP), (&faults, hosts::FAULTS)] {
            for row in table {
                scope.spawn(|| {
                    let server = serve(folder, &[]);
                    apps::run("node", &[*row], &server, &CANNOT)
                });
            }
        }
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let folder = guest("faults", "bare");
    hosts::a_peer_that_takes_nothing_is_given_up(|options| {
        // What the runner says with `--verbose` is what Node says with NODE_DEBUG.
        let options: Vec<_> = options
            .iter()
            .copied()
            .filter(|option| *option != "--verbose")
            .collect();
        serve(&folder, &options)
    });
}

#[test]
fn decisions_take_their_time() {
    let folder = guest("hesitates", "");
    hosts::decisions_take_their_time(|options| serve(&folder, options));
}

/// What `npm/test` has, and whether the types are right.
#[test]
fn the_package() {
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
