//! Connections that end while they sleep, or when they wake.

use std::io::Write as _;

use support::build_guest;

use crate::Dormitory;
use crate::peer::Peer;

/// The line of the access log about the only WebSocket.
fn log_line(server: &Dormitory) -> String {
    server.wait_for_log("access: ended");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("access: ended"));
    line.expect("a line").to_owned()
}

fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[test]
fn a_peer_that_closes_is_answered_and_counted() {
    let server = Dormitory::serve(&[]);
    let mut client = server.websocket("/");
    client.send(&support::text("!echo one"));
    assert_eq!(client.read_text(), "one");
    server.wait_until_asleep(1);
    client.send(&support::text("!echo two"));
    assert_eq!(client.read_text(), "two");
    server.wait_until_asleep(1);
    client.send(b"\x88\x82\0\0\0\0\x03\xe8");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xe8");
    let line = log_line(&server);
    let counts = [
        "messages_received=2",
        "messages_sent=2",
        "bytes_received=38",
    ];
    assert_says(&line, &counts);
    assert_says(&line, &["by=\"peer\"", "code=1000"]);
}

#[test]
fn a_peer_that_goes_is_noticed() {
    let server = Dormitory::serve(&[]);
    let client = server.websocket("/");
    server.wait_until_asleep(1);
    drop(client);
    let line = log_line(&server);
    assert_says(&line, &["by=\"peer\"", "code=1006"]);
    server.wait_until_asleep(0);
    assert_eq!(server.wakes_for("input"), 1);
}

#[test]
fn the_maximum_lifetime_goes_on_in_the_sleep() {
    let server = Dormitory::serve(&["--max-lifetime", "3"]);
    let mut peer = Peer::open(&server, "/");
    server.wait_until_asleep(1);
    assert_eq!(peer.read_close(), 1012);
    assert_eq!(server.wakes_for("time"), 1);
}

#[test]
fn the_idle_timeout_goes_on_in_the_sleep() {
    let server = Dormitory::serve(&["--idle-timeout", "3"]);
    let mut client = server.websocket("/");
    server.wait_until_asleep(1);
    client.wait_for_end();
    let line = log_line(&server);
    assert_says(&line, &["--idle-timeout"]);
    assert_eq!(server.wakes_for("time"), 1);
}

/// Each is sent a Close frame, and its answer is awaited.
#[test]
fn all_that_sleep_are_closed_when_the_runner_stops() {
    const NUMBER: usize = 100;
    let mut server = Dormitory::serve(&["--workers", "2"]);
    let mut peers: Vec<_> = (0..NUMBER).map(|_| Peer::join(&server, "/room")).collect();
    server.wait_until_asleep(NUMBER as u64);
    server.signal("TERM");
    for peer in &mut peers {
        assert_eq!(peer.read_close(), 1001);
    }
    drop(peers);
    assert_eq!(server.server.wait(), Some(0));
    assert_eq!(server.log().matches("code=1001").count(), NUMBER);
}

/// It costs the connection, which gets the bytes that were kept for that.
#[test]
fn a_connection_that_cannot_be_resumed_is_closed() {
    let server = Dormitory::serving(&build_guest("topics", "resume-trap"), &[]);
    let mut watcher = Peer::join(&server, "/room?watch");
    let mut client = server.websocket("/room?member=first");
    watcher.send("!echo still awake");
    while watcher.read() != "still awake" {}
    server.wait_until_asleep(2);
    client
        .stream
        .write_all(&support::text("good morning"))
        .expect("sent");
    let all = client.read_to_end();
    assert!(all.ends_with(b"\x88\x02\x03\xf3"), "{all:?}");
    assert_says(&log_line(&server), &["code=1011", "its instance failed"]);
    // The publication of its leaving woke the other one, which failed in the same way.
    assert_eq!(watcher.read_close(), 1011);
    server.wait_for("wakes_failed_total", 2);
    server.wait_until_asleep(0);
}
