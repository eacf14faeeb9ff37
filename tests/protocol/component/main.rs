//! The component in wasmtime, without sockets: it behaves like the native protocol, and imports what its
//! world lists.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod frames;
mod handshakes;
mod suspension;
mod world;

use vectors::HandshakeVector;
use wasmtime::component::ResourceAny;
use wasocket_host::bindings::{Answer, HttpVersion, Request, Verdict};
use wasocket_host::component::Component;
use wasocket_host::default_app::DEFAULT_APP;
use wasocket_host::engine::engine;
use wasocket_host::guest::{Guest, Limits, finish};
use wasocket_vectors as vectors;

fn default_app() -> Guest {
    let engine = engine().expect("an engine");
    let component = Component::from_bytes(&engine, DEFAULT_APP).expect("the default app");
    finish(Guest::new(&component, Limits::default())).expect("an instance")
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
