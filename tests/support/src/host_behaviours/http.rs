//! Requests of HTTP, without a WebSocket.

use std::thread;
use std::time::Duration;

use crate::{Site, opening_handshake};

pub fn the_default_app_answers_plain_http(site: &Site) {
    let get = |line: &str| site.request(&format!("{line} HTTP/1.1\r\nHost: a.test\r\n\r\n"));

    let (head, page) = get("GET /");
    assert_eq!(head.status, 200);
    let content_type = head.field("Content-Type");
    assert_eq!(content_type.as_deref(), Some("text/html; charset=utf-8"));
    assert!(page.contains("<title>Wasocket</title>"));

    let (head, body) = get("GET /nowhere");
    assert_eq!((head.status, body.is_empty()), (404, false));

    let (head, body) = get("DELETE /");
    assert_eq!((head.status, body.is_empty()), (405, false));
    assert_eq!(head.field("Allow").as_deref(), Some("GET, HEAD"));

    let (head, _) = get("GET /echo");
    assert_eq!(head.status, 426);
    assert_eq!(head.field("Upgrade").as_deref(), Some("websocket"));
}

pub fn plain_http_keeps_the_connection_open(site: &Site) {
    let mut client = site.connect();
    for _ in 0..3 {
        client.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.read_head().status, 200);
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let head = client.read_head();
        assert!(client.read_body(&head).ends_with("</html>\n"));
    }
    client.send(&opening_handshake("/"));
    assert_eq!(client.read_head().status, 101);
}

/// Apps refuse upgrades and the HTTP layer does, not only the handshake.
pub fn an_upgrade_to_another_protocol_closes_the_connection(site: &Site) {
    for (request, status) in [
        (
            "GET /nowhere HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket",
            404,
        ),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c", 200),
        ("GET / HTTP/1.1\r\nUpgrade: websocket", 400),
    ] {
        let mut client = site.connect();
        let request = format!("{request}\r\nConnection: Upgrade\r\n\r\n");
        client.send(request.repeat(2).as_bytes());
        let head = client.read_head();
        assert_eq!(head.status, status);
        client.read_body(&head);
        assert_eq!(client.read_to_end(), b"");
    }
}

pub fn a_body_of_known_length_keeps_the_connection_open(site: &Site) {
    let mut client = site.connect();
    let length = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    client.send(length.repeat(3).as_bytes());
    for _ in 0..3 {
        let head = client.read_head();
        assert_eq!((head.status, head.field("Connection")), (405, None));
        client.read_body(&head);
    }
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    client.send(chunked.repeat(2).as_bytes());
    let head = client.read_head();
    assert_eq!(head.status, 405);
    client.read_body(&head);
    assert_eq!(client.read_to_end(), b"");
}

/// The time for a head is absolute: more bytes do not extend it. A client that has sent nothing is disconnected
/// without a 408, which it could take for the response to a request it is just sending.
pub fn a_slow_request_head_times_out(site: &Site) {
    let mut idle = site.connect();
    let mut slow = site.connect();
    let mut kept = site.connect();
    kept.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n");
    assert_eq!(kept.read_head().status, 200);
    for client in [&idle, &slow, &kept] {
        let timeout = Some(Duration::from_secs(15));
        client.stream.set_read_timeout(timeout).expect("a time");
    }
    // If each byte extended the time, the response would come after the timeout above.
    for byte in opening_handshake("/echo").iter().take(18) {
        slow.send(&[*byte]);
        thread::sleep(Duration::from_millis(500));
    }
    let head = slow.read_head();
    assert_eq!(head.status, 408);
    assert!(slow.read_body(&head).contains("too long"));
    assert_eq!(slow.read_to_end(), b"");
    assert_eq!(idle.read_to_end(), b"");
    assert_eq!(kept.read_to_end(), b"");
}

pub fn an_incomplete_request_head_is_refused(site: &Site) {
    let mut client = site.connect();
    client.send(b"GET /echo HTTP/1.1\r\nHost: a.test\r\n");
    client.finish_sending();
    let head = client.read_head();
    assert_eq!(head.status, 400);
    client.read_body(&head);
    assert_eq!(client.read_to_end(), b"");
}
