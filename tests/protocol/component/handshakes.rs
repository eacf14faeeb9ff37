//! The vectors of opening handshakes.

use wasocket_host::bindings::{Answer, HttpVersion, Request};
use wasocket_host::guest::finish;
use wasocket_vectors as vectors;

use super::{answer, default_app, request};

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
