//! Apps and peers at fault.

use crate::{Site, opening_handshake};

pub fn an_invalid_response_of_the_app_becomes_500(site: &Site) {
    for path in [
        "/bad-field",
        "/bad-name",
        "/own-length",
        "/trailer",
        "/bad-status",
        "/bad-takeover",
    ] {
        let plain = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        for request in [opening_handshake(path), plain.into_bytes()] {
            let mut client = site.connect();
            client.send(&request);
            let head = client.read_head();
            if path == "/bad-takeover" && head.status == 426 {
                // Some hosts know before they ask that a request without an upgrade cannot be taken over.
                continue;
            }
            assert_eq!(head.status, 500, "{path}");
            assert_eq!(head.field("Injected"), None, "{path}");
            assert!(!client.read_body(&head).contains("wasm"), "{path}");
            assert_eq!(client.read_to_end(), b"", "{path}");
        }
    }
    site.websocket("/").assert_echoes("fresh");
}

/// RFC 9110 §15.3.5, §15.3.6, §15.4.5: content that an app gives to these statuses would be read as another response.
pub fn a_status_without_content_is_sent_without(site: &Site) {
    for status in [204, 205, 304] {
        let mut client = site.connect();
        client.send(format!("GET /{status} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes());
        assert_eq!(client.read_head().status, status);
        client.send(b"GET /204 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_head().status, 204, "after {status}");
        assert_eq!(client.read_to_end(), b"");
    }
}

pub fn a_slow_reader_gets_everything(site: &Site) {
    let mut client = site.connect();
    client.send(b"GET /raw HTTP/1.1\r\nHost: a.test\r\n\r\nx");
    // Larger than all socket buffers: most of it waits in the host while it serves others.
    site.websocket("/").assert_echoes("meanwhile");
    assert_eq!(client.read_to_end().len(), 8 << 20);
}

pub fn a_slow_reader_gets_the_whole_response_before_the_close(site: &Site) {
    let mut client = site.connect();
    client.send(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    site.websocket("/").assert_echoes("meanwhile");
    let head = client.read_head();
    assert_eq!(client.read_body(&head).len(), 8 << 20);
    assert_eq!(client.read_to_end(), b"");
}

pub fn a_peer_that_answers_no_pings_is_disconnected(site: &Site) {
    const PING: &[u8] = b"\x89\0";
    const PONG: &[u8] = b"\x8a\x80\0\0\0\0";
    let mut client = site.websocket("/keepalive");
    for _ in 0..3 {
        assert_eq!(client.read_exactly(2), PING);
        client.send(PONG);
    }
    assert_eq!(client.read_to_end(), PING);
}

/// `Limits::max_messages_per_second` is 100.
pub fn exceeding_the_apps_message_rate_ends_the_connection(site: &Site) {
    const EMPTY: &[u8] = b"\x81\x80\0\0\0\0";
    let mut client = site.websocket("/limited");
    client.try_send(&EMPTY.repeat(1000));
    let said = client.read_to_end();
    assert!(said.ends_with(b"\x03\xf0too many messages in a second"));
}
