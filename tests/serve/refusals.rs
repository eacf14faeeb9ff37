//! Refused clients in the access log: the reason with the values that were compared, and not too many lines.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "how a test fails"
)]

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Server, TIMEOUT, build_guest, wasocket};

/// The lines of the access log that have this field, once there are this many.
fn access(server: &Server, field: &str, number: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let log = server.log();
        let lines = log.lines().map(serde_json::from_str::<Value>);
        let lines = lines.map(|line| line.expect("JSON"));
        let lines: Vec<Value> = lines
            .filter(|line| line["target"] == "access" && !line[field].is_null())
            .collect();
        if lines.len() >= number {
            return lines;
        }
        assert!(start.elapsed() < TIMEOUT, "{number} lines in {log}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A handshake with these fields in addition.
fn handshake(more: &str) -> String {
    format!(
        "GET /echo?token=secret HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A proxy that changes `Host`, and others that lose a field, show in the log.
#[test]
fn a_refusal_has_its_reason_and_the_values_compared() {
    let options = ["--log-format", "json", "--max-head", "1"];
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "a.test"]);
    let server = Server::run(command.args(options));
    let version = "Sec-WebSocket-Version: 13\r\n";
    let origin = format!("{version}Origin: http://a.test:8080\r\n");
    let long = format!("{version}X: {}\r\n", "x".repeat(1024));
    let other_host = handshake(version).replace("a.test", "b.test");
    let cases = [
        (
            handshake(&origin),
            403,
            "this Origin is not allowed here: Origin 'http://a.test:8080', Host 'a.test', without TLS",
        ),
        (
            handshake("Sec-WebSocket-Version: 8\r\n"),
            426,
            "only Sec-WebSocket-Version 13 is supported: Sec-WebSocket-Version '8'",
        ),
        (
            handshake(version).replace("Connection: Upgrade\r\n", ""),
            426,
            "Upgrade needs Connection: Upgrade as well: Upgrade 'websocket', no Connection",
        ),
        (
            handshake("").replace("Host: a.test", "Host: a b"),
            400,
            "Host is malformed: 'a b'",
        ),
        (
            other_host,
            421,
            "This server does not serve this host. Its operator can allow it: wasocket serve --allow-host: 'b.test'",
        ),
        (
            handshake(&long),
            431,
            "the request head is too large: more than 1024 bytes",
        ),
    ];
    for (number, (request, status, reason)) in cases.iter().enumerate() {
        let (head, _) = server.request(request);
        assert_eq!(head.status, *status, "{request}");
        let lines = access(&server, "reason", number + 1);
        assert_eq!(lines[number]["status"], *status);
        assert_eq!(lines[number]["reason"], *reason);
    }
    assert!(!server.log().contains("secret"), "{}", server.log());
}

/// Each address has ten lines in ten seconds.
#[test]
fn repeated_refusals_of_an_address_are_counted_instead() {
    const REFUSED: u64 = 50;
    let mut server = Server::with_options(&["--log-format", "json"]);
    for _ in 0..REFUSED {
        let (head, _) = server.request("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
        assert_eq!(head.status, 400);
    }
    let mut other = server.connect_from([127, 0, 0, 2]);
    other.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_eq!(other.read_head().status, 400);
    let is_other = |line: &Value| {
        let remote = line["remote"].as_str();
        remote.is_some_and(|remote| remote.starts_with("127.0.0.2"))
    };
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let suppressed = access(&server, "suppressed", 1);
    let number = |line: &Value| line["suppressed"].as_u64().expect("a number");
    let suppressed: u64 = suppressed.iter().map(number).sum();
    let lines = access(&server, "reason", 1);
    assert_eq!(lines.iter().filter(|line| is_other(line)).count(), 1);
    let logged = lines.len() as u64 - 1;
    assert_eq!(logged + suppressed, REFUSED);
    assert!(suppressed > 0, "{}", server.log());
}

/// Sends "hello" and has it echoed.
fn with_one_message(server: &Server, path: &str) -> support::Client {
    let mut client = server.websocket(path);
    client.assert_echoes("hello");
    client
}

#[test]
fn connections_cut_off_at_shutdown_say_who_ended_them_and_what_came_before() {
    let options = ["--shutdown-timeout", "0", "--log-format", "json"];
    let mut server = Server::with_options(&options);
    let _client = with_one_message(&server, "/echo");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let line = &access(&server, "by", 1)[0];
    for (name, value) in [
        ("by", Value::from("host")),
        ("code", 1001.into()),
        ("messages_received", 1.into()),
        ("messages_sent", 1.into()),
        ("error", "aborted at shutdown".into()),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
}

#[test]
fn connections_that_end_with_their_instance_say_so() {
    let faults = build_guest("faults", "bare");
    let server = Server::serving(&faults, &["--log-format", "json"]);
    let mut bystander = with_one_message(&server, "/");
    let mut client = with_one_message(&server, "/");
    client.send(&support::text("trap"));
    client.read_to_end();
    bystander.read_to_end();
    for line in access(&server, "by", 2) {
        assert_eq!((&line["by"], &line["code"]), (&"app".into(), &1011.into()));
        assert_eq!(line["error"], "its instance failed");
        assert!(line["bytes_received"].as_u64() > Some(0), "{line}");
    }
}
