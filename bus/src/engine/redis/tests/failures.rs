use std::time::Duration;

use tokio::time::timeout;

use super::runner::{pause, text, texts};
use super::{Runner, Server, topic};
use crate::engine::{Connector, Engine, Request};
use crate::message::Start;

#[tokio::test]
async fn a_server_that_ends_ends_the_connection() {
    let mut server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    server.kill();
    let error = runner.next_now().await.expect_err("the connection goes on");
    assert!(!error.0.is_empty());
    // And it stays ended.
    runner.begin(Request::Renew);
    assert_eq!(runner.next_now().await.expect_err("it goes on"), error);
    let error = server.connector().connect(1).await.err();
    assert!(error.is_some_and(|error| error.0.contains("is it running")));
}

#[tokio::test]
async fn a_server_that_stands_still_ends_the_connection() {
    let server = Server::start();
    let mut connector = server.connector();
    connector.tuning.idle = Duration::from_millis(100);
    connector.tuning.answer_timeout = Duration::from_millis(400);
    let topic = topic("room");
    for is_busy in [false, true] {
        let mut runner = Runner::connect(&connector, 1).await;
        // An idle connection that is asked now and then goes on.
        assert!(
            timeout(Duration::from_secs(1), runner.engine.next())
                .await
                .is_err()
        );
        runner.done(Request::Renew).await;
        server.signal("STOP");
        if is_busy {
            // More than the buffers of both sockets hold.
            for _ in 0..20 {
                let sent = runner.sent(&topic, text(&"x".repeat(1024 * 1024)));
                runner.begin(Request::Publish(sent));
            }
        }
        let error = runner.next_now().await.expect_err("the connection goes on");
        assert!(error.0.contains("does not answer"), "{error:?}");
        let connecting = timeout(Duration::from_millis(400), connector.connect(1));
        assert!(
            connecting.await.is_err(),
            "a server that stands still answers"
        );
        server.signal("CONT");
    }
}

#[tokio::test]
async fn a_lost_database_begins_a_new_epoch() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.keep(&topic, 10, 60).await;
    let before = runner.publish(&topic, text("before")).await.expect("kept");
    server.cli(&["flushall"]);
    let history = runner.history(&topic, Start::After(before)).await;
    assert!(!history.is_complete && history.position.is_none());
    runner.keep(&topic, 10, 60).await;
    let after = runner.publish(&topic, text("after")).await.expect("kept");
    assert_ne!(before.epoch, after.epoch);
    assert!(
        !runner
            .history(&topic, Start::After(before))
            .await
            .is_complete
    );
}

#[tokio::test]
async fn lost_history_is_not_complete() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.keep(&topic, 10, 60).await;
    let first = runner.publish(&topic, text("first")).await.expect("kept");
    let second = runner.publish(&topic, text("second")).await.expect("kept");
    // As an eviction does.
    server.cli(&["del", "wasocket:1:stream:{room}"]);
    assert!(
        !runner
            .history(&topic, Start::After(first))
            .await
            .is_complete
    );
    assert!(
        runner
            .history(&topic, Start::After(second))
            .await
            .is_complete
    );
    runner.publish(&topic, text("third")).await;
    let history = runner.history(&topic, Start::After(second)).await;
    assert_eq!(texts(&history), ["third"]);
    assert!(history.is_complete);
    assert!(
        !runner
            .history(&topic, Start::After(first))
            .await
            .is_complete
    );
}

/// The server may have lost its latest writes, and nothing tells which: what was announced before is of another epoch.
#[tokio::test]
async fn a_restart_of_the_server_begins_a_new_epoch_and_keeps_history() {
    let mut server = Server::start_with(&["--appendfsync", "always"]);
    let topic = topic("room");
    let mut runner = Runner::connect(&server.connector(), 1).await;
    runner.keep(&topic, 10, 60).await;
    let sent = runner.sent(&topic, text("before"));
    let before = runner.publish_again(sent.clone()).await.expect("kept");
    server.kill_and_restart();
    assert!(runner.next_now().await.is_err());

    let mut runner = Runner::connect(&server.connector(), 1).await;
    let history = runner.history(&topic, Start::After(before)).await;
    assert!(!history.is_complete);
    let between = history.position.expect("kept");
    assert_ne!(between.epoch, before.epoch);
    assert_eq!(
        texts(&runner.history(&topic, Start::Last(10)).await),
        ["before"]
    );
    // What was published before the restart is still recognised.
    runner.publish_again(sent).await;
    assert_eq!(
        runner.history(&topic, Start::Now).await.position,
        Some(between)
    );
    let mut other = Runner::connect(&server.connector(), 2).await;
    let after = other.publish(&topic, text("after")).await.expect("kept");
    assert_eq!(after.epoch, between.epoch);
    let history = other.history(&topic, Start::After(between)).await;
    assert_eq!(texts(&history), ["after"]);
    assert!(history.is_complete);
}

#[tokio::test]
async fn a_publisher_that_is_not_ours_notices_a_restart_too() {
    let mut server = Server::start_with(&["--appendfsync", "always"]);
    let topic = topic("room");
    let mut runner = Runner::connect(&server.connector(), 1).await;
    runner.keep(&topic, 10, 60).await;
    let before = runner.publish(&topic, text("before")).await.expect("kept");
    server.kill_and_restart();
    let script = support::root().join("bus/src/engine/redis/scripts/topic.lua");
    let script = script.display().to_string();
    let position = server.cli(&[
        "--eval",
        &script,
        "wasocket:1:meta:{room}",
        ",",
        "publish",
        "text",
        "hi",
    ]);
    assert_ne!(
        position
            .parse::<crate::position::Position>()
            .expect("kept")
            .epoch,
        before.epoch
    );
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let history = runner.history(&topic, Start::Now).await;
    assert_eq!(history.position.map(|now| now.to_string()), Some(position));
}

#[tokio::test]
async fn scripts_that_are_flushed_end_the_connection() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    server.cli(&["script", "flush"]);
    assert!(runner.ask(Request::Renew).await.is_err());
    let mut runner = Runner::connect(&server.connector(), 1).await;
    runner.done(Request::Renew).await;
}

#[tokio::test]
async fn a_full_server_refuses_and_the_connection_goes_on() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    server.cli(&["config", "set", "maxmemory", "1"]);
    let sent = runner.sent(&topic("room"), text("hello"));
    let error = runner.ask(Request::Publish(sent.clone())).await;
    assert!(error.expect_err("published").0.contains("maxmemory"));
    server.cli(&["config", "set", "maxmemory", "0"]);
    pause(Duration::from_millis(1)).await;
    runner.publish_again(sent).await;
}
