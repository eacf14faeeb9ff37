//! What every host of `websocket-handler` does, `wasocket serve` and `components/server` alike: tables of
//! behaviours, each checked by a client on a socket.

use std::thread;
use std::time::Duration;

use wasocket_vectors::{self as vectors, FrameVector, HandshakeVector, Then};

use crate::app_behaviours::Behaviour;
use crate::{Client, Server, Site, opening_handshake, text};

/// Of a host that serves the default app, `examples/echo`.
pub const DEFAULT_APP: &[Behaviour] = &[
    ("the vectors of opening handshakes", handshake_vectors),
    (
        "bytes after a refused upgrade get no answer",
        bytes_after_a_refused_upgrade_get_no_answer,
    ),
    ("the vectors of frames", frame_vectors),
    (
        "the vectors of frames, sent with the request head",
        frame_vectors_sent_with_the_request_head,
    ),
    ("input may come byte by byte", accepts_input_byte_by_byte),
    ("plain HTTP is answered", the_default_app_answers_plain_http),
    (
        "plain HTTP keeps the connection open",
        plain_http_keeps_the_connection_open,
    ),
    (
        "an upgrade to another protocol closes the connection",
        an_upgrade_to_another_protocol_closes_the_connection,
    ),
    (
        "a body of known length keeps the connection open",
        a_body_of_known_length_keeps_the_connection_open,
    ),
    ("a handshake may be pipelined", a_handshake_may_be_pipelined),
    (
        "a slow request head times out",
        a_slow_request_head_times_out,
    ),
    (
        "an incomplete request head is refused",
        an_incomplete_request_head_is_refused,
    ),
    ("hijack speaks raw TCP", hijack_speaks_raw_tcp),
    ("connections are independent", connections_are_independent),
    (
        "each connection gets its own messages",
        each_connection_gets_its_own_messages,
    ),
];

/// Of a host that serves the guest `faults`, which does what no component should.
pub const FAULTS: &[Behaviour] = &[
    (
        "an invalid response of the app becomes 500",
        an_invalid_response_of_the_app_becomes_500,
    ),
    (
        "a slow reader gets everything",
        a_slow_reader_gets_everything,
    ),
    (
        "a slow reader gets the whole response before the close",
        a_slow_reader_gets_the_whole_response_before_the_close,
    ),
    (
        "a peer that answers no pings is disconnected",
        a_peer_that_answers_no_pings_is_disconnected,
    ),
    (
        "exceeding the app's message rate ends the connection",
        exceeding_the_apps_message_rate_ends_the_connection,
    ),
];

/// A Ping, which every endpoint answers, and the Pong it must get.
const PING: &[u8] = b"\x89\x83\0\0\0\0end";
const PONG: &[u8] = b"\x8a\x03end";

fn handshake_vectors(site: &Site) {
    for vector in vectors::handshakes() {
        let mut client = site.connect();
        client.send(&vector.bytes());
        check_handshake(&vector, &mut client);
    }
}

/// A client that believes it was upgraded sends frames, which must never be read as a request.
fn bytes_after_a_refused_upgrade_get_no_answer(site: &Site) {
    for vector in vectors::handshakes() {
        if vector.status != 101 {
            let mut client = site.connect();
            let next = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
            client.send(&[&vector.bytes()[..], next].concat());
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

fn frame_vectors(site: &Site) {
    for vector in vectors::frames() {
        let mut client = site.connect();
        client.send(&handshake(&vector));
        assert_eq!(client.read_head().status, 101);
        client.try_send(&vector.bytes());
        check(&vector, &mut client, "over the socket");
    }
}

/// Bytes right after the request head, in the same segment, belong to the component.
fn frame_vectors_sent_with_the_request_head(site: &Site) {
    for vector in vectors::frames() {
        let mut client = site.connect();
        let mut bytes = handshake(&vector);
        bytes.extend(vector.bytes());
        client.try_send(&bytes);
        assert_eq!(client.read_head().status, 101);
        check(&vector, &mut client, "sent with the request head");
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
        assert!(client.read_more(), "closed after {:02x?}", client.received);
    }
    let output = client.received.len() - PONG.len();
    let output = client.read_exactly(output);
    client.received.clear();
    output
}

fn accepts_input_byte_by_byte(site: &Site) {
    let mut client = site.connect();
    client.stream.set_nodelay(true).expect("connected");
    let mut bytes = opening_handshake("/");
    bytes.extend(text("slow"));
    for byte in bytes {
        client.send(&[byte]);
    }
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_exactly(17), b"\x81\x0fReceived:  slow");
}

fn the_default_app_answers_plain_http(site: &Site) {
    let get = |line: &str| site.request(&format!("{line} HTTP/1.1\r\nHost: a.test\r\n\r\n"));

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

fn plain_http_keeps_the_connection_open(site: &Site) {
    let mut client = site.connect();
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

/// Apps refuse upgrades and the HTTP layer does, not only the handshake.
fn an_upgrade_to_another_protocol_closes_the_connection(site: &Site) {
    for (request, status) in [
        (
            "GET /nowhere HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket",
            404,
        ),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c", 200),
        ("GET / HTTP/1.1\r\nUpgrade: websocket", 400),
    ] {
        let mut client = site.connect();
        let request = format!("{request}\r\nConnection: Upgrade\r\n\r\n");
        client.send(request.repeat(2).as_bytes());
        let head = client.read_head();
        assert_eq!(head.status, status);
        client.read_body(&head);
        assert_eq!(client.read_to_end(), b"");
    }
}

fn a_body_of_known_length_keeps_the_connection_open(site: &Site) {
    let mut client = site.connect();
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

/// Pipelined after requests, the opening handshake waits until their responses are sent.
fn a_handshake_may_be_pipelined(site: &Site) {
    let mut client = site.connect();
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

/// The time for a head is absolute: more bytes do not extend it. A client that has sent nothing is disconnected
/// without a 408, which it could take for the response to a request it is just sending.
fn a_slow_request_head_times_out(site: &Site) {
    let mut idle = site.connect();
    let mut slow = site.connect();
    let mut kept = site.connect();
    kept.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n");
    assert_eq!(kept.read_head().status, 200);
    for client in [&idle, &slow, &kept] {
        let timeout = Some(Duration::from_secs(15));
        client.stream.set_read_timeout(timeout).expect("a time");
    }
    // If each byte extended the time, the response would come after the timeout above.
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

fn an_incomplete_request_head_is_refused(site: &Site) {
    let mut client = site.connect();
    client.send(b"GET /echo HTTP/1.1\r\nHost: a.test\r\n");
    client.finish_sending();
    let head = client.read_head();
    assert_eq!(head.status, 400);
    client.read_body(&head);
    assert_eq!(client.read_to_end(), b"");
}

fn hijack_speaks_raw_tcp(site: &Site) {
    const GREETING: &[u8] = b"Now we're speaking raw TCP. Say hi: ";
    let request = b"GET /hijack HTTP/1.1\r\nHost: a.test\r\n\r\n";

    let mut client = site.connect();
    client.send(request);
    assert_eq!(client.read_exactly(GREETING.len()), GREETING);
    client.send(b"h");
    client.send(b"i\n");
    assert_eq!(client.read_to_end(), b"You said: \"hi\\n\"\nBye.\n");

    // The line right after the request head, and more than the app reads.
    let mut client = site.connect();
    client.send(&[&request[..], b"hi \"there\"\nmore"].concat());
    let expected = [GREETING, b"You said: \"hi \\\"there\\\"\\n\"\nBye.\n"].concat();
    assert_eq!(client.read_to_end(), expected);

    // The end of the stream in place of a line.
    let mut client = site.connect();
    client.send(request);
    client.finish_sending();
    assert_eq!(client.read_to_end(), GREETING);
}

/// All clients send before any of them reads, so that a host finds many sockets readable at once. One of them
/// sends a long message, one only the beginning of its message.
fn each_connection_gets_its_own_messages(site: &Site) {
    let mut clients: Vec<_> = (0..40).map(|_| site.websocket("/echo")).collect();
    for round in 0..20 {
        let mut frames = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            let length = if number == round { 5000 } else { round };
            let payload = format!("{number} in {round}: {}", "x".repeat(length));
            let frame = text(&payload);
            let cut = if number == round + 20 { 3 } else { frame.len() };
            client.send(&frame[..cut]);
            frames.push((payload, frame[cut..].to_vec()));
        }
        for (client, (payload, rest)) in clients.iter_mut().zip(frames) {
            client.send(&rest);
            assert_eq!(client.read_text(), payload);
        }
    }
}

fn connections_are_independent(site: &Site) {
    // More than fit into one instance.
    let mut clients: Vec<Client> = (0..100).map(|_| site.websocket("/")).collect();
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

fn an_invalid_response_of_the_app_becomes_500(site: &Site) {
    for path in [
        "/bad-field",
        "/bad-name",
        "/own-length",
        "/bad-status",
        "/bad-takeover",
    ] {
        let mut client = site.connect();
        client.send(&opening_handshake(path));
        let head = client.read_head();
        assert_eq!(head.status, 500, "{path}");
        assert_eq!(head.field("Injected"), None, "{path}");
        assert!(!client.read_body(&head).contains("wasm"), "{path}");
        assert_eq!(client.read_to_end(), b"", "{path}");
    }
    assert_echoes(&mut site.websocket("/"), "fresh");
}

fn a_slow_reader_gets_everything(site: &Site) {
    let mut client = site.connect();
    client.send(b"GET /raw HTTP/1.1\r\nHost: a.test\r\n\r\nx");
    // Larger than all socket buffers: most of it waits in the host while it serves others.
    assert_echoes(&mut site.websocket("/"), "meanwhile");
    assert_eq!(client.read_to_end().len(), 8 << 20);
}

fn a_slow_reader_gets_the_whole_response_before_the_close(site: &Site) {
    let mut client = site.connect();
    client.send(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_echoes(&mut site.websocket("/"), "meanwhile");
    let head = client.read_head();
    assert_eq!(client.read_body(&head).len(), 8 << 20);
    assert_eq!(client.read_to_end(), b"");
}

fn a_peer_that_answers_no_pings_is_disconnected(site: &Site) {
    const PING: &[u8] = b"\x89\0";
    const PONG: &[u8] = b"\x8a\x80\0\0\0\0";
    let mut client = site.websocket("/keepalive");
    for _ in 0..3 {
        assert_eq!(client.read_exactly(2), PING);
        client.send(PONG);
    }
    assert_eq!(client.read_to_end(), PING);
}

/// `Limits::max_messages_per_second` is 100.
fn exceeding_the_apps_message_rate_ends_the_connection(site: &Site) {
    const EMPTY: &[u8] = b"\x81\x80\0\0\0\0";
    let mut client = site.websocket("/limited");
    client.try_send(&EMPTY.repeat(1000));
    let said = client.read_to_end();
    assert!(said.ends_with(b"\x03\xf0too many messages in a second"));
}

/// Of a host that serves the guest `pending`.
pub fn decisions_may_take_time_up_to_the_limit(serve: impl Fn(&[&str]) -> Server) {
    let server = serve(&["--decision-timeout", "1"]);
    let mut never = server.connect();
    never.send(&opening_handshake("/never"));
    // Meanwhile another is decided, whose guest asks again and again to be called at once.
    assert_echoes(&mut server.websocket("/"), "decided");
    let head = never.read_head();
    assert_eq!(head.status, 504);
    assert!(never.read_body(&head).contains("too long"));
    assert_eq!(never.read_to_end(), b"");
    server.wait_for_log("in time (");
}

/// Whether the output is the component's or a response of HTTP.
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
    assert_echoes(&mut server.websocket("/"), "after");
    // Its unsent output does not hold up the others.
    assert_echoes(&mut server.websocket("/"), "and after");
}

/// The app echoes this short message.
pub fn assert_echoes(client: &mut Client, message: &str) {
    client.send(&text(message));
    let expected = [&[0x81, message.len() as u8], message.as_bytes()].concat();
    assert_eq!(client.read_exactly(expected.len()), expected);
}
