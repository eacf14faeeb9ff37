//! `wasocket serve` over real sockets: hosts, shutdown, and errors at startup.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use wasocket_vectors as vectors;

use std::process::Output;

use support::{Client, Server, app_behaviours, host_behaviours, wasocket};
use vectors::Frame;

/// Each row has a server of its own, so that rows that wait do so at the same time.
#[test]
fn every_host_behaviour_holds() {
    std::thread::scope(|scope| {
        for row in host_behaviours::DEFAULT_APP {
            scope.spawn(|| app_behaviours::run("wasocket serve", &[*row], &Server::start(), &[]));
        }
    });
}

#[test]
fn shutdown_closes_connections_with_1001() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut idle = server.connect();
        let mut client = server.websocket("/echo");
        server.signal(signal);
        let (frame, size) = read_frame(&mut client);
        assert_eq!(
            (frame.opcode, &frame.payload[..]),
            ("close", &b"\x03\xe9"[..])
        );
        client.read_exactly(size);
        client.send(b"\x88\x82\0\0\0\0\x03\xe9");
        assert_eq!(client.read_to_end(), b"");
        assert_eq!(idle.read_to_end(), b"");
        assert_eq!(server.wait(), Some(0), "{}", server.log());
    }
}

fn read_frame(client: &mut Client) -> (Frame, usize) {
    loop {
        if let Some(read) = Frame::read(&client.received).expect("a frame") {
            return read;
        }
        assert!(client.read_more(), "the stream ends before a frame");
    }
}

#[test]
fn a_client_that_ignores_the_close_does_not_delay_shutdown() {
    let mut server = Server::start();
    let _client = server.websocket("/echo");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

fn run(arguments: &[&str]) -> Output {
    wasocket(arguments).output().expect("the runner runs")
}

fn assert_fails(arguments: &[&str], code: i32, message: &str) {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(error.contains(message), "{arguments:?}: {error}");
}

#[test]
fn unusable_files_have_distinct_errors() {
    let folder = support::root().join("target/guests");
    std::fs::create_dir_all(&folder).expect("target is writable");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("target is writable");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let text = write("text.wasm", b"hello");
    let module = write("module.wasm", b"\0asm\x01\0\0\0");
    // The smallest component: it exports nothing.
    let component = write("component.wasm", b"\0asm\x0d\0\x01\0");
    let broken = write("broken.wasm", b"\0asm\x0d\0\x01\0\xff\xff");

    assert_fails(&["serve", "missing.wasm"], 1, "missing.wasm");
    assert_fails(&["serve", "missing.wasm"], 1, "no such file");
    assert_fails(&["serve", &text], 1, "not WebAssembly");
    assert_fails(&["serve", &module], 1, "wasm-tools component new");
    assert_fails(
        &["serve", &component],
        1,
        "wasocket:websocket/websocket-handler",
    );
    assert_fails(&["serve", &broken], 1, "not a valid component");
}

#[test]
fn a_port_in_use_is_named() {
    let server = Server::start();
    let address = server.address.to_string();
    assert_fails(
        &["serve", "--listen", &address],
        1,
        &format!("{address} is in use"),
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_fails(&["serve", "--listen", "nonsense"], 2, "127.0.0.1:1234");
    assert_fails(&["serve", "--connections-per-instance", "0"], 2, "0");
    assert_fails(&["sevre"], 2, "serve");
    let help = run(&["serve", "--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--listen"));
}

/// DNS rebinding: after a page's name is rebound to 127.0.0.1, the browser still sends that name.
#[test]
fn on_loopback_only_loopback_names_are_served() {
    let server = Server::run(&mut wasocket(&["serve", "--listen", "127.0.0.1:0"]));
    let port = server.address.port();
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    for host in own.iter().map(String::as_str).chain(["chat.localhost"]) {
        assert_eq!(get(&server, host).0, 200, "{host}");
    }
    let (status, body) = get(&server, "evil.example");
    assert_eq!(status, 421);
    assert!(body.contains("--allow-host"), "{body}");
    let mut client = server.connect();
    client.send(&support::opening_handshake("/echo"));
    assert_eq!(client.read_head().status, 421);
    // RFC 9112 section 3.2.2: the host of an absolute target comes before that of the field.
    let absolute = "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(server.request(absolute).0.status, 421);
}

#[test]
fn allowed_hosts_are_served() {
    let options = ["--listen", "127.0.0.1:0", "--allow-host", "*.example"];
    let server = Server::run(wasocket(&["serve"]).args(options));
    for (host, status) in [("a.example", 200), ("localhost", 200), ("a.test", 421)] {
        assert_eq!(get(&server, host).0, status, "{host}");
    }
    let server = Server::run(&mut wasocket(&["serve", "--listen", "0.0.0.0:0"]));
    assert_eq!(get(&server, "a.test").0, 200);
    assert_fails(
        &["serve", "--allow-host", "http://a.test/"],
        2,
        "without http://",
    );
}

/// The page of the default app, by this name.
fn get(server: &Server, host: &str) -> (u16, String) {
    let (head, body) = server.request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    (head.status, body)
}
