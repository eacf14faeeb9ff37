//! Topics, with the running program: what one client publishes reaches the subscribers on other instances and in other
//! workers.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod engines;
mod history;
mod limits;
mod outside;
#[allow(dead_code, reason = "the tests of new versions use the rest")]
mod peer;
mod rooms;
mod scale;
mod slow;

use std::path::PathBuf;
use std::sync::LazyLock;

use support::{Server, build_guest};

static GUEST: LazyLock<PathBuf> = LazyLock::new(|| build_guest("topics", ""));

/// Serves the app of these tests.
fn serve(options: &[&str]) -> Server {
    Server::serving(&GUEST, options)
}
