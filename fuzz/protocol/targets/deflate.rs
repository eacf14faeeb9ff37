//! permessage-deflate between both roles: whatever is sent arrives, for every window and with and
//! without context takeover; and whatever a peer sends as a compressed message is decoded within the
//! limit or refused, the same however it is cut.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate, WindowBits};
use wasocket::{Closed, Connection, Event, Instant, Limits, MaskingKeys, Message, ProtocolError};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    bits: [u8; 2],
    level: u8,
    messages: Vec<&'a [u8]>,
    cuts: [u8; 4],
    compressed: &'a [u8],
}

const NOW: Instant = Instant::from_nanos(1);
const LIMITS: Limits = Limits {
    max_message_size: 4096,
    max_frame_size: 4096,
    max_fragments: 16,
    max_messages_per_second: None,
    max_streamed_size: None,
    handshake_timeout: core::time::Duration::from_secs(10),
    ping_interval: None,
    ping_timeout: core::time::Duration::from_secs(20),
    close_timeout: core::time::Duration::from_secs(5),
    idle_timeout: None,
    max_lifetime: None,
    max_buffered_amount: 64 << 10,
};

fuzz_target!(|input: Input| {
    round_trip(&input);
    let whole = decode(&input, &[]);
    assert_eq!(whole, decode(&input, &input.cuts));
});

fn peers(input: &Input) -> (Connection, Connection) {
    let bits = |bits: u8| WindowBits::new(8 + bits % 8).expect("8 to 15");
    let agreed = Agreed {
        server_no_context_takeover: input.server_no_context_takeover,
        client_no_context_takeover: input.client_no_context_takeover,
        server_max_window_bits: bits(input.bits[0]),
        client_max_window_bits: bits(input.bits[1]),
    };
    let options = DeflateOptions {
        level: 1 + input.level % 9,
        threshold: 0,
        ..DeflateOptions::default()
    };
    let server = PermessageDeflate::server(agreed, &options).into();
    let client = PermessageDeflate::client(agreed, &options).into();
    (
        Connection::client(LIMITS, MaskingKeys::from_seed([7; 32])).with_extensions(client),
        Connection::server(LIMITS).with_extensions(server),
    )
}

fn round_trip(input: &Input) {
    let (mut client, mut server) = peers(input);
    for message in &input.messages {
        let message = Message::from(&message[..message.len().min(4096)]);
        pass(&mut client, &mut server, &message);
        pass(&mut server, &mut client, &message);
    }
}

fn pass(from: &mut Connection, to: &mut Connection, message: &Message) {
    from.send(message.clone()).expect("open");
    to.receive_bytes(NOW, &from.take_output()[..]);
    assert_eq!(to.next_event(), Some(Event::Message(message.clone())));
    assert_eq!(to.next_event(), None);
}

fn decode(input: &Input, cuts: &[u8]) -> Vec<Event> {
    let (_, mut server) = peers(input);
    let compressed = &input.compressed[..input.compressed.len().min(4096)];
    let mut frame = vec![0xc2, 0xfe];
    if compressed.len() < 126 {
        frame[1] = 0x80 | compressed.len() as u8;
    } else {
        frame.extend((compressed.len() as u16).to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(compressed);
    let mut events = vec![];
    let mut rest = &frame[..];
    for size in cuts.iter().map(|cut| usize::from(*cut)).chain([usize::MAX]) {
        let (piece, remaining) = rest.split_at(size.min(rest.len()));
        rest = remaining;
        server.receive_bytes(NOW, piece);
        events.extend(std::iter::from_fn(|| server.next_event()));
    }
    match &events[..] {
        [Event::Message(message)] => assert!(message.as_bytes().len() <= LIMITS.max_message_size),
        [Event::Closed(Closed::Failed(error))] => assert!(matches!(
            error,
            ProtocolError::MessageTooBig | ProtocolError::InvalidCompression
        )),
        events => panic!("{events:?}"),
    }
    events
}
