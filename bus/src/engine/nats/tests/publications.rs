//! Publications, with history and without.

use super::client::{Client, KEEP, binary, text, topic};
use super::server::Server;
use crate::engine::{Request, Response};
use crate::message::{Kind, Message};

#[tokio::test]
async fn arrive_at_all_runners_and_at_their_own() {
    let server = Server::start();
    let (mut one, mut two) = (Client::new(&server, 1).await, Client::new(&server, 2).await);
    one.subscribe("room").await;
    two.subscribe("room").await;
    assert_eq!(one.publish("room", text("hello")).await, None);
    for client in [&mut one, &mut two] {
        let (topic, received) = client.receive().await;
        assert_eq!(topic.as_str(), "room");
        assert_eq!(received.message, text("hello"));
        assert_eq!(
            received.origin.map(|origin| (origin.runner, origin.number)),
            Some((1, 1))
        );
        assert_eq!((received.position, received.previous), (None, None));
    }
}

#[tokio::test]
async fn of_every_size_and_kind_arrive_unchanged() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.subscribe("plain").await;
    client.subscribe("kept").await;
    client.keep("kept", KEEP).await;
    for name in ["plain", "kept"] {
        for size in [0, 1, 125, 126, 4095, 4096, 65_536, 1 << 20] {
            let bytes: Vec<u8> = (0..size).map(|at: usize| (at * 7 % 251) as u8).collect();
            let letters = "é".repeat(size / 2);
            for message in [binary(bytes), text(&letters)] {
                client.publish(name, message.clone()).await;
                assert_eq!(client.receive().await.1.message, message);
            }
        }
    }
}

#[tokio::test]
async fn on_topics_with_odd_names_stay_apart() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    let long = "x".repeat(128);
    let names = [
        "a", "a.b", "a.*", "*", ">", "a b", "=", "=2E", ".", "..", "$SYS", "🙂", "é", "\r\n", "\0",
        "A", &long,
    ];
    for name in names {
        client.subscribe(name).await;
    }
    for (index, name) in names.iter().enumerate() {
        if index % 2 == 1 {
            client.keep(name, KEEP).await;
        }
        client.publish(name, text(name)).await;
    }
    let mut heard = vec![];
    for _ in names {
        let (topic, received) = client.receive().await;
        assert_eq!(received.message, text(topic.as_str()));
        heard.push(topic);
    }
    heard.sort();
    let mut expected: Vec<_> = names.into_iter().map(topic).collect();
    expected.sort();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn keep_their_order_where_thousands_are_under_way() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    for name in ["plain", "kept"] {
        client.subscribe(name).await;
    }
    client.keep("kept", KEEP).await;
    for number in 0..5_000 {
        for name in ["plain", "kept"] {
            let sent = client.sent(name, text(&number.to_string()));
            client.begin(Request::Publish(sent));
        }
    }
    let mut next = std::collections::HashMap::new();
    let mut last = 0;
    for _ in 0..10_000 {
        let (topic, received) = client.receive().await;
        let number: &mut u32 = next.entry(topic.as_str().to_owned()).or_default();
        assert_eq!(received.message, text(&number.to_string()));
        *number += 1;
        if let Some(position) = received.position {
            assert_eq!(received.previous, Some(last));
            last = position.offset;
        }
    }
    assert_eq!(last, 5_000);
}

#[tokio::test]
async fn that_are_repeated_are_stored_and_delivered_once() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.subscribe("room").await;
    client.keep("room", KEEP).await;
    let sent = client.sent("room", text("once"));
    let mut positions = vec![];
    for _ in 0..2 {
        match client.ask(Request::Publish(sent.clone())).await.unwrap() {
            Response::Published(position) => positions.push(position.unwrap()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(positions[0], positions[1]);
    client.publish("room", text("after")).await;
    assert_eq!(client.receive().await.1.message, text("once"));
    assert_eq!(client.receive().await.1.message, text("after"));
}

#[tokio::test]
async fn are_not_heard_after_leaving() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.subscribe("left").await;
    client.subscribe("stayed").await;
    client
        .ask(Request::Unsubscribe(topic("left")))
        .await
        .unwrap();
    client.publish("left", text("unheard")).await;
    client.publish("stayed", text("heard")).await;
    assert_eq!(client.receive().await.0.as_str(), "stayed");
    client.subscribe("left").await;
    client.publish("left", text("again")).await;
    assert_eq!(client.receive().await.1.message, text("again"));
}

#[tokio::test]
async fn that_the_server_does_not_take_are_refused_with_the_name_of_the_setting() {
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    let huge = client.sent("room", binary(vec![0; 2 << 20]));
    let error = client.ask(Request::Publish(huge)).await.unwrap_err();
    assert!(error.0.contains("max_payload"), "{}", error.0);
    client.subscribe("room").await;
    client
        .publish("room", text("the connection lives on"))
        .await;
    client.receive().await;
}

#[tokio::test]
async fn of_runners_that_have_no_subscriber_go_into_history() {
    let server = Server::start();
    let (mut one, mut two) = (Client::new(&server, 1).await, Client::new(&server, 2).await);
    one.keep("room", KEEP).await;
    // The second hears of it through the server.
    let mut tries = 0;
    while two.publish("room", text("kept")).await.is_none() {
        tries += 1;
        assert!(
            tries < 1000,
            "the second runner never learns that the topic has history"
        );
    }
    let mut late = Client::new(&server, 3).await;
    assert!(late.publish("room", text("kept, too")).await.is_some());
}

#[tokio::test]
async fn of_other_clients_arrive_and_ours_at_them() {
    use futures_util::StreamExt;
    let server = Server::start();
    let mut client = Client::new(&server, 1).await;
    client.subscribe("a b").await;
    let url = format!("nats://127.0.0.1:{}", server.port);
    let other = async_nats::connect(url).await.unwrap();
    let mut heard = other
        .subscribe("wasocket.1.topic.a=20b.message")
        .await
        .unwrap();
    other.flush().await.unwrap();
    for (payload, kind) in [(&b"plain"[..], Kind::Text), (&[0xFF, 0][..], Kind::Binary)] {
        other
            .publish("wasocket.1.topic.a=20b.message", payload.into())
            .await
            .unwrap();
        let received = client.receive().await.1;
        let expected = Message {
            kind,
            bytes: payload.into(),
        };
        assert_eq!(received.message, expected);
        assert_eq!(received.origin, None);
        assert_eq!(heard.next().await.unwrap().payload, payload);
    }
    client.publish("a b", text("ours")).await;
    assert_eq!(heard.next().await.unwrap().payload, "ours");
}
