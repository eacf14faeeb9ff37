//! How fast it goes: `cargo test --release -p wasocket-bus --lib -- --ignored nats::tests::throughput --nocapture`.

use std::fs;
use std::time::Instant;

use super::client::{Client, KEEP, text};
use super::server::Server;
use crate::engine::{Incoming, Request};

const COUNT: usize = 100_000;
const UNDER_WAY: usize = 500;

/// The microseconds of CPU that a process has used.
fn cpu_of(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name");
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|ticks| ticks.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() * 10_000.0
}

async fn measure(name: &str, has_history: bool, is_heard: bool) {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    if has_history {
        client.keep("room", KEEP).await;
    }
    if is_heard {
        client.subscribe("room").await;
    }
    let message = text(&"x".repeat(125));
    let start = Instant::now();
    let before = (cpu_of(std::process::id()), cpu_of(server.id()));
    let (mut sent, mut answered, mut heard) = (0, 0, 0);
    while answered < COUNT || (is_heard && heard < COUNT) {
        while sent < COUNT && sent - answered < UNDER_WAY {
            let publication = client.sent("room", message.clone());
            client.begin(Request::Publish(publication));
            sent += 1;
        }
        match client.next().await {
            Ok(Incoming::Done(..)) => answered += 1,
            Ok(Incoming::Published(..)) => heard += 1,
            other => panic!("{other:?}"),
        }
    }
    let rate = COUNT as f64 / start.elapsed().as_secs_f64();
    let each = |before: f64, after: f64| (after - before) / COUNT as f64;
    let own = each(before.0, cpu_of(std::process::id()));
    let servers = each(before.1, cpu_of(server.id()));
    println!(
        "{name}: {rate:.0} publications a second; CPU for each: runner {own:.1} µs, NATS {servers:.1} µs"
    );
}

#[tokio::test]
#[ignore = "a measurement"]
async fn publications_a_second() {
    measure("without history", false, false).await;
    measure("with history", true, false).await;
    measure("without history, heard", false, true).await;
    measure("with history, heard", true, true).await;
}
