//! Hostile clients, which send frames byte by byte.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Connection, connect, run};
use super::serve;
use h2::Reason;
use support::operator::{admin, wait_for_metric};
use support::{Client, Server, TIMEOUT, text};
use tokio::time::sleep;

/// CVE-2023-44487, whether the resets come with the requests or while the guest decides.
#[test]
fn a_client_that_opens_and_resets_streams_is_disconnected() {
    let pending = support::build_guest("pending", "");
    let servers = [
        (serve(&["--verbose"]), Duration::ZERO),
        (
            Server::serving(&pending, &["--http2", "--verbose"]),
            Duration::from_millis(5),
        ),
    ];
    for (server, delay) in &servers {
        let mut other = server.websocket("/echo");
        run(async {
            let connection = Connection::to(server.address).await;
            while let Ok(mut requests) = connection.requests.clone().ready().await {
                let Ok((_, mut stream)) = requests.send_request(connect("/never"), false) else {
                    break;
                };
                sleep(*delay).await;
                stream.send_reset(Reason::CANCEL);
                tokio::task::yield_now().await;
            }
        });
        server.wait_for_log("excessive load");
        other.assert_echoes("served");
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [0, length[0], length[1], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A HEADERS frame, without compression.
fn head(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.as_bytes());
        }
    }
    frame(1, flags, stream, &block)
}

/// The HEADERS frame of an extended CONNECT.
fn headers(flags: u8, stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", path),
        ("sec-websocket-version", "13"),
    ];
    head(flags, stream, &fields)
}

/// The kind, the flags and the payload of the next frame.
fn read_frame(client: &mut Client) -> (u8, u8, Vec<u8>) {
    let head = client.read_exactly(9);
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let payload = client.read_exactly(length.try_into().expect("short"));
    (head[3], head[4], payload)
}

/// Writes the same bytes again and again, and reads nothing, until the server ends the connection. Others are
/// served meanwhile, and the memory does not grow.
fn flood(server: &Server, begin: &[u8], again: &[u8]) {
    flood_from(server, server.connect(), begin, again);
}

/// The same, but the attacker reads all responses, so that none of them waits.
fn flood_and_read(server: &Server, begin: &[u8], again: &[u8]) {
    let attacker = server.connect();
    let mut responses = attacker.stream.try_clone().expect("a copy");
    thread::scope(|scope| {
        // Ends with the connection, however that ends.
        scope.spawn(move || std::io::copy(&mut responses, &mut std::io::sink()));
        flood_from(server, attacker, begin, again);
    });
}

fn flood_from(server: &Server, mut attacker: Client, begin: &[u8], again: &[u8]) {
    let mut other = server.websocket("/echo");
    let before = server.memory();
    attacker.send(&[PREFACE, begin].concat());
    let many = again.repeat(65_536 / again.len());
    let wait = Some(Duration::from_millis(100));
    attacker.stream.set_write_timeout(wait).expect("a time");
    let start = Instant::now();
    let mut rest: &[u8] = &[];
    loop {
        if rest.is_empty() {
            rest = &many;
        }
        match attacker.stream.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        other.assert_echoes("served");
        assert!(start.elapsed() < 3 * TIMEOUT, "the attacker stays");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

/// CVE-2024-27316.
#[test]
fn endless_heads_are_refused() {
    let server = serve(&[]);
    flood(&server, &headers(0, 1, "/echo"), &frame(9, 0, 1, &[0; 64]));
    flood(&server, &headers(0, 1, "/echo"), &frame(9, 0, 1, &[]));
}

/// CVE-2019-9512, CVE-2019-9513, CVE-2019-9515, CVE-2019-9518: clients that send only no-op frames are
/// disconnected, whether they read the responses or not.
#[test]
fn floods_of_no_op_frames_are_disconnected() {
    let stream = headers(4, 1, "/echo");
    let kinds = [
        ("PING", frame(6, 0, 0, &[0; 8]), &[][..]),
        ("unsolicited PING ACK", frame(6, 1, 0, &[0; 8]), &[]),
        ("SETTINGS", frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]), &[]),
        ("PRIORITY", frame(2, 0, 3, &[0; 5]), &[]),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1]), &[]),
        ("unknown", frame(0xfe, 0, 0, &[0; 8]), &[]),
        ("empty DATA", frame(0, 0, 1, &[]), &stream),
        ("empty DATA, padded", frame(0, 8, 1, &[0]), &stream),
    ];
    for (kind, again, begin) in kinds {
        for flood in [flood, flood_and_read] {
            let server = serve(&["--verbose", "--admin", "127.0.0.1:0"]);
            flood(&server, begin, &again);
            server.wait_for_log("excessive load");
            // Floods that h2 detects are not counted.
            if !kind.starts_with("empty DATA") {
                wait_for_metric(&admin(&server), "wasocket_http2_floods_total", 1);
            }
            let lines = server.log().lines().count();
            assert!(lines < 50, "{kind}: {lines} lines");
        }
    }
}

/// WINDOW_UPDATE frames for data received are no flood, however many they are.
#[test]
fn acknowledging_received_data_is_not_a_flood() {
    let server = serve(&[]);
    let mut client = server.connect();
    client.send(&[PREFACE, &headers(4, 1, "/echo")].concat());
    let acknowledged = [0, 1, 0, 1].map(|stream| frame(8, 0, stream, &[0, 0, 0, 4]));
    let message = frame(0, 0, 1, &text("hello"));
    let round = [acknowledged.concat(), message].concat();
    for _ in 0..2000 {
        client.send(&round);
        while read_frame(&mut client).0 != 0 {}
    }
}

/// Each stream over the limit is refused with a frame, while the guest is still deciding about the others.
#[test]
fn a_client_that_exceeds_the_stream_limit_is_disconnected() {
    let pending = support::build_guest("pending", "");
    let server = Server::serving(&pending, &["--http2", "--verbose"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attacker = server.connect();
    attacker.send(PREFACE);
    for stream in (1..10_000).step_by(2) {
        attacker.try_send(&headers(4, stream, "/never"));
    }
    server.wait_for_log("excessive load");
    other.assert_echoes("served");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    attacker.wait_for_end();
}

/// With a window that stays closed, responses wait until the send timeout, and the connection then ends as idle.
#[test]
fn a_client_that_blocks_all_output_is_disconnected() {
    let server = serve(&["--send-timeout", "1", "--keep-alive-timeout", "2"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attacker = server.connect();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    attacker.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    attacker.send(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/"),
    ];
    let streams = || (1..=199).step_by(2);
    for stream in streams() {
        attacker.send(&head(5, stream, &fields));
    }
    let mut reset = 0;
    while reset < streams().count() {
        let (kind, ..) = read_frame(&mut attacker);
        assert_ne!(kind, 0, "DATA exceeds the window");
        reset += usize::from(kind == 3);
        other.assert_echoes("served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    let (goaway, _, payload) = read_frame(&mut attacker);
    assert_eq!((goaway, &payload[4..8]), (7, &[0; 4][..]), "NO_ERROR");
    attacker.wait_for_end();
}

/// The overhead of frames is bounded, too, not only their payload. These are not read, since the guest is still
/// deciding about the requests.
#[test]
fn unread_small_frames_do_not_fill_the_memory() {
    let pending = support::build_guest("pending", "");
    let server = Server::serving(&pending, &["--http2"]);
    let streams = || (1..=99u32).step_by(2);
    let begin: Vec<u8> = streams()
        .flat_map(|stream| headers(4, stream, "/never"))
        .collect();
    let again: Vec<u8> = streams()
        .flat_map(|stream| frame(0, 0, stream, b"x"))
        .collect();
    flood(&server, &begin, &again);
}

#[test]
fn an_idle_client_is_disconnected() {
    let server = serve(&["--head-timeout", "1"]);
    for begin in [PREFACE, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut idle = server.connect();
        idle.send(begin);
        let received = idle.read_to_end();
        assert_eq!(received[3], 4, "SETTINGS: {received:?}");
    }
}
