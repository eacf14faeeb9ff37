use std::time::Duration;

use bytes::Bytes;

use super::runner::pause;
use super::{Runner, Server, topic};
use crate::engine::{Incoming, Request};

/// What a change among members says.
fn change(incoming: Incoming) -> (&'static str, u64, u64, Bytes) {
    match incoming {
        Incoming::Joined(_, key, info) => ("joined", key.runner, key.number, info),
        Incoming::Left(_, key, info) => ("left", key.runner, key.number, info),
        other => panic!("not a change among members: {other:?}"),
    }
}

#[tokio::test]
async fn members_come_change_and_leave() {
    let server = Server::start();
    let mut first = Runner::connect(&server.connector(), 1).await;
    let mut second = Runner::connect(&server.connector(), 2).await;
    let topic = topic("room");
    second.subscribe(&topic).await;

    first.enter(&topic, 7, "Ada").await;
    assert_eq!(change(second.next().await), ("joined", 1, 7, "Ada".into()));
    first.enter(&topic, 7, "Ada").await;
    first.enter(&topic, 7, "Ada, away").await;
    assert_eq!(
        change(second.next().await),
        ("joined", 1, 7, "Ada, away".into())
    );
    second.enter(&topic, 7, "Bob").await;
    assert_eq!(change(second.next().await), ("joined", 2, 7, "Bob".into()));

    let expected = vec![
        (first.member(7), Bytes::from("Ada, away")),
        (second.member(7), Bytes::from("Bob")),
    ];
    for runner in [&mut first, &mut second] {
        let members = runner.members(&topic, 10).await;
        assert_eq!(members.count, 2);
        assert_eq!(members.listed, expected);
    }

    first
        .done(Request::Leave(topic.clone(), first.member(7)))
        .await;
    assert_eq!(
        change(second.next().await),
        ("left", 1, 7, "Ada, away".into())
    );
    first
        .done(Request::Leave(topic.clone(), first.member(7)))
        .await;
    second.assert_nothing_came().await;
    let members = first.members(&topic, 10).await;
    assert_eq!((members.count, members.listed), (1, expected[1..].to_vec()));

    second
        .done(Request::Leave(topic.clone(), second.member(7)))
        .await;
    assert_eq!(server.cli(&["keys", "*"]), "wasocket:1:runners");
}

#[tokio::test]
async fn many_are_counted_and_some_are_listed() {
    let server = Server::start();
    let mut runners = vec![
        Runner::connect(&server.connector(), 1).await,
        Runner::connect(&server.connector(), 2).await,
    ];
    let topic = topic("room");
    for runner in &mut runners {
        for number in 0..600 {
            runner.enter(&topic, number, &number.to_string()).await;
        }
    }
    for most in [0, 1, 500, 1_000, 5_000] {
        let members = runners[0].members(&topic, most).await;
        assert_eq!(members.count, 1_200);
        assert_eq!(members.listed.len(), most.min(1_200));
        let mut keys: Vec<_> = members.listed.iter().map(|(key, _)| *key).collect();
        keys.dedup();
        assert_eq!(keys.len(), members.listed.len(), "listed twice");
    }
}

#[tokio::test]
async fn members_of_a_runner_that_is_gone_leave_with_its_lease() {
    let server = Server::start();
    let mut connector = server.connector();
    let mut watcher = Runner::connect(&connector, 2).await;
    let (topic, other) = (topic("room"), topic("other"));
    watcher.subscribe(&topic).await;
    watcher.enter(&topic, 1, "Bob").await;
    assert_eq!(change(watcher.next().await), ("joined", 2, 1, "Bob".into()));

    connector.tuning.lease = Duration::from_secs(3);
    let mut mortal = Runner::connect(&connector, 1).await;
    // More than are removed at once.
    for number in 0..700 {
        let member = mortal.member(number);
        mortal.begin(Request::Enter(topic.clone(), member, "Ada".into()));
    }
    for number in 0..700 {
        let entered = mortal.next_now().await;
        assert!(
            matches!(entered, Ok(Incoming::Done(_, Ok(_)))),
            "{entered:?}"
        );
        assert_eq!(
            change(watcher.next().await),
            ("joined", 1, number, "Ada".into())
        );
    }
    mortal.enter(&other, 1, "Ada").await;
    drop(mortal);
    while watcher.members(&topic, 0).await.count > 1 {
        pause(Duration::from_millis(20)).await;
    }
    // They no longer count; a renewal of any other runner removes them.
    watcher.done(Request::Renew).await;
    let mut gone = vec![];
    for _ in 0..700 {
        let (what, runner, number, info) = change(watcher.next().await);
        assert_eq!((what, runner, &info[..]), ("left", 1, &b"Ada"[..]));
        gone.push(number);
    }
    gone.sort_unstable();
    assert_eq!(gone, (0..700).collect::<Vec<_>>());
    watcher.assert_nothing_came().await;
    let mut keys: Vec<_> = server
        .cli(&["keys", "*"])
        .lines()
        .map(str::to_owned)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "wasocket:1:homes:{room}",
            "wasocket:1:members:{room}:0000000000000002",
            "wasocket:1:runner:0000000000000002",
            "wasocket:1:runners",
        ]
    );
}

#[tokio::test]
async fn a_runner_whose_lease_ended_is_told_so_and_gets_another() {
    let server = Server::start();
    let mut connector = server.connector();
    connector.tuning.lease = Duration::from_millis(1);
    let topic = topic("room");
    let mut runner = Runner::connect(&connector, 1).await;
    pause(Duration::from_millis(20)).await;
    let enter = Request::Enter(topic.clone(), runner.member(1), Bytes::new());
    for late in [Request::Renew, enter.clone()] {
        let error = runner.ask(late).await.expect_err("no lease");
        assert!(error.0.contains("LEASE"), "{error:?}");
        pause(Duration::from_millis(20)).await;
    }
    let mut again = Runner::connect(&server.connector(), 1).await;
    again.done(Request::Renew).await;
    runner.done(enter).await;
    assert_eq!(again.members(&topic, 10).await.count, 1);
}

#[tokio::test]
async fn a_lost_database_is_noticed_at_the_next_renewal() {
    let server = Server::start();
    let mut runner = Runner::connect(&server.connector(), 1).await;
    let topic = topic("room");
    runner.enter(&topic, 1, "Ada").await;
    server.cli(&["flushall"]);
    assert!(runner.ask(Request::Renew).await.is_err());
    runner.enter(&topic, 1, "Ada").await;
    runner.done(Request::Renew).await;
    assert_eq!(runner.members(&topic, 10).await.count, 1);
}
