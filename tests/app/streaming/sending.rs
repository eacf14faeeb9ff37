//! Messages sent in fragments, while they are being made.

use proptest::collection::vec;
use proptest::prelude::*;
use wasocket::{CloseCode, Connection, Event, Limits, MessageType, UsageError};

use super::{events, peers};

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
