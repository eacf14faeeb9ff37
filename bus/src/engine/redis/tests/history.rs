use std::time::Duration;

use bytes::Bytes;

use super::runner::{pause, text, texts};
use super::{Runner, Server, topic};
use crate::message::{Kind, Message, Start};
use crate::position::Position;

#[tokio::test]
async fn gives_the_last_and_those_after_a_position() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.keep(&topic, 100, 60).await;
    let start = runner.history(&topic, Start::Now).await;
    let mut positions = vec![start.position.expect("a position")];
    assert_eq!(positions[0].offset, 0);
    let words: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    for word in &words {
        let position = runner.publish(&topic, text(word)).await;
        positions.push(position.expect("a position"));
    }
    for last in [0, 1, 16, 17, 50, 1000] {
        let history = runner.history(&topic, Start::Last(last)).await;
        let from = words.len().saturating_sub(last as usize);
        assert_eq!(texts(&history), words[from..]);
        assert!(history.is_complete);
        assert_eq!(history.position, positions.last().copied());
    }
    for (at, position) in positions.iter().enumerate() {
        let history = runner.history(&topic, Start::After(*position)).await;
        assert_eq!(texts(&history), words[at..]);
        assert!(history.is_complete);
        let mut last = position.offset;
        for (publication, position) in history.publications.iter().zip(&positions[at + 1..]) {
            assert_eq!(publication.position, Some(*position));
            assert_eq!(publication.previous, Some(last));
            assert_eq!(publication.origin.map(|origin| origin.runner), Some(1));
            last = position.offset;
        }
    }
}

#[tokio::test]
async fn says_when_it_does_not_reach_back() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.keep(&topic, 5, 60).await;
    let mut positions = vec![];
    for number in 0..20 {
        let position = runner.publish(&topic, text(&number.to_string())).await;
        positions.push(position.expect("a position"));
    }
    for (at, position) in positions.iter().enumerate() {
        let history = runner.history(&topic, Start::After(*position)).await;
        assert_eq!(history.is_complete, at >= 14, "after {at}");
    }
    assert_eq!(
        texts(&runner.history(&topic, Start::Last(100)).await),
        ["15", "16", "17", "18", "19"]
    );
    let now = *positions.last().expect("positions");
    let never = [
        Position {
            epoch: now.epoch ^ 1,
            ..now
        },
        Position {
            offset: now.offset + 1,
            ..now
        },
        Position {
            offset: positions[17].offset - 1,
            ..now
        },
        Position {
            epoch: u64::MAX,
            offset: u64::MAX,
        },
    ];
    for position in never {
        let history = runner.history(&topic, Start::After(position)).await;
        assert!(!history.is_complete, "{position}");
        assert_eq!(history.position, Some(now));
    }
}

#[tokio::test]
async fn the_longest_wish_counts() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.keep(&topic, 5, 1).await;
    runner.keep(&topic, 2, 60).await;
    for number in 0..20 {
        runner.publish(&topic, text(&number.to_string())).await;
    }
    pause(Duration::from_millis(1_200)).await;
    let history = runner.history(&topic, Start::Last(100)).await;
    assert_eq!(texts(&history), ["15", "16", "17", "18", "19"]);
}

#[tokio::test]
async fn forgets_what_is_too_old() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.keep(&topic, 100, 1).await;
    let old = runner.publish(&topic, text("old")).await.expect("kept");
    runner.publish(&topic, text("also old")).await;
    pause(Duration::from_millis(1_100)).await;
    let young = runner.publish(&topic, text("young")).await.expect("kept");
    let history = runner.history(&topic, Start::Last(100)).await;
    assert_eq!(texts(&history), ["young"]);
    let history = runner.history(&topic, Start::After(old)).await;
    assert!(!history.is_complete);

    // Where the topic stands is known for longer than what was said.
    while server.cli(&["exists", "wasocket:1:stream:{room}"]) != "0" {
        pause(Duration::from_millis(50)).await;
    }
    let history = runner.history(&topic, Start::After(young)).await;
    assert!(history.is_complete);
    assert_eq!(history.position, Some(young));
}

#[tokio::test]
async fn bytes_are_bounded() {
    let server = Server::start();
    let mut connector = server.connector();
    connector.tuning.topic_bytes = 10_000;
    let mut runner = Runner::connect(&connector, 1).await;
    let topic = topic("room");
    runner.keep(&topic, 30, 60).await;
    let publish = |length: usize| Message {
        kind: Kind::Binary,
        bytes: Bytes::from(vec![7; length]),
    };
    for (length, kept) in [
        (10, 30),
        (1_000, 10),
        (3_000, 3),
        (10_000, 1),
        (10_001, 0),
        (10, 1),
    ] {
        for _ in 0..40 {
            runner.publish(&topic, publish(length)).await;
            if length == 10 && kept == 1 {
                break;
            }
        }
        let history = runner.history(&topic, Start::Last(100)).await;
        assert_eq!(history.publications.len(), kept, "of {length} bytes");
    }
}

#[tokio::test]
async fn reads_no_more_than_the_bound_and_says_so() {
    let server = Server::start();
    let mut publisher = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    publisher.keep(&topic, 100, 60).await;
    let start = publisher
        .history(&topic, Start::Now)
        .await
        .position
        .expect("kept");
    for _ in 0..20 {
        publisher.publish(&topic, text(&"x".repeat(1_000))).await;
    }
    let mut connector = server.connector();
    connector.tuning.topic_bytes = 5_500;
    let mut reader = Runner::connect(&connector, 2).await;
    let history = reader.history(&topic, Start::After(start)).await;
    assert_eq!(history.publications.len(), 5);
    assert!(!history.is_complete);
    assert_eq!(
        reader
            .history(&topic, Start::Last(100))
            .await
            .publications
            .len(),
        5
    );
}

#[tokio::test]
async fn a_topic_without_history_has_none() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    assert_eq!(runner.publish(&topic, text("gone")).await, None);
    let history = runner.history(&topic, Start::Last(10)).await;
    assert!(history.publications.is_empty() && history.position.is_none());
    let somewhere = Position {
        epoch: 1,
        offset: 1,
    };
    assert!(
        !runner
            .history(&topic, Start::After(somewhere))
            .await
            .is_complete
    );
    // Nothing else than the number of the runner's publication is kept, for hours.
    assert_eq!(
        server.cli(&["keys", "*room*"]),
        "wasocket:1:seen:{room}:0000000000000001"
    );
}
