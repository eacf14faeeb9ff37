//! History: positions, reading, and saying what is missing.

use super::client::{Client, KEEP, text};
use super::server::Server;
use crate::engine::History;
use crate::message::{Keep, Start};
use crate::position::Position;

async fn publish(client: &mut Client, name: &str, count: u32) -> Vec<Position> {
    let mut positions = vec![];
    for number in 1..=count {
        positions.push(
            client
                .publish(name, text(&number.to_string()))
                .await
                .unwrap(),
        );
    }
    positions
}

fn texts(history: &History) -> Vec<String> {
    let message = |received: &crate::engine::Received| received.message.bytes.to_vec();
    history
        .publications
        .iter()
        .map(|received| String::from_utf8(message(received)).unwrap())
        .collect()
}

#[tokio::test]
async fn the_last_publications_are_those_that_were_announced() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.keep("room", KEEP).await;
    client.keep("other", KEEP).await;
    publish(&mut client, "other", 3).await;
    let positions = publish(&mut client, "room", 5).await;
    publish(&mut client, "other", 3).await;
    for (count, expected) in [(0, 5..5), (1, 4..5), (3, 2..5), (5, 0..5), (50, 0..5)] {
        let history = client.history("room", Start::Last(count)).await;
        let read: Vec<_> = history
            .publications
            .iter()
            .map(|received| received.position.unwrap())
            .collect();
        assert_eq!(read, positions[expected]);
        assert_eq!(history.position, Some(positions[4]));
        assert!(history.is_complete);
    }
    let now = client.history("room", Start::Now).await;
    assert_eq!(
        (now.publications.len(), now.position),
        (0, Some(positions[4]))
    );
}

#[tokio::test]
async fn what_comes_after_a_position_is_complete_with_each_one_naming_the_one_before() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.keep("room", KEEP).await;
    client.keep("other", KEEP).await;
    let positions = publish(&mut client, "room", 3).await;
    publish(&mut client, "other", 2).await;
    let later = publish(&mut client, "room", 2).await;
    let history = client.history("room", Start::After(positions[1])).await;
    assert!(history.is_complete);
    assert_eq!(texts(&history), ["3", "1", "2"]);
    let previous: Vec<_> = history
        .publications
        .iter()
        .map(|received| received.previous.unwrap())
        .collect();
    assert_eq!(
        previous,
        [positions[1].offset, positions[2].offset, later[0].offset]
    );
    let nothing = client.history("room", Start::After(later[1])).await;
    assert!(nothing.is_complete && nothing.publications.is_empty());
    assert_eq!(nothing.position, Some(later[1]));
}

#[tokio::test]
async fn a_position_before_what_is_kept_is_incomplete() {
    let server = Server::start();
    let mut connector = server.connector();
    connector.tuning.bounds.count = 10;
    let mut client = Client::with(connector, 1).await;
    client.keep("room", KEEP).await;
    let start = client.history("room", Start::Now).await.position.unwrap();
    let positions = publish(&mut client, "room", 25).await;
    for (index, is_complete) in [(0, false), (13, false), (14, false), (15, true), (24, true)] {
        let history = client.history("room", Start::After(positions[index])).await;
        assert_eq!(history.is_complete, is_complete, "after the {index}th");
        assert_eq!(history.publications.len(), (24 - index).min(10));
    }
    assert!(
        !client
            .history("room", Start::After(start))
            .await
            .is_complete
    );
    let last = client.history("room", Start::Last(100)).await;
    assert_eq!(last.publications.len(), 10);
}

#[tokio::test]
async fn a_topic_that_was_empty_is_complete_from_its_beginning() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.keep("other", KEEP).await;
    publish(&mut client, "other", 3).await;
    client.keep("room", KEEP).await;
    let start = client.history("room", Start::Now).await.position.unwrap();
    publish(&mut client, "other", 3).await;
    let positions = publish(&mut client, "room", 2).await;
    let history = client.history("room", Start::After(start)).await;
    assert!(history.is_complete);
    assert_eq!(texts(&history), ["1", "2"]);
    assert_eq!(history.position, Some(positions[1]));
}

#[tokio::test]
async fn a_topic_keeps_what_the_most_demanding_runner_wants() {
    let server = Server::start();
    let (mut one, mut two) = (Client::new(&server, 1).await, Client::new(&server, 2).await);
    one.keep(
        "room",
        Keep {
            count: 2,
            seconds: 60,
        },
    )
    .await;
    publish(&mut one, "room", 5).await;
    assert_eq!(
        texts(&one.history("room", Start::Last(10)).await),
        ["4", "5"]
    );
    two.keep(
        "room",
        Keep {
            count: 4,
            seconds: 30,
        },
    )
    .await;
    two.keep(
        "room",
        Keep {
            count: 1,
            seconds: 1,
        },
    )
    .await;
    assert_eq!(
        texts(&two.history("room", Start::Last(10)).await),
        ["2", "3", "4", "5"]
    );
}

#[tokio::test]
async fn without_history_there_is_no_position() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.publish("room", text("gone")).await;
    let history = client.history("room", Start::Last(5)).await;
    assert!(history.publications.is_empty() && history.is_complete);
    assert_eq!(history.position, None);
    let lost = Position {
        epoch: 1,
        offset: 1,
    };
    assert!(!client.history("room", Start::After(lost)).await.is_complete);
}

#[tokio::test]
async fn a_restart_keeps_the_epoch_and_a_new_store_begins_another() {
    let mut server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.keep("room", KEEP).await;
    let before = publish(&mut client, "room", 3).await;
    server.kill();
    server.restart();
    let mut client = Client::new(&server, 1).await;
    let history = client.history("room", Start::After(before[0])).await;
    assert!(history.is_complete);
    assert_eq!(texts(&history), ["2", "3"]);
    server.kill();
    server.delete_store();
    server.restart();
    let mut client = Client::new(&server, 1).await;
    client.keep("room", KEEP).await;
    let after = publish(&mut client, "room", 3).await;
    assert_ne!(after[0].epoch, before[0].epoch);
    assert!(
        !client
            .history("room", Start::After(before[0]))
            .await
            .is_complete
    );
}

#[tokio::test]
async fn the_number_of_topics_is_bounded() {
    use crate::engine::Request;
    let server = Server::start();
    let mut connector = server.connector();
    connector.tuning.bounds.topics = 2;
    let mut client = Client::with(connector, 1).await;
    client.keep("one", KEEP).await;
    client.keep("two", KEEP).await;
    let third = client
        .ask(Request::Keep(super::client::topic("three"), KEEP))
        .await;
    assert!(third.is_err());
    assert_eq!(client.publish("three", text("still heard")).await, None);
    client
        .keep(
            "one",
            Keep {
                count: 7,
                seconds: 7200,
            },
        )
        .await;
}

#[tokio::test]
async fn long_histories_are_read_in_parts() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client
        .keep(
            "room",
            Keep {
                count: 700,
                seconds: 3600,
            },
        )
        .await;
    let first = client.publish("room", text("0")).await.unwrap();
    for number in 1..=800 {
        let sent = client.sent("room", text(&number.to_string()));
        client.begin(crate::engine::Request::Publish(sent));
    }
    let history = client.history("room", Start::After(first)).await;
    assert!(history.is_complete);
    assert_eq!(history.publications.len(), 800);
    let last = texts(&client.history("room", Start::Last(600)).await);
    assert_eq!((last.len(), &*last[0], &*last[599]), (600, "201", "800"));
}
