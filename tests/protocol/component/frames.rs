//! The vectors of frames, and the fuzzer's seeds.

use vectors::{FrameVector, Then};
use wasocket_host::bindings::{Effects, Next};
use wasocket_host::guest::{Guest, finish};
use wasocket_vectors as vectors;

use super::{default_app, open_echo, request_with_deflate};

/// The most calls for one vector.
const MAX_CALLS: usize = 70_000;

#[test]
fn frame_vectors_whole() {
    let mut guest = default_app();
    for vector in vectors::frames() {
        run(&mut guest, &vector, [&vector.bytes()[..]], "whole");
    }
}

#[test]
fn frame_vectors_split_at_every_byte() {
    let mut guest = default_app();
    for vector in vectors::frames() {
        let bytes = vector.bytes();
        for at in (0..=bytes.len().min(300)).chain([bytes.len() / 2]) {
            let (head, tail) = bytes.split_at(at);
            run(&mut guest, &vector, [head, tail], &format!("split at {at}"));
        }
    }
}

#[test]
fn frame_vectors_byte_by_byte() {
    let mut guest = default_app();
    for vector in vectors::frames() {
        let bytes = vector.bytes();
        // Longer ones differ in nothing but the number of calls, and natively they are tested byte by byte, too.
        if bytes.len() <= MAX_CALLS {
            run(&mut guest, &vector, bytes.chunks(1), "byte by byte");
        }
    }
}

/// Runs a vector: the first piece as residual bytes of `open`, the others as `receive`.
fn run<'a>(
    guest: &mut Guest,
    vector: &FrameVector,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    how: &str,
) {
    let connection = open_echo(guest, vector.deflate);
    let mut output = vec![];
    let mut next = Next::Open;
    let mut opened = false;
    for piece in pieces.into_iter().flat_map(|piece| piece.chunks(65_536)) {
        let effects = if opened {
            finish(guest.receive(connection, 0, piece))
        } else {
            finish(guest.open(connection, 0, 1, piece))
        };
        opened = true;
        let effects: Effects = effects.expect("no fault");
        output.extend(effects.output);
        next = effects.next;
        if next != Next::Open {
            break; // the host makes no further call
        }
    }
    finish(guest.drop_resource(connection)).expect("no fault");
    let then = match next {
        Next::Open | Next::Pause => Then::Open,
        Next::Close => Then::Closed,
        Next::Abort => panic!("{}: aborted", vector.name),
    };
    vector.check(&output, then, how);
}

/// On the fuzzer's seeds the component answers as the native protocol does, byte for byte, without a fault.
#[test]
fn fuzz_seeds_have_the_same_effect_as_natively() {
    let mut guest = default_app();
    let folder = support::root().join("fuzz/seeds/frames");
    for seed in std::fs::read_dir(folder).expect("the seeds are committed") {
        let path = seed.expect("a readable folder").path();
        let bytes = std::fs::read(&path).expect("a readable seed");
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        let connection = open_echo(&mut guest, true);
        let mut session = native_echo();
        let mut effects = finish(guest.open(connection, 0, 1, head)).expect("no fault");
        let mut expected = session.open(NOW, 1, &Default::default(), head.into());
        if effects.next == Next::Open && !tail.is_empty() {
            assert_eq!(effects.output, expected.output, "{}", path.display());
            effects = finish(guest.receive(connection, 0, tail)).expect("no fault");
            expected = session.receive(NOW, tail.into());
        }
        assert_eq!(effects.output, expected.output, "{}", path.display());
        let open = expected.next == wasocket::Disposition::Open;
        assert_eq!(effects.next == Next::Open, open, "{}", path.display());
        finish(guest.drop_resource(connection)).expect("no fault");
    }
}

const NOW: wasocket::Instant = wasocket::Instant::from_nanos(0);

fn native_echo() -> Box<dyn wasocket::Session> {
    let handshake = request_with_deflate();
    let request = wasocket::Request {
        method: handshake.method,
        target: handshake.target,
        version: wasocket::HttpVersion::Http11,
        authority: None,
        protocol: None,
        fields: handshake.fields.into(),
        secure: false,
        ..wasocket::Request::default()
    };
    let answer = wasocket::Upgrade::new()
        .compression(wasocket::extension::DeflateOptions::default())
        .accept(
            &request,
            |ws: &mut wasocket::Connection, message: wasocket::Message| ws.send(message),
        );
    match answer {
        wasocket::Answer::Takeover(takeover) => takeover.session,
        wasocket::Answer::Respond(response) => panic!("{response:?}"),
    }
}
