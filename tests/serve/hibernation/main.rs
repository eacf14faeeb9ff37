//! Connections that sleep, with the running program: what wakes them, and that nothing is lost.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod ends;
#[path = "../topics/peer.rs"]
#[allow(dead_code, reason = "the tests of topics use the rest")]
mod peer;
mod pings;
mod rooms;
mod states;
mod versions;

use std::ops::Deref;
use std::path::Path;

use support::operator::{admin, metric, wait_for_metric};
use support::{Server, Site, build_guest};

use crate::peer::Peer;

/// A server whose connections sleep after a second.
struct Dormitory {
    server: Server,
    admin: Site,
}

impl Deref for Dormitory {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Dormitory {
    fn serve(options: &[&str]) -> Self {
        Self::serving(&build_guest("topics", ""), options)
    }

    fn serving(component: &Path, options: &[&str]) -> Self {
        Self::awake(component, &[&["--hibernate-after", "1"], options].concat())
    }

    /// A server whose connections sleep if the options say so.
    fn awake(component: &Path, options: &[&str]) -> Self {
        let server = Server::serving(component, &[&["--admin", "127.0.0.1:0"], options].concat());
        let admin = admin(&server);
        Self { server, admin }
    }

    fn metric(&self, name: &str) -> u64 {
        metric(&self.admin, &format!("wasocket_{name}"))
    }

    /// The number of wakes for this reason.
    fn wakes_for(&self, reason: &str) -> u64 {
        self.metric(&format!("wakes_total{{for=\"{reason}\"}}"))
    }

    fn wait_for(&self, name: &str, value: u64) {
        wait_for_metric(&self.admin, &format!("wasocket_{name}"), value);
    }

    /// Waits until this number of connections sleep.
    fn wait_until_asleep(&self, number: u64) {
        self.wait_for("connections_asleep", number);
    }
}

fn assert_echoes(peer: &mut Peer, text: &str) {
    peer.send(&format!("!echo {text}"));
    assert_eq!(peer.read(), text);
}
