//! Cloudflare Durable Objects, in workerd, by the package in `npm/`.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::apps::{self, CLOSE, frame};
use crate::runner::{Server, root};

/// What is different is checked below.
const CANNOT: &[(&str, &str)] = &[(
    "a room with a bad name costs nobody else anything",
    "workerd leaves it to the client to end TCP behind a Close that was sent together with the 101",
)];

/// Longer than workerd waits until it forgets an object in which nothing happens: 10 seconds.
const LONG: Duration = Duration::from_secs(13);

fn serve(app: &Path) -> Server {
    let folder = super::compose(app, "workers");
    Server::run(Command::new(root().join("npm/test/workerd.sh")).arg(folder))
}

#[test]
fn workers() {
    for language in super::LANGUAGES {
        super::check("workers", language, CANNOT, serve);
    }
}

fn chat() -> Server {
    apps::build();
    serve(&apps::component("rust", "chat"))
}

#[test]
fn a_fault_in_the_answer_to_open_closes_with_1011_and_costs_nobody_else_anything() {
    let site = chat();
    let mut ann = site.join("good", "ann");
    for room in ["x".repeat(200), String::new()] {
        let mut bob = site.websocket(&format!("/rooms/{room}?bob"));
        assert_eq!(bob.read_close(), (1011, String::new()));
        bob.try_send(&frame(CLOSE, b""));
    }
    ann.say("still here");
    ann.assert_hears("ann (1): still here");
}

#[test]
fn state_and_channels_outlive_the_instance() {
    let site = chat();
    let mut ann = site.join("kept", "ann");
    let mut bob = site.join("kept", "bob");
    ann.assert_hears("bob joined");
    ann.say("a");
    for client in [&mut ann, &mut bob] {
        client.assert_hears("ann (1): a");
    }
    thread::sleep(LONG);
    ann.say("b");
    for client in [&mut ann, &mut bob] {
        client.assert_hears("ann (2): b");
    }
    site.wait_for_log("the object is awake again, with 2 connections");
    bob.send_frame(CLOSE, b"\x0f\xa2");
    ann.assert_hears("bob left (4002)");
}
