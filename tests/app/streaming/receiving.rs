//! Messages received in pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use wasocket::{Event, Limits, MessageType, ProtocolError};

use super::{events, failed, frame, joined, peers, piece};

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
    fn any_input_has_the_same_effect_whole_or_in_pieces(
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
