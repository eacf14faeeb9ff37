//! The opening handshake, and servers that cannot be reached.

use std::io::Read;
use std::net::TcpListener;
use std::thread;

use support::Server;
use support::connect::connect;

use super::servers::accept;
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

    let run = connect(&[&echo, "--compress"], b"");
    assert!(run.stderr.contains(", compressed"), "{run:?}");

    let own = format!("http://{}", server.address);
    connect(&[&echo, "--origin", &own], b"x\n").assert_printed("x\n");
    connect(&[&echo, "--header", "X-Test: y"], b"x\n").assert_printed("x\n");
    connect(&[&echo, "--header", "Upgrade: x"], b"").assert_failed(2, &["Upgrade"]);
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
fn an_unreachable_server_is_named() {
    let place = closed_port().to_string();
    let run = connect(&[&format!("ws://{place}/")], b"");
    run.assert_failed(1, &[&place, "refused"]);
    connect(&["ws://nowhere.invalid/"], b"").assert_failed(1, &["nowhere.invalid"]);
    for wrong in ["localhost:1234", "ftp://a/", "ws://u:p@a/", "ws://a/#b"] {
        connect(&[wrong], b"").assert_failed(2, &["<URL>"]);
    }
}
