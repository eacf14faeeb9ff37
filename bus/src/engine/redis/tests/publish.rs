use bytes::Bytes;

use super::runner::text;
use super::{Runner, Server, topic};
use crate::engine::{Incoming, Origin, Request, Response};
use crate::message::{Kind, Message, Start};

/// Names that could be taken for something else somewhere.
const NAMES: [&str; 14] = [
    "room",
    "two words",
    "*",
    "h?llo[ae]",
    "a:b:c",
    "{a}",
    "a}b{c",
    "meta:{x}",
    ":1:meta:{y}",
    "new\nline\r\n",
    "nul\0",
    "🦀 ünïcödé",
    "\u{2028}",
    "'\"\\ $HOME",
];

#[tokio::test]
async fn delivers_text_and_binary_of_every_length() {
    let server = Server::start();
    let mut publisher = Runner::connect(&server.connector(), 1).await;
    let mut subscriber = Runner::connect(&server.connector(), 2).await;
    for (name, has_history) in [("without", false), ("with", true)] {
        let topic = topic(name);
        subscriber.subscribe(&topic).await;
        if has_history {
            publisher.keep(&topic, 3, 60).await;
        }
        for length in [0, 1, 125, 126, 65_535, 65_536, 1024 * 1024] {
            for kind in [Kind::Text, Kind::Binary] {
                let byte = if kind == Kind::Text { b'a' } else { 0xff };
                let bytes = Bytes::from(vec![byte; length]);
                let message = Message { kind, bytes };
                let position = publisher.publish(&topic, message.clone()).await;
                let (arrived, received) = subscriber.next_publication().await;
                assert_eq!(arrived, topic);
                assert!(received.message == message, "{length} bytes, {kind:?}");
                assert_eq!(received.position, position);
                assert_eq!(position.is_some(), has_history);
                assert_eq!(received.previous.is_some(), has_history);
            }
        }
    }
}

#[tokio::test]
async fn any_text_is_a_name() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let longest = "é".repeat(64);
    let names = NAMES.into_iter().chain([longest.as_str()]);
    let topics: Vec<_> = names.map(topic).collect();
    for topic in &topics {
        runner.subscribe(topic).await;
        runner.keep(topic, 10, 60).await;
    }
    for topic in &topics {
        let position = runner.publish(topic, text(topic.as_str())).await;
        let (arrived, received) = runner.next_publication().await;
        assert_eq!(&arrived, topic);
        assert_eq!(received.message, text(topic.as_str()));
        let history = runner.history(topic, Start::Last(10)).await;
        assert_eq!(history.position, position);
        assert_eq!(history.publications.len(), 1, "{topic:?}");
        runner.enter(topic, 1, "here").await;
        assert!(matches!(runner.next().await, Incoming::Joined(..)));
        assert_eq!(runner.members(topic, 10).await.count, 1, "{topic:?}");
    }
    runner.assert_nothing_came().await;
}

#[tokio::test]
async fn pipelined_publications_arrive_in_order_and_name_the_one_before() {
    let server = Server::start();
    let mut publisher = Runner::connect(&server.connector(), 1).await;
    let mut subscriber = Runner::connect(&server.connector(), 2).await;
    let topic = topic("room");
    subscriber.subscribe(&topic).await;
    publisher.keep(&topic, 100, 60).await;

    let words: Vec<_> = (0..5_000).map(|number| number.to_string()).collect();
    let mut tickets = vec![];
    for word in &words {
        let sent = publisher.sent(&topic, text(word));
        tickets.push(publisher.begin(Request::Publish(sent)));
    }
    let mut last = 0;
    for (ticket, word) in tickets.into_iter().zip(&words) {
        let Ok(Incoming::Done(answered, Ok(Response::Published(Some(position))))) =
            publisher.next_now().await
        else {
            panic!("not published");
        };
        assert_eq!(answered, ticket);
        let (_, received) = subscriber.next_publication().await;
        assert_eq!(received.message, text(word));
        assert_eq!(received.position, Some(position));
        assert_eq!(received.previous, Some(last));
        last = position.offset;
    }
}

#[tokio::test]
async fn the_same_origin_publishes_once() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let (with, without) = (topic("with"), topic("without"));
    runner.keep(&with, 10, 60).await;
    for topic in [&with, &without] {
        runner.subscribe(topic).await;
        let first = runner.sent(topic, text("first"));
        let second = runner.sent(topic, text("second"));
        runner.publish_again(first.clone()).await;
        let position = runner.publish_again(second.clone()).await;

        // As another connection does after the first was lost.
        let mut again = Runner::connect(&server.connector(), 1).await;
        again.publish_again(first).await;
        assert_eq!(again.publish_again(second).await, position);

        for expected in ["first", "second"] {
            let (_, received) = runner.next_publication().await;
            assert_eq!(received.message, text(expected));
            assert_eq!(received.origin.map(|origin| origin.runner), Some(1));
        }
        runner.assert_nothing_came().await;
    }
    let history = runner.history(&with, Start::Last(10)).await;
    assert_eq!(history.publications.len(), 2);
}

#[tokio::test]
async fn numbers_of_different_runners_are_different_origins() {
    let server = Server::start();
    let topic = topic("room");
    let mut listener = Runner::connect(&server.connector(), u64::MAX).await;
    listener.subscribe(&topic).await;
    for number in [0, 1, u64::MAX] {
        let mut runner = Runner::connect(&server.connector(), number).await;
        runner.publish(&topic, text("hello")).await;
        let (_, received) = listener.next_publication().await;
        let origin = Origin {
            runner: number,
            number: 1,
        };
        assert_eq!(received.origin, Some(origin));
    }
}

#[tokio::test]
async fn nothing_comes_of_a_topic_that_is_not_subscribed_to() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let (left, other) = (topic("left"), topic("left:other"));
    runner.subscribe(&left).await;
    runner.publish(&other, text("elsewhere")).await;
    runner.done(Request::Unsubscribe(left.clone())).await;
    runner.publish(&left, text("too late")).await;
    runner.assert_nothing_came().await;
}

#[tokio::test]
async fn an_answer_to_a_subscription_comes_at_its_place_among_publications() {
    let server = Server::start();
    let mut publisher = Runner::connect(&server.connector(), 1).await;
    let mut runner = Runner::connect(&server.connector(), 2).await;
    let topic = topic("room");
    for round in 0..50 {
        runner.subscribe(&topic).await;
        publisher.publish(&topic, text("before")).await;
        // All of this is read at once.
        let requests = [
            Request::Unsubscribe(topic.clone()),
            Request::Subscribe(topic.clone()),
            Request::History(topic.clone(), Start::Now),
        ];
        let tickets = requests.map(|request| runner.begin(request));
        let Ok(Incoming::Published(_, received)) = runner.next_now().await else {
            panic!("the publication is not the first, in round {round}");
        };
        assert_eq!(received.message, text("before"));
        for ticket in tickets {
            let next = runner.next_now().await;
            assert!(
                matches!(&next, Ok(Incoming::Done(done, Ok(_))) if *done == ticket),
                "{next:?} in round {round}"
            );
        }
    }
}
