//! Which connections sleep, and that they wake up unchanged.

use std::thread;
use std::time::Duration;

use support::{Client, build_guest, text};
use wasocket_host::default_app::DEFAULT_APP;

use crate::peer::Peer;
use crate::{Dormitory, assert_echoes};

#[test]
fn a_message_wakes_a_connection_and_no_instance_is_left_meanwhile() {
    let server = Dormitory::serve(&[]);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::open(&server, "/")).collect();
    assert_eq!(server.metric("instances"), 1);
    for round in 1..=2 {
        server.wait_until_asleep(3);
        assert_eq!(server.metric("instances"), 0);
        for peer in &mut peers {
            assert_echoes(peer, "good morning");
        }
        assert_eq!(server.wakes_for("input"), 3 * round);
        assert_eq!(server.metric("connections_asleep"), 0);
        assert_eq!(server.metric("instances"), 1);
    }
    assert_eq!(server.metric("hibernations_total"), 6);
}

/// A message longer than one read from a sleeping connection, and several at once.
#[test]
fn what_wakes_a_connection_arrives_whole_and_in_order() {
    let server = Dormitory::serve(&[]);
    let mut peer = Peer::open(&server, "/");
    server.wait_until_asleep(1);
    let texts = ["a", &"b".repeat(1022), &"c".repeat(200_000), "d"];
    for text in texts {
        peer.send(&format!("!echo {text}"));
    }
    for text in texts {
        assert_eq!(peer.read(), text);
    }
}

/// Compression refers back to messages before the sleep.
#[test]
fn compression_goes_on_after_a_sleep() {
    let server = Dormitory::serve(&[]);
    let mut peer = Peer::open(&server, "/?compress");
    let text = "the same text, again and again, but not within itself";
    for sleeps in 1..=2 {
        assert_echoes(&mut peer, text);
        server.wait_until_asleep(1);
        assert_eq!(server.metric("hibernations_total"), sleeps);
    }
    assert_echoes(&mut peer, text);
}

/// It sleeps once the message is complete.
#[test]
fn a_connection_in_the_middle_of_a_message_stays_awake() {
    let server = Dormitory::serve(&[]);
    let mut awake = server.websocket("/");
    let mut witness = Peer::open(&server, "/");
    // The first fragment of "!echo hello".
    awake.send(b"\x01\x88\0\0\0\0!echo he");
    server.wait_until_asleep(1);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(server.metric("connections_asleep"), 1);
    assert_echoes(&mut witness, "I slept");
    awake.send(b"\x80\x83\0\0\0\0llo");
    assert_eq!(awake.read_text(), "hello");
    server.wait_until_asleep(2);
    awake.assert_echo("good morning");
}

trait Commands {
    fn assert_echo(&mut self, text: &str);
}

impl Commands for Client {
    fn assert_echo(&mut self, said: &str) {
        self.send(&text(&format!("!echo {said}")));
        assert_eq!(self.read_text(), said);
    }
}

/// A function that waits has no state that could be kept.
#[test]
fn functions_that_wait_stay_awake() {
    let component = support::target_folder("hibernation-functions").join("app.wasm");
    std::fs::write(&component, DEFAULT_APP).expect("written");
    let server = Dormitory::serving(&component, &[]);
    let mut client = server.websocket("/echo");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.metric("hibernations_total"), 0);
    assert_eq!(server.metric("instances"), 1);
    client.assert_echoes("still here");
}

/// Nothing sleeps unless the operator wants it.
#[test]
fn no_connection_sleeps_without_the_option() {
    let server = Dormitory::awake(&build_guest("topics", ""), &["--hibernate-after", "0"]);
    let mut peer = Peer::open(&server, "/");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.metric("hibernations_total"), 0);
    assert_echoes(&mut peer, "awake");
}

/// The rate of reading is still limited, and so is the number of messages.
#[test]
fn limits_apply_to_those_that_have_slept() {
    let server = Dormitory::serve(&["--max-messages-per-second", "2", "--max-message-size", "1"]);
    let mut flood = Peer::open(&server, "/");
    let mut long = Peer::open(&server, "/");
    server.wait_until_asleep(2);
    for _ in 0..10 {
        flood.send("!echo hello");
    }
    assert_eq!(flood.read_close(), 1008);
    long.send(&"x".repeat(2000));
    assert_eq!(long.read_close(), 1009);
}
