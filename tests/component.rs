//! The component in wasmtime, without sockets: it does what the native protocol does, and imports what
//! its world lists.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use wasocket_vectors as vectors;

use std::collections::BTreeSet;

use vectors::{FrameVector, HandshakeVector, Then};
use wasmtime::component::ResourceAny;
use wasocket_host::bindings::{Answer, Effects, HttpVersion, Next, Request, Verdict};
use wasocket_host::component::Component;
use wasocket_host::default_app::DEFAULT_APP;
use wasocket_host::engine::engine;
use wasocket_host::guest::{Guest, Limits};

fn default_app() -> Guest {
    let engine = engine().expect("an engine");
    let component = Component::from_bytes(&engine, DEFAULT_APP).expect("the default app");
    Guest::new(&component, Limits::default()).expect("an instance")
}

#[test]
fn handshake_vectors() {
    let mut guest = default_app();
    for vector in vectors::parsed_handshakes() {
        let head = match answer(&mut guest, &request(&vector)) {
            Answer::Respond(response) => response.head,
            Answer::Takeover(takeover) => {
                guest.drop_resource(takeover.connection).expect("no fault");
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

/// What the fuzzer found worth keeping: the component answers as the native protocol does, byte for
/// byte, and does not fault.
#[test]
fn fuzz_seeds_have_the_same_effect_as_natively() {
    let mut guest = default_app();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/frames");
    for seed in std::fs::read_dir(folder).expect("the seeds are committed") {
        let path = seed.expect("a readable folder").path();
        let bytes = std::fs::read(&path).expect("a readable seed");
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        let connection = open_echo(&mut guest, true);
        let mut session = native_echo();
        let mut effects = guest.open(connection, 0, 1, head).expect("no fault");
        let mut expected = session.open(NOW, 1, &Default::default(), head.into());
        if effects.next == Next::Open && !tail.is_empty() {
            assert_eq!(effects.output, expected.output, "{}", path.display());
            effects = guest.receive(connection, 0, tail).expect("no fault");
            expected = session.receive(NOW, tail.into());
        }
        assert_eq!(effects.output, expected.output, "{}", path.display());
        let open = expected.next == wasocket::Disposition::Open;
        assert_eq!(effects.next == Next::Open, open, "{}", path.display());
        guest.drop_resource(connection).expect("no fault");
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
            guest.receive(connection, 0, piece)
        } else {
            guest.open(connection, 0, 1, piece)
        };
        opened = true;
        let effects: Effects = effects.expect("no fault");
        output.extend(effects.output);
        next = effects.next;
        if next != Next::Open {
            break; // the host makes no further call
        }
    }
    guest.drop_resource(connection).expect("no fault");
    let then = match next {
        Next::Open | Next::Pause => Then::Open,
        Next::Close => Then::Closed,
        Next::Abort => panic!("{}: aborted", vector.name),
    };
    vector.check(&output, then, how);
}

fn open_echo(guest: &mut Guest, deflate: bool) -> ResourceAny {
    let request = match deflate {
        true => request_with_deflate(),
        false => request(&vectors::handshakes()[0]),
    };
    match answer(guest, &request) {
        Answer::Takeover(takeover) => takeover.connection,
        Answer::Respond(response) => panic!("{response:?}"),
    }
}

fn answer(guest: &mut Guest, request: &Request) -> Answer {
    match guest.handle(request).expect("no fault").verdict {
        Verdict::Answer(answer) => answer,
        Verdict::Later(_) => panic!("an echo has nothing to wait for"),
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
        fields,
        secure: false,
        remote: None,
    }
}

/// The world of the WIT package, as the reference parser resolves it, beside the built component.
#[test]
fn the_component_imports_and_exports_what_its_world_lists() {
    let mut sources = wit_parser::SourceMap::default();
    sources.push_str("types.wit", include_str!("../wit/types.wit"));
    sources.push_str("world.wit", include_str!("../wit/world.wit"));
    sources.push_str("app.wit", include_str!("../wit/app.wit"));
    let handler = include_str!("../wit/websocket-handler.wit");
    sources.push_str("websocket-handler.wit", handler);
    let client = include_str!("../wit/websocket-client.wit");
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
