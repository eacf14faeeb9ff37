//! How fast it goes: `cargo test --release -p wasocket-bus --lib -- --ignored redis::tests::throughput --nocapture`.

use std::time::Instant;

use super::runner::text;
use super::{Runner, Server, topic};
use crate::engine::{Incoming, Request};

const COUNT: usize = 200_000;
const UNDER_WAY: usize = 500;

async fn measure(name: &str, has_history: bool, is_heard: bool) {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    if has_history {
        runner.keep(&topic, 50, 60).await;
    }
    if is_heard {
        runner.subscribe(&topic).await;
    }
    let message = text(&"x".repeat(125));
    let start = Instant::now();
    let (mut sent, mut answered, mut heard) = (0, 0, 0);
    while answered < COUNT || (is_heard && heard < COUNT) {
        while sent < COUNT && sent - answered < UNDER_WAY {
            let publication = runner.sent(&topic, message.clone());
            runner.begin(Request::Publish(publication));
            sent += 1;
        }
        match runner.next_now().await {
            Ok(Incoming::Done(..)) => answered += 1,
            Ok(Incoming::Published(..)) => heard += 1,
            other => panic!("{other:?}"),
        }
    }
    let rate = COUNT as f64 / start.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} publications a second");
}

#[tokio::test]
#[ignore = "a measurement"]
async fn publications_a_second() {
    measure("without history", false, false).await;
    measure("with history", true, false).await;
    measure("without history, heard", false, true).await;
    measure("with history, heard", true, true).await;
}
