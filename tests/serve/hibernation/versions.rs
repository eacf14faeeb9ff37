//! Connections that sleep while the component is replaced.

use std::path::Path;

use support::{Site, build_guest};
use wasocket_host::default_app::DEFAULT_APP;

use crate::peer::Peer;
use crate::{Dormitory, assert_echoes};

/// Posts a component.
fn replace(admin: &Site, component: &[u8]) {
    let mut client = admin.connect();
    let length = component.len();
    let head = format!(
        "POST /component HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/wasm\r\nContent-Length: {length}\r\n\r\n"
    );
    client.send(head.as_bytes());
    client.send(component);
    assert_eq!(client.read_head().status, 200);
}

fn bytes(guest: &Path) -> Vec<u8> {
    std::fs::read(guest).expect("a component")
}

/// The same component, with a custom section.
fn another(component: &[u8]) -> Vec<u8> {
    [component, &[0, 2, 1, b'2']].concat()
}

#[test]
fn a_connection_moves_when_it_wakes() {
    let server = Dormitory::serve(&[]);
    let mut first = Peer::join(&server, "/room?member=first");
    server.wait_until_asleep(1);
    replace(&server.admin, &another(&bytes(&build_guest("topics", ""))));
    assert_eq!(server.metric("connections_asleep"), 1);
    assert_echoes(&mut first, "good morning");
    assert_eq!(server.metric("swap_moved_total"), 1);
    first.send("!members");
    assert_eq!(first.read(), "!members 1 first");
}

/// The old version is started for it again.
#[test]
fn a_connection_whose_state_is_refused_keeps_its_version() {
    let server = Dormitory::serve(&[]);
    let mut peers = [0; 2].map(|_| Peer::join(&server, "/room"));
    server.wait_until_asleep(2);
    replace(&server.admin, DEFAULT_APP);
    for peer in &mut peers {
        assert_echoes(peer, "good morning");
    }
    assert_eq!(server.metric("swap_kept_total{reason=\"unsupported\"}"), 2);
    assert_eq!(server.metric("swap_moved_total"), 0);
    server.websocket("/echo").assert_echoes("new");
    for peer in &mut peers {
        assert_echoes(peer, "still here");
    }
}

/// It costs the new version an instance, and the connection nothing.
#[test]
fn a_connection_that_the_new_version_fails_to_resume_keeps_its_version() {
    let server = Dormitory::serve(&[]);
    let mut peer = Peer::join(&server, "/room");
    server.wait_until_asleep(1);
    replace(&server.admin, &bytes(&build_guest("topics", "resume-trap")));
    assert_echoes(&mut peer, "good morning");
    assert_eq!(server.metric("swap_kept_total{reason=\"failed\"}"), 1);
}

#[test]
fn a_connection_whose_state_is_refused_is_closed_if_the_operator_wants_it() {
    let server = Dormitory::serve(&["--swap-refused", "close"]);
    let mut peer = Peer::open(&server, "/");
    server.wait_until_asleep(1);
    replace(&server.admin, DEFAULT_APP);
    peer.send("!echo good morning");
    assert_eq!(peer.read_close(), 1012);
    assert_eq!(server.metric("swap_closed_total"), 1);
}
