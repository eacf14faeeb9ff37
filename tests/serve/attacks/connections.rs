//! Connections: too many, too fast, silent, or too old.

use std::thread;
use std::time::{Duration, Instant};

use support::{Client, Server, Site, TIMEOUT, opening_handshake};

use super::MIB;

/// The status of the response to a handshake, on a new connection from this address. A client that is refused
/// may get its response before it sends the request.
fn status(site: &Site, from: [u8; 4]) -> (u16, Client) {
    let mut client = site.connect_from(from);
    client.try_send(&opening_handshake("/echo"));
    (client.read_head().status, client)
}

/// Tries until the response is 101.
fn wait_until_accepted(site: &Site, from: [u8; 4]) -> Client {
    let start = Instant::now();
    loop {
        match status(site, from) {
            (101, client) => return client,
            (status, _) => assert_eq!(status, 429),
        }
        assert!(start.elapsed() < TIMEOUT, "still refused");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn connections_over_the_limit_wait() {
    let server = Server::with_options(&["--max-connections", "2"]);
    let mut first = server.websocket("/echo");
    let second = server.websocket("/echo");
    let mut third = server.connect();
    third.send(&opening_handshake("/echo"));
    first.assert_echoes("served");
    assert!(third.has_nothing_to_read());
    drop(second);
    assert_eq!(third.read_head().status, 101);
    third.assert_echoes("served at last");
    server.wait_for_log("--max-connections");
}

#[test]
fn a_flood_of_connections_affects_only_its_own_address() {
    let server = Server::with_options(&["--max-connections-per-address", "20"]);
    let attacker = [127, 0, 0, 2];
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut held: Vec<Client> = (0..20).map(|_| server.connect_from(attacker)).collect();
    for _ in 0..500 {
        let mut denied = server.connect_from(attacker);
        // In a burst, not every client is told why it is refused.
        if !denied.read_more() {
            continue;
        }
        let head = denied.read_head();
        assert_eq!(head.status, 429);
        assert!(head.field("Retry-After").is_some(), "{head:?}");
        assert!(denied.read_body(&head).contains("too many connections"));
        assert_eq!(denied.read_to_end(), b"");
        other.assert_echoes("served");
    }
    other.assert_echoes("served");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes");
    held.pop();
    wait_until_accepted(&server, attacker);
}

#[test]
fn connections_per_address_are_rate_limited() {
    let server = Server::with_options(&["--max-handshakes-per-address", "1"]);
    let attacker = [127, 0, 0, 2];
    // Even a slow machine makes more than 20 in 20 seconds.
    let denied = (0..20).filter(|_| status(&server, attacker).0 == 429);
    assert_ne!(denied.count(), 0);
    assert_eq!(status(&server, [127, 0, 0, 3]).0, 101);
    wait_until_accepted(&server, attacker);
}

#[test]
fn private_addresses_are_limited_only_on_request() {
    let server = Server::with_options(&["--max-connections", "100"]);
    let clients: Vec<Client> = (0..50).map(|_| server.websocket("/echo")).collect();
    assert_eq!(clients.len(), 50);
}

#[test]
fn a_silent_raw_socket_is_closed() {
    let server = Server::with_options(&["--idle-timeout", "1"]);
    let mut silent = server.connect();
    silent.send(b"GET /hijack HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let said = silent.read_to_end();
    assert!(said.starts_with(b"Now we're speaking raw TCP."), "{said:?}");
}

#[test]
fn a_connection_is_closed_at_its_maximum_lifetime() {
    let server = Server::with_options(&["--max-lifetime", "1"]);
    let mut client = server.websocket("/echo");
    client.assert_echoes("young");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    client.send(b"\x88\x82\0\0\0\0\x03\xf4");
    assert_eq!(client.read_to_end(), b"");
}
