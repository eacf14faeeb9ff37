//! Frames and messages: too many, or too large.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use support::{Client, Server, build_guest, opening_handshake, text};

use super::{EMPTY, KIB, MIB, PING, PONG, flood};

#[test]
fn input_over_the_byte_rate_is_delayed() {
    let server = Server::with_options(&["--max-bytes-per-second", "20000"]);
    let mut other = server.websocket("/echo");
    let mut attacker = server.websocket("/echo");
    // The system buffers a few MiB for the two sockets.
    let taken = flood(&mut attacker, PONG, 64 * MIB, &mut other).expect("still connected");
    assert!(taken < 64 * MIB);
    // Each connection has its own allowance, and is answered within it.
    other.assert_echoes("served");
    let mut slow = server.websocket("/echo");
    for number in 0..500 {
        slow.send(&text(&format!("{number:0100}")));
    }
    for number in 0..500 {
        assert_eq!(slow.read_text(), format!("{number:0100}"));
    }
}

#[test]
fn floods_of_small_frames_do_not_fill_the_memory() {
    let server = Server::with_options(&["--send-timeout", "2", "--verbose"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attackers = vec![];
    for frame in [PING, PONG, EMPTY] {
        let mut attacker = server.websocket("/echo");
        let written = flood(&mut attacker, frame, 32 * MIB, &mut other);
        other.assert_echoes("served");
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

/// All of the flood is ready to be read at once, a second of work: without shares, another client would be answered
/// before it and after it.
#[test]
fn a_flood_of_one_address_delays_no_other() {
    const FRAMES: usize = 10_000;
    let server = Server::start();
    let mut other = server.connect_from([127, 0, 0, 2]);
    other.send(&opening_handshake("/echo"));
    assert_eq!(other.read_head().status, 101);
    let mut attackers: Vec<Client> = (0..100).map(|_| server.websocket("/echo")).collect();
    let flood = EMPTY.repeat(FRAMES);
    let is_over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        scope.spawn(|| {
            for attacker in &mut attackers {
                attacker.send(&flood);
            }
            // Two bytes each: nothing is lost, either.
            for attacker in &mut attackers {
                attacker.read_exactly(2 * FRAMES);
            }
            is_over.store(true, Relaxed);
        });
        let mut answers = 0;
        while !is_over.load(Relaxed) {
            other.assert_echoes("served");
            answers += 1;
        }
        answers
    });
    assert!(answers >= 20, "{answers}");
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
    other.assert_echoes("served");
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
        other.assert_echoes("served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
}

#[test]
fn the_operator_limits_message_size() {
    let server = Server::with_options(&["--max-message-size", "1"]);
    let mut other = server.websocket("/echo");
    let fits = "a".repeat(KIB);
    other.assert_echoes(&fits);
    let mut attacker = server.websocket("/echo");
    // The header of a text of 1,025 bytes is enough.
    attacker.send(b"\x81\xfe\x04\x01");
    let said = attacker.read_to_end();
    assert_eq!(said[..1], [0x88]);
    assert_eq!(said[2..4], 1009_u16.to_be_bytes());
    other.assert_echoes(&fits);
    // Raw sockets have no messages, and no limit.
    let mut raw = server.connect();
    raw.send(b"GET /hijack HTTP/1.1\r\nHost: a.test\r\n\r\n");
    raw.send(&"a".repeat(2 * KIB).into_bytes());
    raw.send(b"\n");
    let said = raw.read_to_end();
    assert!(said.len() > 2 * KIB, "{} bytes", said.len());
}
