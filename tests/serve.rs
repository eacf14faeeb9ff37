//! The running binary over real sockets: what the default app answers, and what the runner promises.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod runner;
use wasocket_vectors as vectors;

use std::process::Output;
use std::thread;
use std::time::Duration;

use runner::{Client, Server, opening_handshake, text, wasocket};
use vectors::{Frame, FrameVector, HandshakeVector, Then};

/// A frame that every endpoint answers: a ping, and the pong that it must get.
const PING: &[u8] = b"\x89\x83\0\0\0\0end";
const PONG: &[u8] = b"\x8a\x03end";

#[test]
fn handshake_vectors() {
    let server = Server::start();
    for vector in vectors::handshakes() {
        let mut client = server.connect();
        client.send(&vector.bytes());
        check_handshake(&vector, &mut client);
    }
}

/// A client that believes it was upgraded sends frames; they must never be read as a request.
#[test]
fn nothing_behind_a_refused_upgrade_is_answered() {
    let server = Server::start();
    for vector in vectors::handshakes() {
        if vector.status != 101 {
            let mut client = server.connect();
            let behind = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
            client.send(&[&vector.bytes()[..], behind].concat());
            check_handshake(&vector, &mut client);
        }
    }
}

fn check_handshake(vector: &HandshakeVector, client: &mut Client) {
    let name = &vector.name;
    for status in &vector.interim {
        assert_eq!(client.read_head().status, *status, "{name}");
    }
    let head = client.read_head();
    vector.check(head.status, &head.fields);
    if head.status == 101 {
        client.send(PING);
        assert_eq!(client.read_exactly(PONG.len()), PONG, "{name}");
        return;
    }
    let content_type = head.field("Content-Type").expect("a text");
    assert!(content_type.starts_with("text/plain"), "{name}");
    assert!(head.field("Date").is_some(), "{name}: RFC 9110 6.6.1");
    if !vector.bytes().starts_with(b"HEAD") {
        assert!(client.read_body(&head).len() > 10, "{name}");
    }
    assert_eq!(client.read_to_end(), b"", "{name}: not closed");
}

#[test]
fn frame_vectors() {
    let server = Server::start();
    for vector in vectors::frames() {
        let mut client = server.connect();
        client.send(&handshake(&vector));
        assert_eq!(client.read_head().status, 101);
        client.try_send(&vector.bytes());
        check(&vector, &mut client, "over the socket");
    }
}

/// Bytes right behind the request head, in the same segment, belong to the component.
#[test]
fn frame_vectors_behind_the_request_head() {
    let server = Server::start();
    for vector in vectors::frames() {
        let mut client = server.connect();
        let mut bytes = handshake(&vector);
        bytes.extend(vector.bytes());
        client.try_send(&bytes);
        assert_eq!(client.read_head().status, 101);
        check(&vector, &mut client, "behind the request head");
    }
}

/// The opening handshake that a vector needs.
fn handshake(vector: &FrameVector) -> Vec<u8> {
    let mut head = opening_handshake("/echo");
    if vector.deflate {
        head.truncate(head.len() - 2);
        head.extend(b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    }
    head
}

fn check(vector: &FrameVector, client: &mut Client, how: &str) {
    let output = match vector.then {
        Then::Closed => client.read_to_end(),
        Then::Open => {
            client.send(PING);
            read_until_pong(client)
        }
    };
    vector.check(&output, vector.then, how);
}

fn read_until_pong(client: &mut Client) -> Vec<u8> {
    while !client.received.ends_with(PONG) {
        assert!(client.read_more(), "closed behind {:02x?}", client.received);
    }
    let output = client.received.len() - PONG.len();
    let output = client.read_exactly(output);
    client.received.clear();
    output
}

#[test]
fn byte_by_byte_over_the_socket() {
    let server = Server::start();
    let mut client = server.connect();
    client.stream.set_nodelay(true).expect("connected");
    let mut bytes = opening_handshake("/");
    bytes.extend(text("slow"));
    for byte in bytes {
        client.send(&[byte]);
    }
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_exactly(17), b"\x81\x0fReceived:  slow");
}

#[test]
fn the_default_app_answers_plain_http() {
    let server = Server::start();
    let get = |line: &str| server.request(&format!("{line} HTTP/1.1\r\nHost: a.test\r\n\r\n"));

    let (head, page) = get("GET /");
    assert_eq!(head.status, 200);
    let content_type = head.field("Content-Type");
    assert_eq!(content_type.as_deref(), Some("text/html; charset=utf-8"));
    assert!(page.contains("<title>Wasocket</title>"));

    let (head, body) = get("GET /nowhere");
    assert_eq!((head.status, body.is_empty()), (404, false));

    let (head, body) = get("DELETE /");
    assert_eq!((head.status, body.is_empty()), (405, false));
    assert_eq!(head.field("Allow").as_deref(), Some("GET, HEAD"));

    let (head, _) = get("GET /echo");
    assert_eq!(head.status, 426);
    assert_eq!(head.field("Upgrade").as_deref(), Some("websocket"));
}

#[test]
fn plain_http_keeps_the_connection() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.read_head().status, 200);
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let head = client.read_head();
        assert!(client.read_body(&head).ends_with("</html>\n"));
    }
    client.send(&opening_handshake("/"));
    assert_eq!(client.read_head().status, 101);
}

/// Not only the handshake refuses upgrades: an app may, and the HTTP layer.
#[test]
fn an_upgrade_that_is_no_websocket_closes_too() {
    let server = Server::start();
    for (request, status) in [
        (
            "GET /nowhere HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket",
            404,
        ),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c", 200),
        ("GET / HTTP/1.1\r\nUpgrade: websocket", 400),
    ] {
        let mut client = server.connect();
        let request = format!("{request}\r\nConnection: Upgrade\r\n\r\n");
        client.send(request.repeat(2).as_bytes());
        let head = client.read_head();
        assert_eq!(head.status, status);
        client.read_body(&head);
        assert_eq!(client.read_to_end(), b"");
    }
}

#[test]
fn a_body_keeps_the_connection_where_its_end_is_known() {
    let server = Server::start();
    let mut client = server.connect();
    let length = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    client.send(length.repeat(3).as_bytes());
    for _ in 0..3 {
        let head = client.read_head();
        assert_eq!((head.status, head.field("Connection")), (405, None));
        client.read_body(&head);
    }
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    client.send(chunked.repeat(2).as_bytes());
    let head = client.read_head();
    assert_eq!(head.status, 405);
    client.read_body(&head);
    assert_eq!(client.read_to_end(), b"");
}

/// Pipelined behind a request, the opening handshake waits for the response to be sent.
#[test]
fn a_handshake_may_be_pipelined() {
    let server = Server::start();
    let mut client = server.connect();
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(200);
    bytes.extend(opening_handshake("/echo"));
    bytes.extend(PING);
    client.send(&bytes);
    for _ in 0..200 {
        let head = client.read_head();
        assert_eq!(head.status, 200);
        assert!(client.read_body(&head).ends_with("</html>\n"));
    }
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_exactly(PONG.len()), PONG);
}

/// The time for a head is absolute: bytes do not extend it. A client that has sent nothing is just
/// disconnected, as what it may send meanwhile is no reason for a 408.
#[test]
fn a_slow_head_is_given_up() {
    let server = Server::start();
    let mut idle = server.connect();
    let mut slow = server.connect();
    let mut kept = server.connect();
    kept.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n");
    assert_eq!(kept.read_head().status, 200);
    for client in [&idle, &slow, &kept] {
        let patience = Some(Duration::from_secs(15));
        client.stream.set_read_timeout(patience).expect("a time");
    }
    // Were each byte to extend the time, the answer would come too late for the patience above.
    for byte in opening_handshake("/echo").iter().take(18) {
        slow.send(&[*byte]);
        thread::sleep(Duration::from_millis(500));
    }
    let head = slow.read_head();
    assert_eq!(head.status, 408);
    assert!(slow.read_body(&head).contains("too long"));
    assert_eq!(slow.read_to_end(), b"");
    assert_eq!(idle.read_to_end(), b"");
    assert_eq!(kept.read_to_end(), b"");
}

#[test]
fn half_a_head_is_refused() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"GET /echo HTTP/1.1\r\nHost: a.test\r\n");
    client.finish_sending();
    let head = client.read_head();
    assert_eq!(head.status, 400);
    client.read_body(&head);
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn hijack_speaks_raw_tcp() {
    const GREETING: &[u8] = b"Now we're speaking raw TCP. Say hi: ";
    let server = Server::start();
    let request = b"GET /hijack HTTP/1.1\r\nHost: a.test\r\n\r\n";

    let mut client = server.connect();
    client.send(request);
    assert_eq!(client.read_exactly(GREETING.len()), GREETING);
    client.send(b"h");
    client.send(b"i\n");
    assert_eq!(client.read_to_end(), b"You said: \"hi\\n\"\nBye.\n");

    // The line right behind the request head, and more than is wanted.
    let mut client = server.connect();
    client.send(&[&request[..], b"hi \"there\"\nmore"].concat());
    let expected = [GREETING, b"You said: \"hi \\\"there\\\"\\n\"\nBye.\n"].concat();
    assert_eq!(client.read_to_end(), expected);

    // The end of the stream instead of a line.
    let mut client = server.connect();
    client.send(request);
    client.finish_sending();
    assert_eq!(client.read_to_end(), GREETING);
}

#[test]
fn connections_are_independent() {
    let server = Server::start();
    // More than one instance's worth.
    let mut clients: Vec<Client> = (0..100).map(|_| server.websocket("/")).collect();
    clients.remove(50);
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&text(&format!("{i:03}")));
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let expected = format!("\u{81}\u{e}Received:  {i:03}");
        let expected: Vec<u8> = expected.chars().map(|char| char as u8).collect();
        assert_eq!(client.read_exactly(16), expected);
    }
}

#[test]
fn a_stop_closes_connections_with_1001() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut idle = server.connect();
        let mut client = server.websocket("/echo");
        server.signal(signal);
        let (frame, size) = read_frame(&mut client);
        assert_eq!(
            (frame.opcode, &frame.payload[..]),
            ("close", &b"\x03\xe9"[..])
        );
        client.read_exactly(size);
        client.send(b"\x88\x82\0\0\0\0\x03\xe9");
        assert_eq!(client.read_to_end(), b"");
        assert_eq!(idle.read_to_end(), b"");
        assert_eq!(server.wait(), Some(0), "{}", server.log());
    }
}

fn read_frame(client: &mut Client) -> (Frame, usize) {
    loop {
        if let Some(read) = Frame::read(&client.received).expect("a frame") {
            return read;
        }
        assert!(client.read_more(), "end of stream instead of a frame");
    }
}

#[test]
fn a_client_that_ignores_the_close_does_not_hold_up_the_stop() {
    let mut server = Server::start();
    let _client = server.websocket("/echo");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

fn run(arguments: &[&str]) -> Output {
    wasocket(arguments).output().expect("the runner runs")
}

fn assert_fails(arguments: &[&str], code: i32, message: &str) {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(error.contains(message), "{arguments:?}: {error}");
}

#[test]
fn wrong_files_are_told_apart() {
    let folder = runner::root().join("target/guests");
    std::fs::create_dir_all(&folder).expect("target is writable");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("target is writable");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let text = write("text.wasm", b"hello");
    let module = write("module.wasm", b"\0asm\x01\0\0\0");
    // The smallest component: it exports nothing.
    let component = write("component.wasm", b"\0asm\x0d\0\x01\0");
    let broken = write("broken.wasm", b"\0asm\x0d\0\x01\0\xff\xff");

    assert_fails(&["serve", "missing.wasm"], 1, "missing.wasm");
    assert_fails(&["serve", "missing.wasm"], 1, "no such file");
    assert_fails(&["serve", &text], 1, "not WebAssembly");
    assert_fails(&["serve", &module], 1, "wasm-tools component new");
    assert_fails(
        &["serve", &component],
        1,
        "wasocket:websocket/websocket-handler",
    );
    assert_fails(&["serve", &broken], 1, "not a valid component");
}

#[test]
fn a_port_in_use_is_named() {
    let server = Server::start();
    let address = server.address.to_string();
    assert_fails(
        &["serve", "--listen", &address],
        1,
        &format!("{address} is in use"),
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_fails(&["serve", "--listen", "nonsense"], 2, "127.0.0.1:1234");
    assert_fails(&["serve", "--connections-per-instance", "0"], 2, "0");
    assert_fails(&["sevre"], 2, "serve");
    let help = run(&["serve", "--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--listen"));
}
