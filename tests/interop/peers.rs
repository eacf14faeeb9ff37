//! Third-party clients against the running default app. `tests/setup.sh` installs them.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use support::Server;

fn run(peer: &str) {
    Server::start().assert_serves(peer, "ws");
}

#[test]
fn gorilla_websocket() {
    run("gorilla");
}

#[test]
fn golang_x_net_websocket() {
    run("xnet");
}

#[test]
fn npm_ws() {
    run("ws");
}

#[test]
fn python_websockets() {
    run("python");
}

#[test]
fn tokio_tungstenite() {
    run("tungstenite");
}

#[test]
fn the_default_page_in_chromium() {
    run("browser");
}
