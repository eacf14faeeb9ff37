//! Opening handshakes.

use crate::{Client, Site, opening_handshake};
use wasocket_vectors::{self as vectors, HandshakeVector};

use super::{PING, PONG};

pub fn handshake_vectors(site: &Site) {
    for vector in vectors::handshakes() {
        let mut client = site.connect();
        client.send(&vector.bytes());
        check_handshake(&vector, &mut client);
    }
}

/// A client that believes it was upgraded sends frames, which must never be read as a request.
pub fn bytes_after_a_refused_upgrade_get_no_answer(site: &Site) {
    for vector in vectors::handshakes() {
        if vector.status != 101 {
            let mut client = site.connect();
            let next = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
            client.send(&[&vector.bytes()[..], next].concat());
            check_handshake(&vector, &mut client);
        }
    }
}

/// Pipelined after requests, the opening handshake waits until their responses are sent.
pub fn a_handshake_may_be_pipelined(site: &Site) {
    let mut client = site.connect();
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(200);
    bytes.extend(opening_handshake("/echo"));
    bytes.extend(PING);
    client.send(&bytes);
    for _ in 0..200 {
        let head = client.read_head();
        assert_eq!(head.status, 200);
        assert!(client.read_body(&head).ends_with("</html>\n"));
    }
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_exactly(PONG.len()), PONG);
}

fn check_handshake(vector: &HandshakeVector, client: &mut Client) {
    let name = &vector.name;
    for status in &vector.interim {
        assert_eq!(client.read_head().status, *status, "{name}");
    }
    let head = client.read_head();
    vector.check(head.status, &head.fields);
    if head.status == 101 {
        client.send(PING);
        assert_eq!(client.read_exactly(PONG.len()), PONG, "{name}");
        return;
    }
    let content_type = head.field("Content-Type").expect("a text");
    assert!(content_type.starts_with("text/plain"), "{name}");
    assert!(head.field("Date").is_some(), "{name}: RFC 9110 6.6.1");
    if !vector.bytes().starts_with(b"HEAD") {
        assert!(client.read_body(&head).len() > 10, "{name}");
    }
    assert_eq!(client.read_to_end(), b"", "{name}: not closed");
}
