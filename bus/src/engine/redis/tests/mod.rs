//! Tests against a real server, which each of them starts for itself.

mod failures;
mod history;
mod members;
mod outside;
mod publish;
mod runner;
mod schedules;
mod security;
mod server;
mod throughput;

use self::runner::Runner;
use self::server::Server;
use crate::topic::Topic;

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}
