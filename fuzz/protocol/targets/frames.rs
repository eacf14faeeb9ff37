//! Any bytes, cut anywhere, in both roles: the same events and output however they are cut, one end at
//! most, and nothing after it.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wasocket::{Connection, Disposition, Event, Instant, Limits, MaskingKeys};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    client: bool,
    cuts: [u8; 6],
    bytes: &'a [u8],
}

const NOW: Instant = Instant::from_nanos(1);
const LIMITS: Limits = Limits {
    max_message_size: 4096,
    max_frame_size: 2048,
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
    let whole = run(&input, &[]);
    // Of a flood of pings in one input only the last is answered, so a cut may add pongs.
    let pings = whole
        .0
        .iter()
        .filter(|event| matches!(event, Event::Ping(_)));
    if pings.count() <= 64 {
        assert_eq!(whole, run(&input, &input.cuts));
    }
});

fn run(input: &Input, cuts: &[u8]) -> (Vec<Event>, Vec<u8>) {
    let mut connection = if input.client {
        Connection::client(LIMITS, MaskingKeys::from_seed([7; 32]))
    } else {
        Connection::server(LIMITS)
    };
    let mut events = vec![];
    let mut rest = input.bytes;
    for size in cuts.iter().map(|cut| usize::from(*cut)).chain([usize::MAX]) {
        let (piece, remaining) = rest.split_at(size.min(rest.len()));
        rest = remaining;
        connection.receive_bytes(NOW, piece);
        while let Some(event) = connection.next_event() {
            assert!(
                !matches!(events.last(), Some(Event::Closed(_))),
                "an event after the end"
            );
            if let Event::Message(message) = &event {
                assert!(message.as_bytes().len() <= LIMITS.max_message_size);
                if connection.is_open() {
                    connection.send(message.clone()).expect("open");
                }
            }
            events.push(event);
        }
    }
    let closed = matches!(events.last(), Some(Event::Closed(_)));
    assert_eq!(closed, !connection.is_open());
    assert!(closed || connection.disposition() == Disposition::Open);
    (events, connection.take_output())
}
