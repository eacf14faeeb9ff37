//! Messages in pieces, in both directions.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use proptest::collection::vec;
use proptest::prelude::*;
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{
    CloseCode, Closed, Connection, Event, Instant, Limits, MaskingKeys, MessageType, Piece,
    ProtocolError, UsageError,
};

const NOW: Instant = Instant::from_nanos(1);

fn deflate(takeover: bool) -> (PermessageDeflate, PermessageDeflate) {
    let agreed = Agreed {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        ..Agreed::default()
    };
    let options = DeflateOptions {
        threshold: 0,
        ..DeflateOptions::default()
    };
    (
        PermessageDeflate::client(agreed, &options),
        PermessageDeflate::server(agreed, &options),
    )
}

/// A client, and a server that streams its messages; `takeover` is whether compressed messages share a context,
/// `None` without compression.
fn peers(limits: Limits, takeover: Option<bool>) -> (Connection, Connection) {
    let keys = MaskingKeys::from_seed([7; 32]);
    let mut client = Connection::client(Limits::default(), keys);
    let mut server = Connection::server(limits);
    if let Some(takeover) = takeover {
        let (of_client, of_server) = deflate(takeover);
        client = client.with_extensions(of_client.into());
        server = server.with_extensions(of_server.into());
    }
    server.stream_messages(true);
    (client, server)
}

/// A masked frame; the masking key is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn events(connection: &mut Connection, bytes: &[u8]) -> Vec<Event> {
    connection.receive_bytes(NOW, bytes);
    std::iter::from_fn(|| connection.next_event()).collect()
}

fn piece(message_type: MessageType, bytes: &[u8], last: bool) -> Event {
    Event::Piece(Piece {
        message_type,
        bytes: bytes.to_vec().into(),
        last,
    })
}

fn failed(error: ProtocolError) -> Event {
    Event::Closed(Closed::Failed(error))
}

/// Joins the events of one message: its type, its bytes, and whether it ended. Each piece of a text is text.
fn joined(events: &[Event]) -> (Option<MessageType>, Vec<u8>, bool) {
    let (mut message_type, mut bytes, mut ended) = (None, vec![], false);
    for event in events {
        let piece = match event {
            Event::Piece(piece) => piece.clone(),
            Event::Message(message) => message.clone().into(),
            event => panic!("{event:?}"),
        };
        assert!(!ended, "a piece after the last");
        assert!(piece.last || !piece.bytes.is_empty());
        if piece.message_type == MessageType::Text {
            assert!(std::str::from_utf8(&piece.bytes).is_ok());
        }
        message_type = Some(piece.message_type);
        bytes.extend(&piece.bytes[..]);
        ended = piece.last;
    }
    (message_type, bytes, ended)
}

#[test]
fn parts_of_a_frame_are_pieces() {
    let (_, mut server) = peers(Limits::default(), None);
    let bytes = frame(0x82, b"abcdef");
    let (head, tail) = bytes.split_at(8);
    let (middle, end) = tail.split_at(3);
    assert_eq!(
        events(&mut server, head),
        [piece(MessageType::Binary, b"ab", false)]
    );
    assert_eq!(
        events(&mut server, middle),
        [piece(MessageType::Binary, b"cde", false)]
    );
    assert_eq!(
        events(&mut server, end),
        [piece(MessageType::Binary, b"f", true)]
    );
    // A message that arrives in one piece is a message.
    let whole = frame(0x81, b"whole");
    assert_eq!(
        events(&mut server, &whole),
        [Event::Message("whole".into())]
    );
}

#[test]
fn control_frames_between_fragments_are_answered() {
    let (_, mut server) = peers(Limits::default(), None);
    let bytes = [
        frame(0x01, b"a"),
        frame(0x89, b"?"),
        frame(0x00, b""),
        frame(0x80, b""),
    ];
    let text = |bytes, last| piece(MessageType::Text, bytes, last);
    assert_eq!(
        events(&mut server, &bytes.concat()),
        [
            text(b"a", false),
            Event::Ping(b"?"[..].into()),
            text(b"", true)
        ]
    );
    assert_eq!(server.take_output(), b"\x8a\x01?");
}

#[test]
fn pieces_of_text_end_between_characters() {
    let text = "κόσμε 😀 \u{10ffff}";
    let (_, mut server) = peers(Limits::default(), None);
    let bytes = frame(0x81, text.as_bytes());
    let mut all = vec![];
    for byte in bytes {
        all.extend(events(&mut server, &[byte]));
    }
    let expected = (Some(MessageType::Text), text.as_bytes().to_vec(), true);
    assert_eq!(joined(&all), expected);
    // One piece for each character, since each was completed by a read of its own.
    assert_eq!(all.len(), text.chars().count());
}

#[test]
fn invalid_utf8_fails_after_the_valid_text() {
    let (_, mut server) = peers(Limits::default(), None);
    let text = |bytes| piece(MessageType::Text, bytes, false);
    assert_eq!(
        events(&mut server, &frame(0x01, b"ab\xf0\x9f")),
        [text(b"ab")]
    );
    let end = events(&mut server, &frame(0x00, b"\x28"));
    assert_eq!(end, [failed(ProtocolError::InvalidUtf8)]);

    let (_, mut server) = peers(Limits::default(), None);
    let bytes = [frame(0x01, b"ab\xf0\x9f"), frame(0x80, b"")].concat();
    let end = failed(ProtocolError::InvalidUtf8);
    assert_eq!(events(&mut server, &bytes), [text(b"ab"), end]);
}

#[test]
fn streamed_messages_obey_the_usual_limits_unless_the_app_raises_them() {
    let limits = Limits {
        max_message_size: 100,
        max_frame_size: 60,
        ..Limits::default()
    };
    let too_big = [failed(ProtocolError::MessageTooBig)];
    let (_, mut server) = peers(limits, None);
    let end = events(&mut server, &frame(0x02, &[0; 61])[..2]);
    assert_eq!(end, too_big);

    let (_, mut server) = peers(limits, None);
    assert_eq!(events(&mut server, &frame(0x02, &[0; 60])).len(), 1);
    let end = events(&mut server, &frame(0x80, &[0; 41]));
    assert_eq!(end, too_big);

    let limits = Limits {
        max_streamed_size: Some(1000),
        ..limits
    };
    let (_, mut server) = peers(limits, None);
    assert_eq!(events(&mut server, &frame(0x02, &[0; 900])).len(), 1);
    let end = events(&mut server, &frame(0x80, &[0; 101]));
    assert_eq!(end, too_big);

    // The usual limit applies to messages that are not streamed.
    let (_, mut server) = peers(limits, None);
    server.stream_messages(false);
    assert_eq!(events(&mut server, &frame(0x82, &[0; 126])), too_big);
}

#[test]
fn the_number_of_empty_fragments_is_limited() {
    let limits = Limits {
        max_fragments: 10,
        max_streamed_size: Some(u64::MAX),
        ..Limits::default()
    };
    let (_, mut server) = peers(limits, None);
    assert_eq!(events(&mut server, &frame(0x02, &[0; 64])).len(), 1);
    for _ in 0..1000 {
        assert_eq!(events(&mut server, &frame(0x00, &[0; 64])).len(), 1);
    }
    let end = events(&mut server, &frame(0x00, &[]).repeat(11));
    assert_eq!(end, [failed(ProtocolError::TooManyFragments)]);
}

/// 64 MiB, compressed to some kilobytes.
#[test]
fn a_compressed_message_comes_in_small_pieces() {
    const SIZE: usize = 64 << 20;
    let (mut client, _) = peers(Limits::default(), Some(false));
    client.send_binary(&vec![0; SIZE]).expect("open");
    let bytes = client.take_output();
    for limit in [SIZE as u64, SIZE as u64 - 1] {
        let limits = Limits {
            max_streamed_size: Some(limit),
            ..Limits::default()
        };
        let (_, mut server) = peers(limits, Some(false));
        server.receive_bytes(NOW, &bytes[..]);
        let (mut size, mut ended) = (0, false);
        while let Some(Event::Piece(piece)) = server.next_event() {
            assert!(piece.bytes.len() <= 32 << 10);
            size += piece.bytes.len();
            ended = piece.last;
        }
        assert!(size as u64 <= limit);
        assert_eq!(
            (size == SIZE, ended),
            (limit == SIZE as u64, server.is_open())
        );
    }
}

/// References back to earlier pieces, and to earlier messages, are resolved.
#[test]
fn long_compressed_messages_arrive_with_and_without_context_takeover() {
    for takeover in [false, true] {
        let (mut client, mut server) = peers(Limits::default(), Some(takeover));
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for size in [300_000, 10, 70_000, 20_000] {
            let message: Vec<u8> = noise.iter().copied().cycle().take(size).collect();
            client.send_binary(&message).expect("open");
            let bytes = client.take_output();
            // The noise repeats within the window.
            assert!(size < 30_000 || bytes.len() < size / 2);
            let mut all = vec![];
            for part in bytes.chunks(7000) {
                all.extend(events(&mut server, part));
            }
            assert!(joined(&all) == (Some(MessageType::Binary), message, true));
        }
    }
}

#[test]
fn a_truncated_compressed_message_fails() {
    let (mut client, mut server) = peers(Limits::default(), Some(true));
    client.send_text(&"text ".repeat(5000)).expect("open");
    let bytes = client.take_output();
    // The same payload without its last bytes, in a masked frame of that length.
    let mut payload = bytes[4 + 4..].to_vec();
    let key: [u8; 4] = bytes[4..8].try_into().expect("a key");
    wasocket::frame::apply_mask(key, 0, &mut payload);
    payload.truncate(payload.len() - 3);
    let all = events(&mut server, &frame(0xc1, &payload));
    assert_eq!(all.last(), Some(&failed(ProtocolError::InvalidCompression)));
}

/// Text, parts of characters, parts of a compressed message (RFC 7692 §7.2.3.4), and neither.
const PAYLOADS: &[&[u8]] = &[
    b"",
    b"text",
    b"\xc3",
    b"\xa9",
    b"\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\xf3\x48\xcd\xc9\xc9\x07\x00",
    b"\xf2\x48\xcd",
    b"\xc9\xc9\x07\x00",
    b"\x00",
];

/// The events, with pieces joined to messages; a last, incomplete message is left out.
fn put_together(events: impl Iterator<Item = Event>) -> Vec<Event> {
    let (mut all, mut joined) = (vec![], vec![]);
    for event in events {
        let Event::Piece(piece) = event else {
            all.push(event);
            continue;
        };
        joined.extend(&piece.bytes[..]);
        if piece.last {
            let bytes = std::mem::take(&mut joined);
            all.push(Event::Message(match piece.message_type {
                MessageType::Text => String::from_utf8(bytes).expect("UTF-8").into(),
                MessageType::Binary => bytes.as_slice().into(),
            }));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However messages are compressed and split, their pieces add up to them.
    #[test]
    fn pieces_add_up_to_the_message(
        texts in vec((".{0,300}", 1..40usize), 1..5),
        takeover: Option<bool>,
        step in 1..2000usize,
    ) {
        let (mut client, mut server) = peers(Limits::default(), takeover);
        for (text, times) in texts {
            let text = text.repeat(times);
            client.send_text(&text).expect("open");
            let bytes = client.take_output();
            let mut all = vec![];
            for piece in bytes.chunks(step) {
                all.extend(events(&mut server, piece));
            }
            prop_assert_eq!(joined(&all), (Some(MessageType::Text), text.into_bytes(), true));
        }
    }

    /// Arbitrary bytes have the same effect, whether messages are streamed or not.
    #[test]
    fn any_input_means_the_same_whole_or_in_pieces(
        frames in vec((prop::sample::select(&[0x81u8, 0x01, 0x80, 0x00, 0x02, 0xc1, 0x41, 0x89, 0x88][..]),
                       prop::sample::select(PAYLOADS)), 1..20),
        compressed: bool,
        step in 1..40usize,
    ) {
        let frames = frames.into_iter().map(|(first, payload)| frame(first, payload));
        let bytes: Vec<u8> = frames.flatten().collect();
        let takeover = compressed.then_some(true);
        let (_, mut whole) = peers(Limits::default(), takeover);
        whole.stream_messages(false);
        let (_, mut pieces) = peers(Limits::default(), takeover);
        let parts = bytes.chunks(step).flat_map(|part| events(&mut pieces, part));
        prop_assert_eq!(put_together(parts), events(&mut whole, &bytes));
        prop_assert_eq!(pieces.take_output(), whole.take_output());
    }
}

// The other direction: messages sent while they are being made.

#[test]
fn a_message_goes_out_as_fragments() {
    let mut server = Connection::server(Limits::default());
    server.start_message(MessageType::Text).expect("open");
    assert!(server.is_sending_message());
    server.send_fragment(b"ab").expect("open");
    server.send_fragment(b"").expect("open");
    server.ping(b"?").expect("open");
    server.send_fragment(b"c").expect("open");
    server.end_message().expect("open");
    let expected = b"\x01\x02ab\x89\x01?\x00\x01c\x80\x00";
    assert_eq!(server.take_output(), expected);
    assert!(!server.is_sending_message());

    server.start_message(MessageType::Binary).expect("open");
    server.end_message().expect("open");
    assert_eq!(server.take_output(), b"\x82\x00");
}

#[test]
fn fragments_of_two_messages_never_interleave() {
    let mut server = Connection::server(Limits::default());
    assert_eq!(server.send_fragment(b"a"), Err(UsageError::NoMessage));
    assert_eq!(server.end_message(), Err(UsageError::NoMessage));
    server.start_message(MessageType::Binary).expect("open");
    let under_way = Err(UsageError::MessageUnderWay);
    assert_eq!(server.start_message(MessageType::Text), under_way);
    assert_eq!(server.send_text("other"), under_way);
    assert_eq!(server.take_output(), b"");
    // A Close frame may come in between, and nothing after it.
    server.close(CloseCode::INTERNAL_ERROR, "").expect("open");
    assert_eq!(server.send_fragment(b"a"), Err(UsageError::NotOpen));
    assert_eq!(server.end_message(), Err(UsageError::NotOpen));
}

#[test]
fn text_sent_in_fragments_must_be_utf8() {
    let mut server = Connection::server(Limits::default());
    server.start_message(MessageType::Text).expect("open");
    assert_eq!(server.send_fragment(b"a\xff"), Err(UsageError::InvalidUtf8));
    assert_eq!(server.take_output(), b"");
    server.send_fragment(b"a\xc3").expect("cut");
    assert_eq!(server.end_message(), Err(UsageError::InvalidUtf8));
    server.send_fragment(b"\xa9").expect("whole");
    server.end_message().expect("whole");
    assert_eq!(server.take_output(), b"\x01\x02a\xc3\x00\x01\xa9\x80\x00");
}

/// Sends a message in fragments, which is received whole.
fn pass_in_fragments(from: &mut Connection, to: &mut Connection, parts: &[String]) {
    from.start_message(MessageType::Text).expect("open");
    for part in parts {
        from.send_fragment(part.as_bytes()).expect("open");
        let bytes = from.take_output();
        assert_eq!(events(to, &bytes), []);
    }
    from.end_message().expect("open");
    let bytes = from.take_output();
    assert_eq!(events(to, &bytes), [Event::Message(parts.concat().into())]);
}

#[test]
fn each_compressed_fragment_is_readable_when_it_arrives() {
    let (mut client, mut server) = peers(Limits::default(), Some(false));
    client.stream_messages(true);
    server.start_message(MessageType::Text).expect("open");
    let text = "over and over ".repeat(100);
    for first in [true, false, false] {
        server.send_fragment(text.as_bytes()).expect("open");
        let bytes = server.take_output();
        assert_eq!(bytes[0], if first { 0x41 } else { 0x00 });
        assert!(bytes.len() < 100);
        let all = events(&mut client, &bytes);
        let expected = (Some(MessageType::Text), text.clone().into_bytes(), false);
        assert_eq!(joined(&all), expected);
    }
    server.end_message().expect("open");
    let end = piece(MessageType::Text, b"", true);
    assert_eq!(events(&mut client, &server.take_output()), [end]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn messages_sent_in_fragments_arrive_whole(
        messages in vec(vec(".{1,300}", 0..6), 1..5),
        takeover: Option<bool>,
    ) {
        let (mut client, mut server) = peers(Limits::default(), takeover);
        server.stream_messages(false);
        for parts in &messages {
            pass_in_fragments(&mut client, &mut server, parts);
            pass_in_fragments(&mut server, &mut client, parts);
            client.send_text(&parts.concat()).expect("open");
            let whole = events(&mut server, &client.take_output());
            prop_assert_eq!(whole, [Event::Message(parts.concat().into())]);
        }
    }
}
