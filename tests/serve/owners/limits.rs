//! What is counted is counted once, wherever a connection is served.

use std::thread;
use std::time::{Duration, Instant};

use support::operator::{admin, metric, wait_for_metric};
use support::{Server, TIMEOUT, opening_handshake};

use crate::http2_client::{Connection, connect, run};
use crate::member::{Member, assert_meet};
use crate::serve;

/// The status of the answer to someone who wants to enter a room.
fn status(server: &Server, room: &str) -> u16 {
    let mut client = server.connect();
    client.try_send(&opening_handshake(&format!("/rooms/{room}")));
    client.read_head().status
}

/// Enters a room once it lets someone in, or the limits do.
fn wait_to_enter(server: &Server, room: &str) {
    let start = Instant::now();
    while status(server, room) != 101 {
        assert!(start.elapsed() < TIMEOUT, "{}", server.log());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_full_room_refuses_and_says_why() {
    for workers in ["1", "2"] {
        let options = ["--connections-per-instance", "5", "--http2"];
        let server = serve(workers, &options);
        let mut members: Vec<_> = (0..5).map(|_| Member::of(&server, "blue")).collect();
        assert_meet(&mut members);
        for _ in 0..4 {
            assert_eq!(status(&server, "blue"), 503);
        }
        server.wait_for_log(
            "The instance that serves this path is full: 5 (--connections-per-instance) for /rooms/{room} (--instance-by)",
        );
        // Plain requests need a place as well, and so do those of HTTP/2.
        let state = support::operator::get(&server, "/rooms/blue/state");
        assert_eq!(state.0, 503, "{}", state.1);
        run(async {
            let mut connection = Connection::to(server.address).await;
            let (head, _) = connection.open(connect("/rooms/blue")).await;
            assert_eq!(head.status.as_u16(), 503);
        });
        // Another room has an instance of its own, and there is room again for someone who leaves.
        assert_eq!(status(&server, "red"), 101);
        members.pop().expect("five").leave();
        wait_to_enter(&server, "blue");
        assert_eq!(members[0].count(), 6, "the same instance");
    }
}

#[test]
fn rooms_share_instances_that_have_room() {
    let server = serve("1", &["--connections-per-instance", "8"]);
    let admin = admin(&server);
    let enter = |room: usize| Member::of(&server, &room.to_string());
    // A new room gets an instance that is less than half full, so that it can grow.
    let mut rooms: Vec<Vec<_>> = (0..8).map(|room| vec![enter(room)]).collect();
    assert_eq!(metric(&admin, "wasocket_instances"), 2);
    rooms[0].extend((0..4).map(|_| enter(0)));
    assert_meet(&mut rooms[0]);
    assert_eq!(metric(&admin, "wasocket_instances"), 2);
    assert_eq!(status(&server, "0"), 503);
    rooms.into_iter().flatten().for_each(Member::leave);
    wait_for_metric(&admin, "wasocket_connections_open", 0);
    // No room is left of any: a new one may be anywhere.
    assert_eq!(status(&server, "0"), 101);
}

#[test]
fn connections_count_once_towards_their_address() {
    let server = serve("4", &["--max-connections-per-address", "6"]);
    let mut members: Vec<_> = (0..6)
        .map(|room| Member::of(&server, &room.to_string()))
        .collect();
    for _ in 0..8 {
        assert_eq!(server.connect().read_head().status, 429);
    }
    members.pop().expect("six").leave();
    wait_to_enter(&server, "x");
}

#[test]
fn connections_count_once_towards_the_limit_of_all() {
    let server = serve("4", &["--max-connections", "6"]);
    let admin = admin(&server);
    let mut members: Vec<_> = (0..6)
        .map(|room| Member::of(&server, &room.to_string()))
        .collect();
    let mut waiting = server.connect();
    waiting.send(&opening_handshake("/rooms/x"));
    server.wait_for_log("--max-connections");
    assert!(waiting.has_nothing_to_read());
    assert_eq!(metric(&admin, "wasocket_takeovers_open"), 6);
    members.pop().expect("six").leave();
    assert_eq!(waiting.read_head().status, 101);
}

#[test]
fn streams_count_towards_both() {
    let server = serve("4", &["--http2", "--max-connections-per-address", "4"]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut members = Vec::new();
        for room in 0..3 {
            members.push(connection.websocket(&format!("/rooms/{room}")).await);
        }
        for room in 3..10 {
            let request = connect(&format!("/rooms/{room}"));
            let (head, _) = connection.open(request).await;
            assert_eq!(head.status.as_u16(), 429);
        }
        for (member, _) in members.iter_mut().zip(0..2) {
            member.send(b"\x88\x82\0\0\0\0\x03\xe8").await;
            member.read_exactly(4).await;
            while member.read_more().await.expect("no reset") {}
        }
        let start = Instant::now();
        loop {
            let (head, _) = connection.open(connect("/rooms/again")).await;
            if head.status.as_u16() == 200 {
                break;
            }
            assert!(start.elapsed() < TIMEOUT, "{head:?}");
            // A client that is refused a hundred times is disconnected.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn requests_count_once_towards_their_rate() {
    let server = serve("4", &["--max-requests-per-address", "20"]);
    let start = Instant::now();
    let mut served = 0;
    let mut client = server.connect();
    for room in 0..60 {
        let request = format!("GET /rooms/{room}/state HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.try_send(request.as_bytes());
        let head = client.read_head();
        client.read_body(&head);
        if head.status == 429 {
            client = server.connect();
        } else {
            served += 1;
        }
    }
    // Twenty at once, and as many for each second that has begun.
    let most = 20 * (start.elapsed().as_secs() + 2);
    assert!((20..=most).contains(&served), "{served} of {most}");
}
