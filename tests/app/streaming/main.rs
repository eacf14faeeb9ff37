//! Messages in pieces, in both directions.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod compression;
mod receiving;
mod sending;

use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{
    Closed, Connection, Event, Instant, Limits, MaskingKeys, MessageType, Piece, ProtocolError,
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
