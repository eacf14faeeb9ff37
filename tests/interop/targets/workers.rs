//! Cloudflare Durable Objects, in workerd, through the package in `npm/`.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::app_behaviours::{self, CLOSE, frame};
use support::{Server, root};

/// The difference is checked below.
const CANNOT: &[(&str, &str)] = &[(
    "a room with a bad name does not disturb the others",
    "workerd leaves it to the client to close the socket after a Close frame sent together with the 101",
)];

/// Longer than the 10 seconds after which workerd evicts an idle object.
const LONG: Duration = Duration::from_secs(13);

fn serve(app: &Path) -> Server {
    let folder = super::compose(app, "workers");
    Server::run(Command::new(root().join("npm/test/workerd.sh")).arg(folder))
}

#[test]
fn apps_on_workerd() {
    for language in super::LANGUAGES {
        super::check("workers", language, CANNOT, serve);
    }
}

fn chat() -> Server {
    app_behaviours::build();
    serve(&app_behaviours::component("rust", "chat"))
}

#[test]
fn a_fault_on_open_closes_only_that_connection_with_1011() {
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
