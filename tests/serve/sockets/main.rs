//! Where `wasocket serve` listens, and how clients reach it: Unix sockets, sockets from systemd, TLS, proxies.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod certificate;
mod listeners;
mod proxies;
mod tls;
mod tls_client;
mod topics;

use std::process::Command;

use support::wasocket;

/// `wasocket serve` on a loopback port, with these options.
fn serve(options: &[&str]) -> Command {
    let mut command = wasocket(&["--verbose", "serve", "--listen", "127.0.0.1:0"]);
    command.args(options);
    command
}

fn assert_fails(options: &[&str], message: &str) {
    let output = serve(options).output().expect("the runner runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{options:?}");
    assert!(error.contains(message), "{options:?}: {error}");
}
