//! `wasocket serve --instance-by`: all connections of a room meet on one instance, whichever worker accepts them.
//!
//! The guest `rooms` counts what is sent to a room, in the memory of its instance: if a room were on two instances, two
//! members would get the same number.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod ends;
#[path = "../http2/client.rs"]
#[allow(dead_code, reason = "the tests of HTTP/2 use the rest of it")]
mod http2_client;
mod keep_alive;
mod limits;
mod member;
mod transports;

use std::path::PathBuf;

use support::{Server, Site, build_guest, wasocket};

const PATTERN: &str = "/rooms/{room}";

fn rooms() -> PathBuf {
    build_guest("rooms", "")
}

/// Serves the guest `rooms` with these options, and an endpoint for the operator.
fn serve(workers: &str, options: &[&str]) -> Server {
    let own = [
        "--workers",
        workers,
        "--instance-by",
        PATTERN,
        "--admin",
        "127.0.0.1:0",
    ];
    Server::serving(&rooms(), &[&own, options].concat())
}

/// The number of connections and streams that have moved.
fn moved(admin: &Site) -> [u64; 2] {
    ["connection", "stream"].map(|what| {
        let name = format!("wasocket_moves_total{{what=\"{what}\"}}");
        support::operator::metric(admin, &name)
    })
}

#[test]
fn wrong_patterns_are_refused_at_the_start() {
    for (pattern, reason) in [
        ("rooms/{room}", "must begin with a slash"),
        ("/rooms", "needs a {name}"),
        ("/rooms/room-{room}", "the segment \"room-{room}\""),
        ("/{room}/{room}", "{room} is in it twice"),
    ] {
        let mut command = wasocket(&["serve", "--instance-by", pattern]);
        let output = command.output().expect("the runner runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{pattern}: {error}");
        assert!(
            error.contains(reason) && error.contains("--instance-by"),
            "{pattern}: {error}"
        );
    }
}
