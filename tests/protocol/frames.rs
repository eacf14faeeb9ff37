//! Frames and the closing handshake against the vectors, run natively, however the input is split.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use wasocket_vectors as vectors;

use std::time::Duration;

use vectors::{FrameVector, Then};
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{
    CloseCode, Closed, Connection, Disposition, Event, Instant, Limits, ProtocolError, UsageError,
};

const START: Instant = Instant::from_nanos(1);

#[test]
fn vectors_hold_whole() {
    for vector in vectors::frames() {
        run(&vector, [&vector.bytes()[..]], "whole");
    }
}

#[test]
fn vectors_hold_split_at_every_byte() {
    for vector in vectors::frames() {
        let bytes = vector.bytes();
        for at in splits(bytes.len()) {
            let (head, tail) = bytes.split_at(at);
            run(&vector, [head, tail], &format!("split at {at}"));
        }
    }
}

#[test]
fn vectors_hold_byte_by_byte() {
    for vector in vectors::frames() {
        run(&vector, vector.bytes().chunks(1), "byte by byte");
    }
}

/// Every position in short input; in long input the positions near both ends and a few in between.
fn splits(len: usize) -> impl Iterator<Item = usize> {
    let (edge, step) = if len < 10_000 {
        (300, 997)
    } else {
        (20, len / 7)
    };
    (0..=len).filter(move |&at| at < edge || len - at < edge || at % step == 0)
}

fn run<'a>(vector: &FrameVector, pieces: impl IntoIterator<Item = &'a [u8]>, how: &str) {
    let mut connection = Connection::server(Limits::default());
    if vector.deflate {
        let agreed = Agreed {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            ..Agreed::default()
        };
        let deflate = PermessageDeflate::server(agreed, &DeflateOptions::default());
        connection = connection.with_extensions(deflate.into());
    }
    let mut output = vec![];
    for piece in pieces {
        connection.receive_bytes(START, piece);
        echo(&mut connection);
        output.extend(connection.take_output());
    }
    let then = match connection.disposition() {
        Disposition::Open | Disposition::Pause => Then::Open,
        Disposition::Close => Then::Closed,
        Disposition::Abort => panic!("{}: aborted", vector.name),
    };
    vector.check(&output, then, how);
}

/// Answers every message with itself; returns how the connection closed.
fn echo(connection: &mut Connection) -> Option<Closed> {
    while let Some(event) = connection.next_event() {
        match event {
            Event::Message(message) => {
                // Still open even if a Close frame follows in the same bytes: events come in their order.
                connection.send(message).expect("open");
            }
            Event::Closed(closed) => return Some(closed),
            _ => {}
        }
    }
    None
}

fn connection() -> Connection {
    let mut connection = Connection::server(Limits::default());
    connection.receive_bytes(START, &[][..]);
    connection
}

#[test]
fn the_server_starts_the_closing_handshake() {
    let mut connection = connection();
    assert_eq!(connection.deadline(), Some(after(20)));
    connection
        .close(CloseCode::GOING_AWAY, "bye")
        .expect("open");
    assert_eq!(connection.take_output(), b"\x88\x05\x03\xe9bye");
    assert_eq!(connection.send_text("late"), Err(UsageError::NotOpen));
    assert_eq!(connection.disposition(), Disposition::Open);

    // A message and a Ping already on their way arrive, and get no answer. The Close frame ends it.
    let bytes = b"\x81\x81\0\0\0\0a\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe9";
    connection.receive_bytes(START, &bytes[..]);
    assert_eq!(connection.next_event(), Some(Event::Message("a".into())));
    assert!(matches!(connection.next_event(), Some(Event::Ping(_))));
    let Some(Closed::Handshake(Some(reason))) = echo(&mut connection) else {
        panic!("not closed by handshake");
    };
    assert_eq!(reason.code, CloseCode::GOING_AWAY);
    assert_eq!(connection.take_output(), b"");
    assert_eq!(connection.disposition(), Disposition::Close);
    assert_eq!(connection.next_event(), None);
}

#[test]
fn a_peer_that_does_not_answer_the_close_is_disconnected() {
    let mut connection = connection();
    connection.close(CloseCode::NORMAL, "").expect("open");
    let deadline = START.after(Duration::from_secs(5));
    assert_eq!(connection.deadline(), Some(deadline));

    connection.handle_timeout(START.after(Duration::from_secs(4)), 0);
    assert_eq!(connection.next_event(), None);
    connection.handle_timeout(deadline, 0);
    assert_eq!(
        connection.next_event(),
        Some(Event::Closed(Closed::TimedOut))
    );
    assert_eq!(connection.disposition(), Disposition::Abort);
    assert_eq!(connection.deadline(), None);
}

#[test]
fn the_time_to_answer_a_close_starts_when_it_is_sent() {
    let mut connection = connection();
    connection.close(CloseCode::NORMAL, "").expect("open");
    connection.handle_timeout(after(5), 4);
    assert_eq!(connection.next_event(), None);
    assert_eq!(connection.deadline(), Some(after(10)));
    connection.handle_timeout(after(10), 0);
    let timed_out = Event::Closed(Closed::TimedOut);
    assert_eq!(connection.next_event(), Some(timed_out));
}

const PING: &[u8] = b"\x89\0";

/// The time this number of seconds after the start.
fn after(seconds: u64) -> Instant {
    START.after(Duration::from_secs(seconds))
}

#[test]
fn a_silent_peer_is_pinged_then_disconnected() {
    let mut connection = connection();
    assert_eq!(connection.deadline(), Some(after(20)));
    connection.handle_timeout(after(19), 0);
    assert_eq!(connection.take_output(), b"");
    connection.handle_timeout(after(20), 0);
    assert_eq!(connection.take_output(), PING);
    assert_eq!(connection.deadline(), Some(after(40)));
    connection.handle_timeout(after(40), 0);
    let timed_out = Event::Closed(Closed::TimedOut);
    assert_eq!(connection.next_event(), Some(timed_out));
    assert_eq!(connection.disposition(), Disposition::Abort);
    assert_eq!(connection.take_output(), b"");
}

/// Even the middle of a frame, where the peer cannot send a Pong.
#[test]
fn any_byte_from_the_peer_is_a_sign_of_life() {
    let mut connection = connection();
    connection.handle_timeout(after(20), 0);
    assert_eq!(connection.take_output(), PING);
    connection.receive_bytes(after(39), &b"\x81\x85\0"[..]);
    assert_eq!(connection.next_event(), None);
    connection.handle_timeout(after(40), 0);
    assert_eq!(connection.take_output(), b"");
    assert_eq!(connection.deadline(), Some(after(59)));
    connection.handle_timeout(after(59), 0);
    assert_eq!(connection.take_output(), PING);
    assert!(connection.is_open());
}

#[test]
fn a_peer_still_receiving_output_is_not_disconnected() {
    let mut connection = connection();
    connection.handle_timeout(after(20), 1_000_000);
    assert_eq!(connection.take_output(), b"");
    connection.handle_timeout(after(40), 0);
    assert_eq!(connection.take_output(), PING);
    connection.handle_timeout(after(60), 2);
    assert!(connection.is_open());
    assert_eq!(connection.deadline(), Some(after(80)));
    connection.handle_timeout(after(80), 0);
    assert!(!connection.is_open());
}

#[test]
fn an_active_peer_is_never_pinged() {
    let mut connection = connection();
    for seconds in (0..200).step_by(7) {
        connection.receive_bytes(after(seconds), &b"\x81\x81\0\0\0\0a"[..]);
        assert!(connection.next_event().is_some());
        while connection
            .deadline()
            .is_some_and(|due| due <= after(seconds))
        {
            connection.handle_timeout(after(seconds), 0);
        }
        assert_eq!(connection.take_output(), b"");
    }
}

#[test]
fn no_pings_without_an_interval() {
    let limits = Limits {
        ping_interval: None,
        ..Limits::default()
    };
    let mut connection = Connection::server(limits);
    connection.receive_bytes(START, &b""[..]);
    assert_eq!(connection.deadline(), None);
}

/// Limits without pings.
fn silent(idle: Option<u64>, lifetime: Option<u64>) -> Limits {
    Limits {
        ping_interval: None,
        idle_timeout: idle.map(Duration::from_secs),
        max_lifetime: lifetime.map(Duration::from_secs),
        ..Limits::default()
    }
}

fn is_closing(connection: &mut Connection, code: u16) -> bool {
    let output = connection.take_output();
    let code_at = output.iter().position(|&byte| byte == 0x88);
    let sent = code_at.and_then(|at| output.get(at + 2..at + 4));
    !connection.is_open() && sent == Some(&code.to_be_bytes()[..])
}

#[test]
fn an_idle_connection_is_closed() {
    let mut connection = Connection::server(silent(Some(60), None));
    assert_eq!(connection.deadline(), None);
    connection.receive_bytes(START, &[][..]);
    assert_eq!(connection.deadline(), Some(after(60)));
    // Control frames do not count as messages.
    connection.receive_bytes(after(30), &b"\x89\x80\0\0\0\0\x8a\x80\0\0\0\0"[..]);
    assert_eq!(echo(&mut connection), None);
    connection.ping(b"").expect("open");
    connection.handle_timeout(after(59), 0);
    assert!(connection.is_open());
    connection.handle_timeout(after(60), 0);
    assert!(is_closing(&mut connection, 1001));
    assert_eq!(connection.deadline(), Some(after(65)));
    connection.receive_bytes(after(61), &b"\x88\x82\0\0\0\0\x03\xe9"[..]);
    assert_eq!(
        echo(&mut connection).map(|closed| closed.code()),
        Some(1001)
    );
}

#[test]
fn messages_in_either_direction_keep_a_connection_open() {
    let mut connection = Connection::server(silent(Some(60), None));
    connection.receive_bytes(START, &[][..]);
    // A part of a message is enough.
    connection.receive_bytes(after(50), &b"\x81\x82\0\0\0\0a"[..]);
    assert_eq!(echo(&mut connection), None);
    connection.handle_timeout(after(60), 0);
    assert_eq!(connection.deadline(), Some(after(110)));
    connection.handle_timeout(after(109), 0);
    connection.send_text("x").expect("open");
    connection.handle_timeout(after(110), 0);
    assert_eq!(connection.deadline(), Some(after(169)));
    connection.handle_timeout(after(168), 0);
    connection.send_prepared(&"y".into()).expect("open");
    connection.handle_timeout(after(169), 0);
    assert_eq!(connection.deadline(), Some(after(228)));
    // Not idle while the peer has not taken all output.
    connection.handle_timeout(after(228), 1);
    assert_eq!(connection.deadline(), Some(after(288)));
    connection.handle_timeout(after(288), 0);
    assert!(is_closing(&mut connection, 1001));
}

#[test]
fn a_connection_ends_at_its_maximum_lifetime() {
    let mut connection = Connection::server(silent(Some(60), Some(100)));
    connection.receive_bytes(START, &[][..]);
    connection.handle_timeout(after(59), 0);
    connection.send_text("x").expect("open");
    connection.handle_timeout(after(60), 0);
    assert_eq!(connection.deadline(), Some(after(100)));
    connection.handle_timeout(after(99), 0);
    assert!(connection.is_open());
    // Even in the middle of sending.
    connection.send_text("x").expect("open");
    connection.handle_timeout(after(100), 1000);
    assert!(is_closing(&mut connection, 1012));
}

#[test]
fn unsolicited_pongs_are_sent() {
    let mut connection = connection();
    assert_eq!(connection.pong(&[0; 126]), Err(UsageError::PingTooLong));
    connection.pong(b"here").expect("open");
    assert_eq!(connection.take_output(), b"\x8a\x04here");
}

#[test]
fn end_of_stream_without_a_close_frame() {
    let mut connection = connection();
    connection.receive_bytes(START, &b"\x81\x85\0\0"[..]);
    assert_eq!(connection.next_event(), None);
    connection.receive_eof(START);
    assert_eq!(
        connection.next_event(),
        Some(Event::Closed(Closed::EndOfStream))
    );
    assert_eq!(connection.disposition(), Disposition::Close);
    assert_eq!(connection.take_output(), b"");
    assert_eq!(connection.next_event(), None);
}

#[test]
fn a_failure_sends_its_reason_and_stops_reading() {
    let mut connection = connection();
    connection.receive_bytes(START, &b"\x81\x01a"[..]);
    let failed = Event::Closed(Closed::Failed(ProtocolError::UnmaskedFrame));
    assert_eq!(connection.next_event(), Some(failed));
    assert_eq!(
        connection.take_output(),
        b"\x88\x1d\x03\xeaframe without a masking key"
    );
    connection.receive_bytes(START, &b"\x81\x81\0\0\0\0a"[..]);
    assert_eq!(connection.next_event(), None);
    assert_eq!(connection.take_output(), b"");
}

#[test]
fn usage_errors_send_nothing() {
    let mut connection = connection();
    assert_eq!(connection.ping(&[0; 126]), Err(UsageError::PingTooLong));
    assert_eq!(connection.take_output(), b"");
    assert!(connection.is_open());
    assert_eq!(connection.ping(b"p"), Ok(()));
    assert_eq!(connection.take_output(), b"\x89\x01p");
}

#[test]
fn a_close_reason_is_cut_between_characters_and_the_code_is_kept() {
    let mut connection = connection();
    let closed = connection.close(CloseCode::NORMAL, &"ä".repeat(62));
    assert_eq!(closed, Ok(()));
    let expected = [b"\x88\x7c\x03\xe8", "ä".repeat(61).as_bytes()].concat();
    assert_eq!(connection.take_output(), expected);
}

#[test]
fn payload_lengths_use_the_shortest_encoding() {
    let mut connection = connection();
    for (size, header) in [
        (125, &b"\x82\x7d"[..]),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
    ] {
        connection.send_binary(&vec![0; size]).expect("open");
        let output = connection.take_output();
        assert!(output.starts_with(header), "{size}");
        assert_eq!(output.len(), header.len() + size);
    }
}

/// RFC 6455 §5.5.3 allows answering only the latest of many pings.
#[test]
fn a_flood_of_pings_gets_a_pong_for_the_last() {
    let mut connection = connection();
    let ping = |i: u8| [0x89, 0x81, 0, 0, 0, 0, i];
    let flood: Vec<u8> = (0..200).flat_map(ping).collect();
    connection.receive_bytes(START, &flood[..]);
    assert_eq!(echo(&mut connection), None);
    let pong = |i: u8| [0x8a, 1, i];
    let expected: Vec<u8> = (0..64).chain([199]).flat_map(pong).collect();
    assert_eq!(connection.take_output(), expected);
}
