//! Timeouts that the operator sets.

use crate::{Server, opening_handshake, text};

/// Checks a host that serves the guest `pending`.
pub fn decisions_may_take_time_up_to_the_limit(serve: impl Fn(&[&str]) -> Server) {
    let server = serve(&["--decision-timeout", "1"]);
    let mut never = server.connect();
    never.send(&opening_handshake("/never"));
    // Meanwhile another is decided, whose guest asks again and again to be called at once.
    server.websocket("/").assert_echoes("decided");
    let head = never.read_head();
    assert_eq!(head.status, 504);
    assert!(never.read_body(&head).contains("too long"));
    assert_eq!(never.read_to_end(), b"");
    server.wait_for_log("in time, sending 504 (");
}

/// Checks a host that serves the guest `faults`: output of the component, and a response of HTTP.
pub fn a_peer_that_stops_reading_is_disconnected(serve: impl Fn(&[&str]) -> Server) {
    let options = ["--send-timeout", "1", "--verbose"];
    let server = serve(&options);
    let mut http = server.connect();
    http.send(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    server.wait_for_log("stopped reading");

    let server = serve(&options);
    let mut websocket = server.websocket("/flood");
    websocket.send(&text("go"));
    server.wait_for_log("stopped reading");
    server.websocket("/").assert_echoes("after");
    // Its unsent output does not hold up the others.
    server.websocket("/").assert_echoes("and after");
}
