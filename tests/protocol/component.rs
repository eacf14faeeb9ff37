//! The component in wasmtime, without sockets: it behaves like the native protocol, and imports what its
//! world lists.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use wasocket_vectors as vectors;

use std::collections::BTreeSet;
use std::time::Duration;

use vectors::{FrameVector, HandshakeVector, Then};
use wasmtime::component::ResourceAny;
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{Connection, Event, MaskingKeys, Message};
use wasocket_host::bindings::{Answer, Effects, HttpVersion, Next, Request, ResumeError, Verdict};
use wasocket_host::component::Component;
use wasocket_host::default_app::DEFAULT_APP;
use wasocket_host::engine::engine;
use wasocket_host::guest::{Guest, Limits, finish};

fn default_app() -> Guest {
    let engine = engine().expect("an engine");
    let component = Component::from_bytes(&engine, DEFAULT_APP).expect("the default app");
    finish(Guest::new(&component, Limits::default())).expect("an instance")
}

#[test]
fn handshake_vectors() {
    let mut guest = default_app();
    for vector in vectors::parsed_handshakes() {
        let head = match answer(&mut guest, &request(&vector)) {
            Answer::Respond(response) => response.head,
            Answer::Takeover(takeover) => {
                finish(guest.drop_resource(takeover.connection)).expect("no fault");
                takeover.response.expect("a WebSocket has a response")
            }
        };
        vector.check(head.status, &head.fields);
    }
}

#[test]
fn handshake_vectors_of_http2() {
    let mut guest = default_app();
    for vector in vectors::http2_handshakes() {
        let head = vector.parse_http2();
        let request = Request {
            method: head.method,
            target: head.path,
            version: HttpVersion::Http2,
            authority: head.authority,
            protocol: head.protocol,
            fields: head.fields,
            secure: false,
            remote: None,
        };
        let head = match answer(&mut guest, &request) {
            Answer::Respond(response) => response.head,
            Answer::Takeover(takeover) => {
                finish(guest.drop_resource(takeover.connection)).expect("no fault");
                takeover.response.expect("a WebSocket has a response")
            }
        };
        vector.check(head.status, &head.fields);
    }
}

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
        run(
            &mut guest,
            &vector,
            vector.bytes().chunks(1),
            "byte by byte",
        );
    }
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

fn open_echo(guest: &mut Guest, deflate: bool) -> ResourceAny {
    let request = if deflate {
        request_with_deflate()
    } else {
        request(&vectors::handshakes()[0])
    };
    match answer(guest, &request) {
        Answer::Takeover(takeover) => takeover.connection,
        Answer::Respond(response) => panic!("{response:?}"),
    }
}

fn answer(guest: &mut Guest, request: &Request) -> Answer {
    match finish(guest.handle(request)).expect("no fault").verdict {
        Verdict::Answer(answer) => answer,
        Verdict::Pending(_) => panic!("an echo has nothing to wait for"),
    }
}

fn request_with_deflate() -> Request {
    let mut request = request(&vectors::handshakes()[0]);
    let offer = (
        "Sec-WebSocket-Extensions".into(),
        b"permessage-deflate".into(),
    );
    request.fields.push(offer);
    request
}

fn request(vector: &HandshakeVector) -> Request {
    let (method, target, minor, fields) = vector.parse();
    let version = match minor {
        0 => HttpVersion::Http10,
        _ => HttpVersion::Http11,
    };
    Request {
        method,
        target,
        version,
        authority: None,
        protocol: None,
        fields,
        secure: false,
        remote: None,
    }
}

fn guest_of(package: &str) -> (Component, Guest) {
    let engine = engine().expect("an engine");
    let file = std::fs::read(support::build_guest(package, "")).expect("the component");
    let component = Component::from_bytes(&engine, &file).expect("a component");
    let guest = finish(Guest::new(&component, Limits::default())).expect("an instance");
    (component, guest)
}

fn join(guest: &mut Guest, now: u64, id: u64, name: &str) -> ResourceAny {
    let mut request = request(&vectors::handshakes()[0]);
    request.target = format!("/rooms/blue?{name}");
    let Answer::Takeover(takeover) = answer(guest, &request) else {
        panic!("refused");
    };
    let connection = takeover.connection;
    finish(guest.open(connection, now, id, &[])).expect("no fault");
    connection
}

/// Sends a message of up to 125 bytes; returns the effects.
fn say(guest: &mut Guest, connection: ResourceAny, now: u64, text: &str) -> Effects {
    let length = 0x80 | u8::try_from(text.len()).expect("short");
    let frame = [&[0x81, length, 0, 0, 0, 0], text.as_bytes()].concat();
    finish(guest.receive(connection, now, &frame)).expect("no fault")
}

fn text_frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    [&[0x81, length], text.as_bytes()].concat()
}

#[test]
fn a_chat_member_continues_in_another_instance() {
    let (component, mut old) = guest_of("portable-chat");
    let ann = join(&mut old, 0, 1, "ann");
    let first = say(&mut old, ann, 0, "hi").output;
    assert_eq!(first, text_frame("ann (1): hi"));
    let state = finish(old.suspend(ann, 0))
        .expect("no fault")
        .expect("at rest");
    drop(old);

    let mut new = finish(Guest::new(&component, Limits::default())).expect("an instance");
    // Another clock.
    let now = 1 << 50;
    let bob = join(&mut new, now, 1, "bob");
    let resumed = finish(new.resume(now, 2, Duration::from_secs(5), &state));
    let resumed = resumed.expect("no fault").expect("a state");
    let ann = resumed.connection;
    assert_eq!(resumed.final_bytes, [0x88, 2, 0x03, 0xf3]);
    // Of the 20 seconds of silence after which it is pinged, 5 have passed.
    let due = now + 15_000_000_000;
    assert_eq!(resumed.effects.wake_at, Some(due));
    let second = say(&mut new, ann, now, "back");
    assert_eq!(second.output, text_frame("ann (2): back"));
    assert_eq!(second.wake_others, [1]);
    let heard = finish(new.wake(bob, now, 0)).expect("no fault");
    assert_eq!(heard.output, text_frame("ann (2): back"));
    let report = finish(new.report(ann)).expect("no fault");
    assert_eq!((report.messages_received, report.messages_sent), (2, 3));

    // It is not suspended inside a frame, and the frame then continues.
    finish(new.receive(ann, now, b"\x81\x81\0\0")).expect("no fault");
    assert_eq!(finish(new.suspend(ann, now)).expect("no fault"), None);
    let third = finish(new.receive(ann, now, b"\0\0!")).expect("no fault");
    assert_eq!(third.output, text_frame("ann (3): !"));
}

/// The client's side of a connection with compression, as negotiated with default options.
fn compressing_client() -> Connection {
    let agreed = Agreed {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..Agreed::default()
    };
    let extension = PermessageDeflate::client(agreed, &DeflateOptions::default());
    let keys = MaskingKeys::from_seed([7; 32]);
    Connection::client(wasocket::Limits::default(), keys).with_extensions(extension.into())
}

#[test]
fn a_compressed_conversation_continues_in_another_instance() {
    let (component, mut guest) = guest_of("compresses");
    let mut request = request(&vectors::handshakes()[0]);
    let offer = (
        "Sec-WebSocket-Extensions".into(),
        b"permessage-deflate".to_vec(),
    );
    request.fields.push(offer);
    let Answer::Takeover(takeover) = answer(&mut guest, &request) else {
        panic!("refused");
    };
    let mut connection = takeover.connection;
    finish(guest.open(connection, 0, 1, &[])).expect("no fault");
    let mut client = compressing_client();
    for number in 1..=5 {
        let text = format!("{number}, and what is longer is compressed ").repeat(20);
        client.send_text(&text).expect("open");
        let sent = client.take_output();
        let received = finish(guest.receive(connection, 0, &sent)).expect("no fault");
        // FIN, RSV1 and text (RFC 7692 §6): compressed in both directions.
        assert_eq!((sent[0], received.output[0]), (0xc1, 0xc1));
        client.receive_bytes(wasocket::Instant::from_nanos(0), &received.output[..]);
        let expected = Message::from(format!("{number}: {text}"));
        assert_eq!(client.next_event(), Some(Event::Message(expected)));

        let state = finish(guest.suspend(connection, 0)).expect("no fault");
        let state = state.expect("it is at rest");
        guest = finish(Guest::new(&component, Limits::default())).expect("an instance");
        let resumed = finish(guest.resume(0, number, Duration::ZERO, &state)).expect("no fault");
        connection = resumed.expect("a state").connection;
    }
}

#[test]
fn an_invalid_state_is_an_error_not_a_trap() {
    let (_, mut guest) = guest_of("portable-chat");
    let ann = join(&mut guest, 0, 1, "ann");
    let state = finish(guest.suspend(ann, 0))
        .expect("no fault")
        .expect("at rest");
    finish(guest.drop_resource(ann)).expect("no fault");
    let mut resume = |state: &[u8]| {
        let resumed = finish(guest.resume(0, 2, Duration::ZERO, state)).expect("no fault");
        resumed.map(|resumed| finish(guest.drop_resource(resumed.connection)).expect("no fault"))
    };
    assert_eq!(resume(&state), Ok(()));
    for len in 0..state.len() {
        assert_eq!(resume(&state[..len]), Err(ResumeError::Invalid), "{len}");
    }
    for at in 0..state.len() {
        for bit in 0..8 {
            let mut changed = state.clone();
            changed[at] ^= 1 << bit;
            let _ = resume(&changed);
        }
    }
    let foreign = [&[2], &state[1..]].concat();
    assert_eq!(resume(&foreign), Err(ResumeError::UnknownVersion));

    // The echo is a function: there is no telling where it waits.
    let mut echo = default_app();
    let connection = open_echo(&mut echo, false);
    finish(echo.open(connection, 0, 1, &[])).expect("no fault");
    assert_eq!(finish(echo.suspend(connection, 0)).expect("no fault"), None);
    let refused = finish(echo.resume(0, 2, Duration::ZERO, &state)).expect("no fault");
    assert_eq!(refused.err(), Some(ResumeError::Unsupported));
}

/// Compares the world of the WIT package, as the reference parser resolves it, with the built component.
#[test]
fn the_component_imports_and_exports_what_its_world_lists() {
    let mut sources = wit_parser::SourceMap::default();
    sources.push_str("types.wit", include_str!("../../wit/types.wit"));
    sources.push_str("world.wit", include_str!("../../wit/world.wit"));
    sources.push_str("app.wit", include_str!("../../wit/app.wit"));
    let handler = include_str!("../../wit/websocket-handler.wit");
    sources.push_str("websocket-handler.wit", handler);
    let client = include_str!("../../wit/websocket-client.wit");
    sources.push_str("websocket-client.wit", client);
    let package = sources.parse().map_err(|(_, error)| error);
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_group(package.expect("wit/ is well-formed"))
        .expect("wit/ is valid");
    let world = resolve
        .select_world(&[package], Some("handler"))
        .expect("the world");
    let world = &resolve.worlds[world];
    let names = |items: &mut dyn Iterator<Item = &wit_parser::WorldKey>| -> BTreeSet<String> {
        items.map(|key| resolve.name_world_key(key)).collect()
    };

    let engine = engine().expect("an engine");
    let component = wasmtime::component::Component::from_binary(&engine, DEFAULT_APP);
    let component = component.expect("a component");
    let component = component.component_type();
    let imports: BTreeSet<String> = component.imports(&engine).map(|(n, _)| n.into()).collect();
    let exports: BTreeSet<String> = component.exports(&engine).map(|(n, _)| n.into()).collect();
    assert_eq!(imports, names(&mut world.imports.keys()));
    assert_eq!(exports, names(&mut world.exports.keys()));
}
