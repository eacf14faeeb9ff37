//! Pings during sleep. The protocol pings after 20 seconds of silence, and gives up 20 seconds later.

use std::thread;
use std::time::Duration;

use support::{Client, text};

use crate::Dormitory;

const PING: &[u8] = b"\x89\0";

/// A pong with a masking key.
const PONG: &[u8] = b"\x8a\x80mask";

/// Longer than the tests' other clients wait.
fn patient(server: &Dormitory, path: &str) -> Client {
    let client = server.websocket(path);
    let time = Some(Duration::from_secs(60));
    client.stream.set_read_timeout(time).expect("a time");
    client
}

/// One test for all, as it takes a minute.
#[test]
fn pings_wake_only_those_that_do_not_answer() {
    let server = Dormitory::serve(&[]);
    let mut faithful = patient(&server, "/faithful");
    let mut chatty = patient(&server, "/chatty");
    let mut halting = patient(&server, "/halting");
    let mut silent = patient(&server, "/silent");
    for client in [&mut faithful, &mut chatty, &mut halting, &mut silent] {
        // The news that it has subscribed.
        client.read_text();
    }
    server.wait_until_asleep(4);
    for client in [&mut faithful, &mut chatty, &mut halting, &mut silent] {
        assert_eq!(client.read_exactly(2), PING);
    }
    assert_eq!(server.metric("hibernation_pings_total"), 4);
    assert_eq!(server.metric("connections_asleep"), 4);
    faithful.send(PONG);
    // The answer, and more.
    chatty.send(&[PONG, &text("!echo hello")[..]].concat());
    assert_eq!(chatty.read_text(), "hello");
    assert_eq!(server.wakes_for("input"), 1);
    // The answer in two parts.
    halting.send(&PONG[..3]);
    server.wait_for("wakes_total{for=\"input\"}", 2);
    halting.send(&PONG[3..]);
    halting.send(&text("!echo whole"));
    assert_eq!(halting.read_text(), "whole");
    server.wait_until_asleep(4);
    // The next ping comes 20 seconds after the answer; until then, another answer is something else.
    assert_eq!(faithful.read_exactly(2), PING);
    faithful.send(PONG);
    silent.wait_for_end();
    assert_eq!(server.wakes_for("time"), 1);
    assert_eq!(server.wakes_for("input"), 2);
    server.wait_for_log("path=\"/silent\"");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("path=\"/silent\""));
    assert!(
        line.is_some_and(|line| line.contains("by=\"protocol\"")),
        "{log}"
    );
    // It is unsolicited, so the app's protocol gets it, which ignores such a pong.
    thread::sleep(Duration::from_millis(100));
    faithful.send(PONG);
    server.wait_for("wakes_total{for=\"input\"}", 3);
    faithful.send(&text("!echo good morning"));
    assert_eq!(faithful.read_text(), "good morning");
}
