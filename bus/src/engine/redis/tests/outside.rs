//! Publishers and listeners that are not ours.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::runner::{text, texts};
use super::{Runner, Server, topic};
use crate::message::Start;

fn script() -> String {
    let folder = support::root().join("bus/src/engine/redis/scripts/topic.lua");
    folder.display().to_string()
}

#[tokio::test]
async fn redis_cli_publishes_to_a_topic_without_history() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.subscribe(&topic).await;
    server.cli(&["publish", "wasocket:1:live:room", "text\nhello"]);
    let (_, received) = runner.next_publication().await;
    assert_eq!(received.message, text("hello"));
    assert_eq!(
        (received.position, received.previous, received.origin),
        (None, None, None)
    );

    let script = script();
    let answer = server.cli(&[
        "--eval",
        &script,
        "wasocket:1:meta:{room}",
        ",",
        "publish",
        "text",
        "hi",
    ]);
    assert_eq!(answer, "");
    let (_, received) = runner.next_publication().await;
    assert_eq!(received.message, text("hi"));
    assert_eq!(
        (received.position, received.previous, received.origin),
        (None, None, None)
    );
}

#[tokio::test]
async fn redis_cli_publishes_to_a_topic_with_history() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("the room");
    runner.subscribe(&topic).await;
    runner.keep(&topic, 10, 60).await;
    let before = runner.publish(&topic, text("ours")).await.expect("kept");
    runner.next_publication().await;

    let script = script();
    let answer = server.cli(&[
        "--eval",
        &script,
        "wasocket:1:meta:{the room}",
        ",",
        "publish",
        "text",
        "theirs",
    ]);
    let (_, received) = runner.next_publication().await;
    assert_eq!(received.message, text("theirs"));
    assert_eq!(
        received.position.map(|position| position.to_string()),
        Some(answer)
    );
    assert_eq!(
        received.position.map(|position| position.epoch),
        Some(before.epoch)
    );
    assert_eq!(received.previous, Some(before.offset));
    assert_eq!(received.origin, None);
    let history = runner.history(&topic, Start::After(before)).await;
    assert_eq!(texts(&history), ["theirs"]);
    assert!(history.is_complete);
}

#[tokio::test]
async fn redis_cli_listens() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 0xa7).await;
    let topic = topic("room");
    runner.keep(&topic, 10, 60).await;
    let mut listener = server
        .cli_command()
        .args(["subscribe", "wasocket:1:live:room"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli");
    let mut lines = BufReader::new(listener.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    assert_eq!(
        [line(), line(), line()],
        ["subscribe", "wasocket:1:live:room", "1"]
    );
    let position = runner.publish(&topic, text("hello")).await.expect("kept");
    runner.enter(&topic, 3, "Ada").await;
    let mut message = || [line(), line(), line(), line()];
    let header = format!("text {position} 0 00000000000000a7 1");
    assert_eq!(
        message(),
        ["message", "wasocket:1:live:room", &header, "hello"]
    );
    assert_eq!(
        message(),
        [
            "message",
            "wasocket:1:live:room",
            "joined 00000000000000a7 3",
            "Ada"
        ]
    );
    listener.kill().expect("the child is ours");
    listener.wait().expect("the child is ours");
}

#[tokio::test]
async fn what_is_not_understood_is_counted_and_left_out() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.subscribe(&topic).await;
    for bad in [
        "",
        "hello",
        "hello\nworld",
        "text 7 8\nhi",
        "joined x 1\nAda",
    ] {
        server.cli(&["publish", "wasocket:1:live:room", bad]);
    }
    server.cli(&["publish", "wasocket:1:live:room", "text\ngood"]);
    let (_, received) = runner.next_publication().await;
    assert_eq!(received.message, text("good"));
    assert_eq!(runner.engine.misunderstood(), 5);
    runner.assert_nothing_came().await;
}

#[tokio::test]
async fn foreign_entries_in_a_stream_are_left_out_and_count_as_missing() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.keep(&topic, 10, 60).await;
    let first = runner.publish(&topic, text("first")).await.expect("kept");
    server.cli(&["xadd", "wasocket:1:stream:{room}", "*", "what", "ever"]);
    let history = runner.history(&topic, Start::Last(10)).await;
    // The time of Redis is in milliseconds in its own numbers, so that the entry is the oldest, or none is.
    assert!(texts(&history).iter().all(|text| *text == "first"));

    // An entry from the future: history begins again.
    server.cli(&[
        "xadd",
        "wasocket:1:stream:{room}",
        "18446744073709551615-0",
        "what",
        "ever",
    ]);
    let second = runner.publish(&topic, text("second")).await.expect("kept");
    assert_ne!(first.epoch, second.epoch);
    assert!(
        !runner
            .history(&topic, Start::After(first))
            .await
            .is_complete
    );
    runner.publish(&topic, text("third")).await.expect("kept");
    let history = runner.history(&topic, Start::After(second)).await;
    assert_eq!(texts(&history), ["third"]);
    assert!(history.is_complete);

    // Where the topic stands is nonsense: the same.
    server.cli(&["set", "wasocket:1:meta:{room}", "many"]);
    assert_eq!(runner.publish(&topic, text("unkept")).await, None);
    runner.keep(&topic, 10, 60).await;
    let third = runner.publish(&topic, text("fourth")).await.expect("kept");
    assert_ne!(second.epoch, third.epoch);
    assert_eq!(
        texts(&runner.history(&topic, Start::Last(10)).await),
        ["fourth"]
    );
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_of_its_topic_alone() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    server.cli(&["hset", "wasocket:1:meta:{room}", "this", "is mine"]);
    let sent = runner.sent(&topic("room"), text("hello"));
    let error = runner.ask(crate::engine::Request::Publish(sent)).await;
    let error = error.expect_err("not published");
    assert!(error.0.contains("WRONGTYPE"), "{error:?}");
    assert_eq!(runner.publish(&topic("other"), text("hello")).await, None);
}
