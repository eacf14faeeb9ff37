//! The traces that the running binary sends to an OpenTelemetry collector.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod collector;
mod delivery;
mod otlp;
mod spans;

use support::Server;

fn stop(mut server: Server) {
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}
