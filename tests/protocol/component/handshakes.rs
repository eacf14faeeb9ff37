//! The vectors of opening handshakes.

use wasocket_host::bindings::{Answer, HttpVersion, Request, ResponseHead};
use wasocket_host::guest::{Guest, finish};
use wasocket_vectors as vectors;

use super::{answer, default_app, request};

#[test]
fn handshake_vectors() {
    let mut guest = default_app();
    for vector in vectors::parsed_handshakes() {
        let head = response_head(&mut guest, &request(&vector));
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
        let head = response_head(&mut guest, &request);
        vector.check(head.status, &head.fields);
    }
}

/// The head of the response to a request, whether it refuses the WebSocket or opens it.
fn response_head(guest: &mut Guest, request: &Request) -> ResponseHead {
    match answer(guest, request) {
        Answer::Respond(response) => response.head,
        Answer::Takeover(takeover) => {
            finish(guest.drop_resource(takeover.connection)).expect("no fault");
            takeover.response.expect("a WebSocket has a response")
        }
    }
}
