//! The opening handshake, and servers that cannot be reached.

use std::io::Read;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use support::Server;
use support::connect::connect;

use super::servers::{accept, answering, ignore_messages, pausing_after, websocket};
use super::{closed_port, url};

/// RFC 6455 §4.1, §5.3, §10.3: the key of the handshake and the masking key of each frame are unpredictable.
#[test]
fn random_values_differ_between_runs() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    let server = thread::spawn(move || {
        [(); 2].map(|()| {
            let (mut client, key) = accept(&listener);
            let mut frame = [0; 6];
            client.read_exact(&mut frame).expect("a frame");
            (key, frame)
        })
    });
    for _ in 0..2 {
        connect(&[&url], b"x\n");
    }
    let [first, second] = server.join().expect("the server sees two clients");
    assert_eq!(first.1[..2], second.1[..2]);
    assert_ne!(first.0, second.0);
    assert_ne!(first.1[2..], second.1[2..]);
}

#[test]
fn options_shape_the_handshake() {
    let server = Server::start();
    let echo = url(&server, "/echo");
    let run = connect(&[&echo, "--subprotocol", "superchat,other"], b"");
    run.assert_printed("");
    assert!(run.stderr.contains("subprotocol superchat"), "{run:?}");

    let run = connect(&[&echo, "--subprotocol", "other"], b"");
    assert!(run.stderr.contains("none of the subprotocols"), "{run:?}");

    let run = connect(&[&echo, "--compress"], b"");
    assert!(run.stderr.contains(", compressed"), "{run:?}");

    let own = format!("http://{}", server.address);
    connect(&[&echo, "--origin", &own], b"x\n").assert_printed("x\n");
    connect(&[&echo, "--header", "X-Test: y"], b"x\n").assert_printed("x\n");
    connect(&[&echo, "--header", "Upgrade: x"], b"").assert_failed(2, &["Upgrade"]);
    let twice = ["--header", "Host: a", "--header", "Host: b"];
    connect(&[&[&echo[..]], &twice[..]].concat(), b"").assert_failed(2, &["Host"]);
    connect(&[&echo, "--header", "no colon"], b"").assert_failed(2, &["colon"]);
    connect(&[&echo, "--subprotocol", "a b"], b"").assert_failed(2, &["a b"]);
}

#[test]
fn a_refusal_is_shown_as_the_server_wrote_it() {
    let server = Server::start();
    let echo = url(&server, "/echo");
    connect(&[&echo, "--origin", "https://evil.test"], b"")
        .assert_failed(1, &["403 Forbidden", "Origin is not allowed"]);
    connect(&[&url(&server, "/nowhere")], b"")
        .assert_failed(1, &["404 Not Found", "nothing here; try /"]);
}

#[test]
fn only_text_is_shown_of_a_refusal() {
    let chunked = b"HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n\
        4\r\nnot \r\n4;a\r\nnow\n\r\n0\r\n\r\n";
    let run = connect(&[&answering(chunked)], b"");
    run.assert_failed(1, &["HTTP 502 Bad Gateway\nnot now\n"]);

    let frames =
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello";
    let run = connect(&[&answering(frames)], b"");
    run.assert_failed(1, &["Sec-WebSocket-Accept"]);
    run.assert_noted("hello", false);

    let image = b"HTTP/1.1 404 x\r\nContent-Length: 4\r\n\r\n\x89PNG";
    connect(&[&answering(image)], b"").assert_failed(1, &["a body that is not text"]);
}

/// RFC 9112 §6.3: a response without a length ends with the connection, which this server leaves open.
#[test]
fn a_body_without_an_end_is_not_waited_for() {
    let (url, _head) = pausing_after(b"HTTP/1.1 404 x\r\n\r\nnot here");
    let start = Instant::now();
    connect(&[&url], b"").assert_failed(1, &["404 Not Found\nnot here"]);
    // The time for the response is 10 s.
    assert!(start.elapsed() < Duration::from_secs(9));
}

#[test]
fn another_host_and_place_than_the_urls() {
    let (url, head) = pausing_after(b"HTTP/1.1 204 x\r\n\r\n");
    connect(&[&url, "--header", "host: a.test:1"], b"").assert_failed(1, &["204"]);
    let head = head.recv().expect("a request");
    assert!(head.contains("\r\nHost: a.test:1\r\n"), "{head}");
    assert_eq!(head.matches("ost: ").count(), 1, "{head}");

    let silent = websocket(ignore_messages);
    let place = silent.trim_start_matches("ws://").trim_end_matches('/');
    connect(&["ws://nowhere.invalid/", "--connect-to", place], b"").assert_printed("");
    for wrong in ["a", "a:0", "a:80/x", "u@a:80", "::1"] {
        let run = connect(&["ws://a/", "--connect-to", wrong], b"");
        run.assert_failed(2, &["--connect-to"]);
    }
}

#[test]
fn an_unreachable_server_is_named() {
    let place = closed_port().to_string();
    let run = connect(&[&format!("ws://{place}/")], b"");
    run.assert_failed(1, &[&place, "refused"]);
    connect(&["ws://nowhere.invalid/"], b"").assert_failed(1, &["nowhere.invalid"]);
    for wrong in ["localhost:1234", "ftp://a/", "ws://u:p@a/", "ws://a/#b"] {
        connect(&[wrong], b"").assert_failed(2, &["<URL>"]);
    }
}
