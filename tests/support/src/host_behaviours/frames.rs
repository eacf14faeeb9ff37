//! Frames after the handshake.

use crate::{Client, Site, opening_handshake, text};
use wasocket_vectors::{self as vectors, FrameVector, Then};

use super::{PING, PONG};

pub fn frame_vectors(site: &Site) {
    for vector in vectors::frames() {
        let mut client = site.connect();
        client.send(&handshake(&vector));
        assert_eq!(client.read_head().status, 101);
        client.try_send(&vector.bytes());
        check(&vector, &mut client, "over the socket");
    }
}

/// Bytes right after the request head, in the same segment, belong to the component.
pub fn frame_vectors_sent_with_the_request_head(site: &Site) {
    for vector in vectors::frames() {
        let mut client = site.connect();
        let mut bytes = handshake(&vector);
        bytes.extend(vector.bytes());
        client.try_send(&bytes);
        assert_eq!(client.read_head().status, 101);
        check(&vector, &mut client, "sent with the request head");
    }
}

pub fn accepts_input_byte_by_byte(site: &Site) {
    let mut client = site.connect();
    client.stream.set_nodelay(true).expect("connected");
    let mut bytes = opening_handshake("/");
    bytes.extend(text("slow"));
    for byte in bytes {
        client.send(&[byte]);
    }
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_exactly(17), b"\x81\x0fReceived:  slow");
}

/// The opening handshake that a vector needs.
fn handshake(vector: &FrameVector) -> Vec<u8> {
    let mut head = opening_handshake("/echo");
    if vector.deflate {
        head.truncate(head.len() - 2);
        head.extend(b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    }
    head
}

fn check(vector: &FrameVector, client: &mut Client, how: &str) {
    let output = match vector.then {
        Then::Closed => client.read_to_end(),
        Then::Open => {
            client.send(PING);
            read_until_pong(client)
        }
    };
    vector.check(&output, vector.then, how);
}

fn read_until_pong(client: &mut Client) -> Vec<u8> {
    while !client.received.ends_with(PONG) {
        assert!(client.read_more(), "closed after {:02x?}", client.received);
    }
    let output = client.received.len() - PONG.len();
    let output = client.read_exactly(output);
    client.received.clear();
    output
}
