//! Compressed messages in pieces.

use wasocket::{Event, Limits, MessageType, ProtocolError};

use super::{NOW, events, failed, frame, joined, peers, piece};

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
