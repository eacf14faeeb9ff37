//! Members and leases.

use std::time::Duration;

use super::client::{Client, topic};
use super::server::Server;
use crate::engine::{Incoming, Request};

fn event(incoming: Incoming) -> (bool, u64, String) {
    match incoming {
        Incoming::Joined(_, key, info) => {
            (true, key.number, String::from_utf8(info.to_vec()).unwrap())
        }
        Incoming::Left(_, key, info) => {
            (false, key.number, String::from_utf8(info.to_vec()).unwrap())
        }
        other => panic!("neither joined nor left: {other:?}"),
    }
}

#[tokio::test]
async fn members_are_listed_and_told_to_subscribers() {
    let server = Server::start();
    let (mut one, mut two) = (Client::new(&server, 1).await, Client::new(&server, 2).await);
    two.subscribe("room.1").await;
    two.subscribe("other").await;
    let ann = one.enter("room.1", 1, "Ann").await;
    let bob = two.enter("room.1", 1, "Bob").await;
    one.enter("room", 2, "elsewhere").await;
    let members = one.members("room.1", 10).await;
    assert_eq!(members.count, 2);
    assert_eq!(members.listed, [(ann, "Ann".into()), (bob, "Bob".into())]);
    assert_eq!(one.members("room.1", 1).await.listed.len(), 1);
    assert_eq!(one.members("room.1", 0).await.count, 2);
    one.enter("room.1", 1, "Ann, away").await;
    one.ask(Request::Leave(topic("room.1"), ann)).await.unwrap();
    assert_eq!(
        one.members("room.1", 10).await.listed,
        [(bob, "Bob".into())]
    );
    assert_eq!(event(two.hear().await), (true, 1, "Ann".to_owned()));
    assert_eq!(event(two.hear().await), (true, 1, "Bob".to_owned()));
    assert_eq!(event(two.hear().await), (true, 1, "Ann, away".to_owned()));
    assert_eq!(event(two.hear().await), (false, 1, "Ann, away".to_owned()));
}

#[tokio::test]
async fn members_leave_with_the_lease_of_their_runner() {
    let server = Server::start();
    let mut connector = server.connector();
    connector.tuning.lease = Duration::from_secs(2);
    let mut watching = Client::with(connector.clone(), 1).await;
    let mut dying = Client::with(connector.clone(), 2).await;
    watching.subscribe("room").await;
    let stays = watching.enter("room", 7, "stays").await;
    for number in 1..=3 {
        dying.enter("room", number, "goes").await;
    }
    drop(dying);
    assert_eq!(watching.members("room", 10).await.count, 4);
    let mut left = vec![];
    while left.len() < 3 {
        watching.ask(Request::Renew).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        while let Some(incoming) = watching.heard() {
            match event(incoming) {
                (false, number, info) => {
                    assert_eq!(info, "goes");
                    left.push(number);
                }
                (true, ..) => continue,
            }
        }
    }
    left.sort_unstable();
    assert_eq!(left, [1, 2, 3]);
    let members = watching.members("room", 10).await;
    assert_eq!(
        (members.count, members.listed),
        (1, vec![(stays, "stays".into())])
    );
}

#[tokio::test]
async fn members_of_runners_that_are_long_gone_do_not_count() {
    let mut server = Server::start();
    let mut connector = server.connector();
    connector.tuning.lease = Duration::from_millis(1500);
    let mut gone = Client::with(connector.clone(), 1).await;
    gone.enter("room", 1, "gone").await;
    drop(gone);
    server.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.restart();
    let mut late = Client::with(connector, 2).await;
    late.enter("room", 1, "here").await;
    let members = late.members("room", 10).await;
    assert_eq!(members.count, 1);
    assert_eq!(members.listed[0].0.runner, 2);
}

#[tokio::test]
async fn a_lease_that_is_renewed_lasts() {
    let server = Server::start();
    let mut connector = server.connector();
    connector.tuning.lease = Duration::from_secs(1);
    let (mut one, mut two) = (
        Client::with(connector.clone(), 1).await,
        Client::with(connector, 2).await,
    );
    two.enter("room", 1, "here").await;
    for _ in 0..15 {
        for client in [&mut one, &mut two] {
            client.ask(Request::Renew).await.unwrap();
        }
        assert_eq!(one.members("room", 10).await.count, 1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
