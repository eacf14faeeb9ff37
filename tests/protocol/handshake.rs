//! The opening handshake against the vectors, run natively.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use wasocket_vectors as vectors;

use vectors::HandshakeVector;
use wasocket::extension::DeflateOptions;
use wasocket::{Answer, Connection, HttpVersion, Message, Request, ResponseHead, Upgrade};

#[test]
fn the_handshake_vectors_hold() {
    for vector in vectors::parsed_handshakes() {
        let head = answer(&request(&vector));
        let fields: Vec<_> = head.fields.into();
        vector.check(head.status, &fields);
    }
}

#[test]
fn the_http2_handshake_vectors_hold() {
    for vector in vectors::http2_handshakes() {
        for version in [HttpVersion::Http2, HttpVersion::Http3] {
            let head = answer(&http2_request(&vector, version));
            let fields: Vec<_> = head.fields.into();
            vector.check(head.status, &fields);
        }
    }
}

#[test]
fn every_refusal_has_a_reason() {
    let connects = vectors::http2_handshakes();
    let requests = connects.iter().map(|vector| {
        let request = http2_request(vector, HttpVersion::Http2);
        (vector.clone(), request)
    });
    let upgrades = vectors::parsed_handshakes().map(|vector| {
        let request = request(&vector);
        (vector, request)
    });
    for (vector, request) in upgrades.chain(requests) {
        if let Answer::Respond(response) = upgrade(&request) {
            assert!(response.body.len() > 10, "{}", vector.name);
        }
    }
}

fn upgrade(request: &Request) -> Answer {
    Upgrade::new()
        .subprotocols(&["chat", "superchat"])
        .compression(DeflateOptions::default())
        .accept(request, |ws: &mut Connection, message: Message| {
            ws.send(message)
        })
}

fn answer(request: &Request) -> ResponseHead {
    match upgrade(request) {
        Answer::Respond(response) => response.head,
        Answer::Takeover(takeover) => takeover.response.expect("a WebSocket has a response"),
    }
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
        fields: fields.into(),
        secure: false,
        ..Request::default()
    }
}

fn http2_request(vector: &HandshakeVector, version: HttpVersion) -> Request {
    let head = vector.parse_http2();
    Request {
        method: head.method,
        target: head.path,
        version,
        authority: head.authority,
        protocol: head.protocol,
        fields: head.fields.into(),
        ..Request::default()
    }
}
