//! Clients that nobody here wrote against the running default app. `tests/setup.sh` installs them.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod runner;

use std::process::Command;

use runner::Server;

/// Runs a peer, which ends by itself within a minute.
fn run(peer: &str) {
    let server = Server::start();
    let output = Command::new(runner::root().join("tests/peers/run"))
        .args([peer, &format!("ws://{}", server.address)])
        .output()
        .expect("tests/peers/run runs");
    assert!(
        output.status.success(),
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        server.log(),
    );
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
