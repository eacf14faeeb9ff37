//! Requests: too many, too large, or endless.

use std::thread;
use std::time::{Duration, Instant};

use support::{Client, Server, TIMEOUT};

use super::{KIB, MIB};

#[test]
fn requests_per_address_are_rate_limited() {
    let server = Server::with_options(&["--max-requests-per-address", "5"]);
    let mut other = server.websocket("/echo");
    let mut attacker = server.connect_from([127, 0, 0, 2]);
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    // Pipelined: even a slow machine answers more than 5 in a second.
    attacker.try_send(&request.repeat(1000));
    let mut answered = 0;
    let refused = loop {
        let head = attacker.read_head();
        let body = attacker.read_body(&head);
        match head.status {
            200 => answered += 1,
            _ => break (head, body),
        }
        assert!(answered < 1000, "none is refused");
        other.assert_echoes("served");
    };
    let (head, body) = refused;
    assert_eq!(head.status, 429);
    assert_eq!(head.field("Retry-After").as_deref(), Some("1"));
    assert!(body.contains("too many requests"), "{body}");
    attacker.wait_for_end();
    // Another address has its own limit, and a second later there is room again.
    let from = |address| {
        let mut client = server.connect_from(address);
        client.send(request);
        client.read_head().status
    };
    assert_eq!(from([127, 0, 0, 3]), 200);
    let start = Instant::now();
    while from([127, 0, 0, 2]) != 200 {
        assert!(start.elapsed() < TIMEOUT, "not answered again");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_operator_limits_request_heads() {
    let server = Server::with_options(&["--max-head", "1"]);
    let request = |length: usize| {
        let head = "GET / HTTP/1.1\r\nHost: a.test\r\na: \r\n\r\n";
        let value = "b".repeat(length - head.len());
        format!("GET / HTTP/1.1\r\nHost: a.test\r\na: {value}\r\n\r\n")
    };
    assert_eq!(server.request(&request(KIB)).0.status, 200);
    assert_eq!(server.request(&request(KIB + 1)).0.status, 431);
    // Every request on a connection is limited, not only the first.
    let mut client = server.connect();
    for (length, status) in [(KIB, 200), (KIB + 1, 431)] {
        client.send(request(length).as_bytes());
        let head = client.read_head();
        assert_eq!(head.status, status);
        client.read_body(&head);
    }
}

#[test]
fn endless_heads_do_not_fill_the_memory() {
    let server = Server::with_options(&["--head-timeout", "4"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attackers: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for attacker in &mut attackers {
        attacker.send(b"GET /echo HTTP/1.1\r\nHost: a.test\r\nUpgrade: web");
        other.assert_echoes("served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    for attacker in &mut attackers {
        // After 4 seconds, not the default 10, which would exceed the client's timeout.
        assert_eq!(attacker.read_head().status, 408);
    }
    other.assert_echoes("served");
}
