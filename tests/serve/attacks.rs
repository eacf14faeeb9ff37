//! Hostile clients against the running binary: their cost is bounded, others are served meanwhile, and the
//! attackers are disconnected in the end.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use support::{Client, Server, Site, TIMEOUT, build_guest, opening_handshake, root, text};
use wasocket_vectors as vectors;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// A masked ping without a payload.
const PING: &[u8] = b"\x89\x80\0\0\0\0";
/// A masked, unsolicited pong, which gets no response (RFC 6455 §5.5.3).
const PONG: &[u8] = b"\x8a\x80\0\0\0\0";
/// A masked message without a payload.
const EMPTY: &[u8] = b"\x82\x80\0\0\0\0";

fn assert_echoes(client: &mut Client, message: &str) {
    client.send(&text(message));
    assert_eq!(client.read_text(), message);
}

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

/// Writes the same bytes again and again, until `most` are written or the runner has often refused to take any,
/// while it serves another client. Returns the number of bytes it took, or `None` if it ended the connection.
fn flood(attacker: &mut Client, bytes: &[u8], most: usize, other: &mut Client) -> Option<usize> {
    flood_until(attacker, bytes, most, 2000, other)
}

/// The same, until the runner has refused this number of times.
fn flood_until(
    attacker: &mut Client,
    bytes: &[u8],
    most: usize,
    times: usize,
    other: &mut Client,
) -> Option<usize> {
    let many = bytes.repeat((64 * KIB / bytes.len()).max(1));
    attacker.stream.set_nonblocking(true).expect("connected");
    let (mut written, mut refusals) = (0, 0);
    let mut rest: &[u8] = &[];
    while written < most && refusals < times {
        if rest.is_empty() {
            rest = &many;
        }
        match attacker.stream.write(rest) {
            Ok(taken) => {
                let before = written / MIB;
                written += taken;
                rest = &rest[taken..];
                // Also while all is taken: on a slow machine the other client would be pinged for its silence.
                if written / MIB > before {
                    assert_echoes(other, "served");
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refusals += 1;
                assert_echoes(other, "served");
            }
            Err(_) => return None,
        }
    }
    attacker.stream.set_nonblocking(false).expect("connected");
    Some(written)
}

#[test]
fn connections_over_the_limit_wait() {
    let server = Server::with_options(&["--max-connections", "2"]);
    let mut first = server.websocket("/echo");
    let second = server.websocket("/echo");
    let mut third = server.connect();
    third.send(&opening_handshake("/echo"));
    assert_echoes(&mut first, "served");
    assert!(third.has_nothing_to_read());
    drop(second);
    assert_eq!(third.read_head().status, 101);
    assert_echoes(&mut third, "served at last");
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
        assert_echoes(&mut other, "served");
    }
    assert_echoes(&mut other, "served");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes");
    held.pop();
    wait_until_accepted(&server, attacker);
}

#[test]
fn an_address_has_a_limited_rate_of_connections() {
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
fn input_over_the_byte_rate_waits_with_the_client() {
    let server = Server::with_options(&["--max-bytes-per-second", "20000"]);
    let mut other = server.websocket("/echo");
    let mut attacker = server.websocket("/echo");
    // The system buffers a few MiB for the two sockets.
    let taken = flood(&mut attacker, PONG, 64 * MIB, &mut other).expect("still connected");
    assert!(taken < 64 * MIB);
    // Each connection has its own allowance, and is answered within it.
    assert_echoes(&mut other, "served");
    let mut slow = server.websocket("/echo");
    for number in 0..500 {
        slow.send(&text(&format!("{number:0100}")));
    }
    for number in 0..500 {
        assert_eq!(slow.read_text(), format!("{number:0100}"));
    }
}

#[test]
fn floods_of_small_frames_cost_only_time() {
    let server = Server::with_options(&["--send-timeout", "2", "--verbose"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attackers = vec![];
    for frame in [PING, PONG, EMPTY] {
        let mut attacker = server.websocket("/echo");
        let written = flood(&mut attacker, frame, 32 * MIB, &mut other);
        assert_echoes(&mut other, "served");
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 8 * MIB, "{grown} bytes by {frame:?}");
        if frame != EMPTY {
            // Of pings that come at once only the last is answered.
            assert!(written >= Some(32 * MIB), "not all is read: {written:?}");
        }
        attackers.push(attacker);
    }
    // The last attacker reads none of its echoes, and is disconnected.
    server.wait_for_log("the peer has stopped reading");
}

#[test]
fn exceeding_the_apps_or_operators_message_rate_ends_the_connection() {
    let guest = build_guest("faults", "bare");
    let by_app = Server::serving(&guest, &[]);
    too_many_messages_end(&by_app, "/limited");
    // The lower of the two limits counts.
    let by_both = Server::serving(&guest, &["--max-messages-per-second", "1000"]);
    too_many_messages_end(&by_both, "/limited");
    let by_operator = Server::serving(&guest, &["--max-messages-per-second", "100"]);
    too_many_messages_end(&by_operator, "/");
}

fn too_many_messages_end(server: &Server, path: &str) {
    let mut other = server.websocket(path);
    assert_echoes(&mut other, "served");
    let before = server.memory();
    for frame in [EMPTY, PING] {
        let mut attacker = server.websocket(path);
        attacker.try_send(&frame.repeat(64 * KIB));
        // Messages within the limit are answered, then comes a Close frame: 1008.
        let said = attacker.read_to_end();
        let close = b"too many messages in a second";
        assert!(said.ends_with(close), "{:?}", &said[..said.len().min(200)]);
        assert_eq!(said[said.len() - close.len() - 2..][..2], [0x03, 0xf0]);
        assert!(said.len() < 600, "{} bytes", said.len());
        assert_echoes(&mut other, "served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
}

#[test]
fn the_operator_limits_message_size() {
    let server = Server::with_options(&["--max-message-size", "1"]);
    let mut other = server.websocket("/echo");
    let fits = "a".repeat(KIB);
    assert_echoes(&mut other, &fits);
    let mut attacker = server.websocket("/echo");
    // The header of a text of 1,025 bytes is enough.
    attacker.send(b"\x81\xfe\x04\x01");
    let said = attacker.read_to_end();
    assert_eq!(said[..1], [0x88]);
    assert_eq!(said[2..4], 1009_u16.to_be_bytes());
    assert_echoes(&mut other, &fits);
    // Raw sockets have no messages, and no limit.
    let mut raw = server.connect();
    raw.send(b"GET /hijack HTTP/1.1\r\nHost: a.test\r\n\r\n");
    raw.send(&"a".repeat(2 * KIB).into_bytes());
    raw.send(b"\n");
    let said = raw.read_to_end();
    assert!(said.len() > 2 * KIB, "{} bytes", said.len());
}

#[test]
fn an_address_has_a_limited_rate_of_requests() {
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
        assert_echoes(&mut other, "served");
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
fn endless_heads_cost_only_what_has_arrived() {
    let server = Server::with_options(&["--head-timeout", "4"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attackers: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for attacker in &mut attackers {
        attacker.send(b"GET /echo HTTP/1.1\r\nHost: a.test\r\nUpgrade: web");
        assert_echoes(&mut other, "served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    for attacker in &mut attackers {
        // After 4 seconds, not the default 10, which would exceed the client's timeout.
        assert_eq!(attacker.read_head().status, 408);
    }
    assert_echoes(&mut other, "served");
}

#[test]
fn announced_lengths_cost_nothing() {
    let server = Server::with_options(&["--idle-timeout", "3"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attackers: Vec<Client> = (0..100).map(|_| server.websocket("/echo")).collect();
    for attacker in &mut attackers {
        // Announces a MiB, and sends a byte.
        attacker.send(b"\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0a");
        assert_echoes(&mut other, "served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes");
    for attacker in &mut attackers {
        assert_eq!(attacker.read_to_end(), b"");
    }
}

#[test]
fn clients_that_do_not_read_do_not_fill_the_memory() {
    let server =
        Server::with_options(&["--max-unsent", "2", "--send-timeout", "3600", "--verbose"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut message = b"\x82\xff\0\0\0\0\0\x0e\0\0\0\0\0\0".to_vec();
    message.resize(message.len() + 14 * 64 * KIB, 0);
    let mut attackers: Vec<Client> = (0..8).map(|_| server.websocket("/echo")).collect();
    let mut lost = 0;
    for attacker in &mut attackers {
        let taken = flood_until(attacker, &message, 64 * MIB, 100, &mut other);
        lost += usize::from(taken.is_none());
    }
    server.wait_for_log("--max-unsent");
    assert_echoes(&mut other, "served");
    assert!(
        lost < attackers.len(),
        "connections within their share are kept"
    );
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes");
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
    assert_echoes(&mut client, "young");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    client.send(b"\x88\x82\0\0\0\0\x03\xf4");
    assert_eq!(client.read_to_end(), b"");
}

/// For every row of the table in docs/security.md, the tests and vectors it names exist.
#[test]
fn every_proof_named_in_the_security_table_exists() {
    let text = fs::read_to_string(root().join("docs/security.md")).expect("the page");
    let (_, table) = text
        .split_once("| Failure | Handled in | Shown by |\n")
        .expect("a table");
    let rows = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(1);
    let cells: Vec<&str> = rows.filter_map(|row| row.split(" | ").nth(2)).collect();
    assert!(cells.len() > 40, "{} rows", cells.len());
    let names = names_of_vectors();
    for cell in cells {
        check_tests(cell);
        for name in cell.split('*').skip(1).step_by(2) {
            let begins = |own: &String| match name.strip_suffix(": ..") {
                Some(beginning) => own.starts_with(beginning),
                None => own == name,
            };
            assert!(names.iter().any(begins), "no vector *{name}*: {cell}");
        }
    }
}

/// The words in backticks are names of tests, followed by the file they are in.
fn check_tests(cell: &str) {
    let mut tests: Vec<&str> = vec![];
    for word in cell.split('`').skip(1).step_by(2) {
        let is_fuzzed = |target| {
            root()
                .join(format!("fuzz/fuzz_targets/{target}.rs"))
                .exists()
        };
        if word.ends_with(".rs") {
            let file = fs::read_to_string(root().join(word));
            let file = file.unwrap_or_else(|error| panic!("{word}: {error}"));
            for test in tests.drain(..) {
                assert!(file.contains(&format!("fn {test}(")), "no {test} in {word}");
            }
        } else if !word.contains(' ') && !is_fuzzed(word) {
            tests.push(word);
        }
    }
    assert_eq!(tests, [""; 0], "no file is named: {cell}");
}

/// The names of all vectors, and of the other checks of `wasocket check`.
fn names_of_vectors() -> Vec<String> {
    let handshakes = vectors::handshakes().into_iter().map(|vector| vector.name);
    let http2 = vectors::http2_handshakes().into_iter();
    let frames = vectors::frames().into_iter().map(|vector| vector.name);
    let mut names: Vec<String> = handshakes.chain(http2.map(|vector| vector.name)).collect();
    names.extend(frames);
    for file in ["contract.rs", "subject.rs", "trial.rs", "suspension.rs"] {
        let text = fs::read_to_string(root().join("cli/src/commands/check").join(file));
        let text = text.expect("a file");
        names.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    names
}
