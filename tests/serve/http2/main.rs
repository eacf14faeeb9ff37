//! `wasocket serve --http2`: WebSockets on the streams of a connection (RFC 8441), against the running binary.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod client;
mod exchange;
mod floods;
mod hosts;
mod slow;
mod streams;
mod sums;
mod swap;
mod tls;
mod topics;

use support::Server;

/// Serves the default app with these options.
fn serve(options: &[&str]) -> Server {
    Server::with_options(&[&["--http2"], options].concat())
}

/// Serves the guest `faults` with these options.
fn faults(options: &[&str]) -> Server {
    let component = support::build_guest("faults", "bare");
    Server::serving(&component, &[&["--http2"], options].concat())
}
