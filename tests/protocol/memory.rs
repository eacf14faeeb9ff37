//! The memory that a hostile peer can make a connection use: what has arrived, and never more than the limits.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use peak_alloc::PeakAlloc;
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{Closed, Connection, Event, Instant, Limits, MaskingKeys, ProtocolError};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const NOW: Instant = Instant::from_nanos(1);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The most that a host reads at once.
const PIECE: usize = 64 * KIB;

/// The peak memory that a server uses to read these bytes, and its last event. The decompressor's own 47 KiB,
/// which come from `malloc`, are not counted.
fn cost(mut server: Connection, bytes: &[u8]) -> (usize, Option<Event>) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let mut last = None;
    for piece in bytes.chunks(PIECE) {
        server.receive_bytes(NOW, piece);
        while let Some(event) = server.next_event() {
            last = Some(event);
        }
    }
    (ALLOCATOR.peak_usage().saturating_sub(before), last)
}

fn compressing() -> (Connection, Connection) {
    let agreed = Agreed::default();
    let options = DeflateOptions {
        level: 9,
        ..DeflateOptions::default()
    };
    let masking_keys = MaskingKeys::from_seed([7; 32]);
    let client = PermessageDeflate::client(agreed, &options).into();
    let server = PermessageDeflate::server(agreed, &options).into();
    (
        Connection::client(Limits::default(), masking_keys).with_extensions(client),
        Connection::server(Limits::default()).with_extensions(server),
    )
}

fn failed(error: ProtocolError) -> Option<Event> {
    Some(Event::Closed(Closed::Failed(error)))
}

/// One test, since the allocator counts the whole process.
#[test]
fn memory_is_bounded() {
    a_bomb_costs_the_message_limit();
    an_announced_length_costs_nothing();
    empty_fragments_cost_nothing();
    a_message_in_pieces_costs_a_piece();
    a_bomb_in_pieces_costs_a_piece();
}

fn a_bomb_costs_the_message_limit() {
    let (mut client, server) = compressing();
    client.send_binary(&vec![0; 200 * MIB]).expect("open");
    let bomb = client.take_output();
    assert!(bomb.len() < 250_000, "{}", bomb.len());
    let (cost, end) = cost(server, &bomb);
    assert_eq!(end, failed(ProtocolError::MessageTooBig));
    assert!(cost < 2 * MIB, "{cost}");
}

/// The header of the longest message that the limits allow, without a byte of its payload.
fn an_announced_length_costs_nothing() {
    let mut frame = vec![0x82, 0xff];
    frame.extend((MIB as u64).to_be_bytes());
    frame.extend([0; 4]);
    let (cost, end) = cost(Connection::server(Limits::default()), &frame);
    assert_eq!(end, None);
    assert!(cost < KIB, "{cost}");
}

fn empty_fragments_cost_nothing() {
    let mut frames = vec![0x01, 0x80, 0, 0, 0, 0];
    frames.extend([0x00, 0x80, 0, 0, 0, 0].repeat(200_000));
    let (cost, end) = cost(Connection::server(Limits::default()), &frames);
    assert_eq!(end, failed(ProtocolError::TooManyFragments));
    assert!(cost < 3 * PIECE, "{cost}");
}

/// A server that streams its messages.
fn streaming(limits: Limits) -> Connection {
    let mut server = Connection::server(limits);
    server.stream_messages(true);
    server
}

const ANY_LENGTH: Option<u64> = Some(u64::MAX);

fn a_message_in_pieces_costs_a_piece() {
    let limits = Limits {
        max_streamed_size: ANY_LENGTH,
        ..Limits::default()
    };
    let mut frame = vec![0x82, 0xff];
    frame.extend((100 * MIB as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + 100 * MIB, b'x');
    let (cost, end) = cost(streaming(limits), &frame);
    assert!(matches!(end, Some(Event::Piece(piece)) if piece.last));
    assert!(cost < 3 * PIECE, "{cost}");
}

fn a_bomb_in_pieces_costs_a_piece() {
    let limits = Limits {
        max_streamed_size: ANY_LENGTH,
        ..Limits::default()
    };
    let agreed = Agreed::default();
    let deflate = PermessageDeflate::server(agreed, &DeflateOptions::default());
    let server = streaming(limits).with_extensions(deflate.into());
    let (mut client, _) = compressing();
    client.send_binary(&vec![0; 200 * MIB]).expect("open");
    let bomb = client.take_output();
    let (cost, end) = cost(server, &bomb);
    assert!(matches!(end, Some(Event::Piece(piece)) if piece.last));
    assert!(cost < 6 * PIECE, "{cost}");
}
