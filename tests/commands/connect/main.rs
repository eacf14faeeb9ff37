//! `wasocket connect`: the binary against `wasocket serve`, over TCP, TLS and a proxy.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod ends;
mod handshake;
mod messages;
mod proxy;
mod servers;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command};

use support::Server;

fn url(server: &Server, path: &str) -> String {
    format!("ws://{}{path}", server.address)
}

/// Presses Ctrl-C.
fn interrupt(child: &Child) {
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &id]).status();
    assert!(status.expect("kill runs").success());
}

/// An address on which nothing listens.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}
