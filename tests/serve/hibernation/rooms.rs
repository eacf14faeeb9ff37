//! Connections that sleep are members of their rooms.

use support::build_guest;

use crate::peer::Peer;
use crate::{Dormitory, assert_echoes};

#[test]
fn a_publication_wakes_those_that_it_is_for() {
    let server = Dormitory::serve(&[]);
    let mut members: Vec<_> = (0..3).map(|_| Peer::join(&server, "/room")).collect();
    let mut other = Peer::join(&server, "/other");
    let mut publisher = Peer::open(&server, "/");
    server.wait_until_asleep(5);
    for number in 0..20 {
        publisher.send(&format!("!publish room {number}"));
    }
    for member in &mut members {
        for number in 0..20 {
            assert_eq!(member.read(), number.to_string());
        }
    }
    assert_eq!(
        (server.wakes_for("topic"), server.wakes_for("input")),
        (3, 1)
    );
    server.wait_until_asleep(5);
    assert_echoes(&mut other, "I slept");
}

#[test]
fn members_are_members_while_they_sleep() {
    let server = Dormitory::serve(&[]);
    let mut watcher = Peer::join(&server, "/room?watch");
    let first = Peer::join(&server, "/room?member=first");
    assert_eq!(watcher.read(), "!joined first");
    server.wait_until_asleep(2);
    let mut second = Peer::join(&server, "/room?member=second");
    second.send("!members");
    assert_eq!(second.read(), "!members 2 first,second");
    assert_eq!(watcher.read(), "!joined second");
    server.wait_until_asleep(3);
    drop(first);
    assert_eq!(watcher.read(), "!left first");
    second.send("!members");
    assert_eq!(second.read(), "!members 1 second");
}

/// A request publishes; no connection is awake.
#[test]
fn everybody_is_woken_at_once_and_everybody_is_served() {
    const MEMBERS: usize = 1000;
    let server = Dormitory::serve(&["--workers", "2"]);
    let mut members: Vec<_> = (0..MEMBERS).map(|_| Peer::join(&server, "/room")).collect();
    server.wait_until_asleep(MEMBERS as u64);
    assert_eq!(server.metric("instances"), 0);
    let request = "GET /room?morning HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    assert_eq!(server.request(request).0.status, 200);
    for member in &mut members {
        assert_eq!(member.read(), "morning");
    }
    assert_eq!(server.wakes_for("topic"), MEMBERS as u64);
    server.wait_until_asleep(MEMBERS as u64);
    // On their own, all at once.
    for member in &mut members {
        member.send("!echo awake");
    }
    for member in &mut members {
        assert_eq!(member.read(), "awake");
    }
    assert_eq!(server.metric("wakes_failed_total"), 0);
}

/// Those of a key return to one instance, and no other connection takes their places meanwhile.
#[test]
fn those_of_a_key_have_their_places_when_they_wake() {
    let options = [
        "--instance-by",
        "/{room}",
        "--connections-per-instance",
        "3",
    ];
    let server = Dormitory::serving(&build_guest("topics", ""), &options);
    let mut members: Vec<_> = (0..3).map(|_| Peer::join(&server, "/room")).collect();
    server.wait_until_asleep(3);
    let mut late = server.connect();
    late.send(&support::opening_handshake("/room"));
    assert_eq!(late.read_head().status, 503);
    let mut elsewhere = Peer::join(&server, "/elsewhere");
    for member in &mut members {
        assert_echoes(member, "good morning");
    }
    assert_eq!(server.metric("wakes_failed_total"), 0);
    assert_echoes(&mut elsewhere, "hello");
}
