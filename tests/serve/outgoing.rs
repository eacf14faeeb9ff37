//! Apps that send requests to HTTP backends, in the running binary.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::io::Write;
use std::net::{Shutdown, TcpListener};

use support::backend::{Backend, Exchange};
use support::{Client, Server, build_guest, text};

fn serve(backend: &Backend, options: &[&str]) -> Server {
    let allowed = backend.allowed();
    let mut all: Vec<&str> = allowed.iter().map(String::as_str).collect();
    all.extend(options);
    Server::serving(&build_guest("outgoing", ""), &all)
}

#[track_caller]
fn assert_says(client: &mut Client, message: &str) {
    assert_eq!(client.read_text(), message);
}

#[track_caller]
fn assert_says_that(client: &mut Client, what: &str) {
    let said = client.read_text();
    assert!(said.starts_with(what), "{said}");
}

/// This relies on wasmtime: only the waker of the call that sent the request can wake the connection here, once
/// for the head and once for each part of the body.
#[test]
fn awaiting_a_response_holds_up_no_other_connection() {
    let backend = Backend::start();
    let server = serve(&backend, &[]);
    let mut asking = server.websocket("/");
    let mut other = server.websocket("/");
    let mut echo = || {
        other.send(&text("hello"));
        assert_says(&mut other, "echo hello");
    };
    asking.send(&text(&format!("post {}", backend.url("/answer?x=y"))));
    let mut exchange = backend.accept();
    assert!(
        exchange.head.starts_with("post /answer?x=y http/1.1\r\n"),
        "{}",
        exchange.head
    );
    assert!(
        exchange
            .head
            .contains(&format!("host: {}\r\n", backend.address))
    );
    assert_eq!(exchange.body, b"the question");
    echo();
    exchange.begin_chunks();
    assert_says(&mut asking, "status 200");
    echo();
    for chunk in ["one", "two", "three"] {
        exchange.chunk(chunk);
        assert_says(&mut asking, &format!("chunk {chunk}"));
        echo();
    }
    exchange.write("0\r\n\r\n");
    assert_says(&mut asking, "end");
    // The asking connection can still be used.
    asking.send(&text("more"));
    assert_says(&mut asking, "echo more");
}

#[test]
fn a_thousand_requests_may_be_pending_at_once() {
    const ASKING: usize = 1000;
    let backend = Backend::start();
    let server = serve(&backend, &["--connections-per-instance", "1001"]);
    let mut other = server.websocket("/");
    let question = text(&format!("get {}", backend.url("/")));
    let mut asking: Vec<_> = (0..ASKING).map(|_| server.websocket("/")).collect();
    for client in &mut asking {
        client.send(&question);
    }
    // All requests are sent before the first is answered.
    let exchanges: Vec<Exchange> = (0..ASKING).map(|_| backend.accept()).collect();
    other.send(&text("hello"));
    assert_says(&mut other, "echo hello");
    exchanges
        .into_iter()
        .for_each(|exchange| exchange.answer(204));
    for client in &mut asking {
        assert_says(client, "status 204");
        assert_says(client, "end");
    }
}

#[test]
fn failing_backends_are_errors() {
    let backend = Backend::start();
    let server = serve(&backend, &[]);
    let mut client = server.websocket("/");
    let ask = |client: &mut Client| {
        client.send(&text(&format!("get {}", backend.url("/"))));
        backend.accept()
    };

    drop(ask(&mut client));
    assert_says_that(&mut client, "Lost(");

    ask(&mut client).write("SSH-2.0-OpenSSH\r\n\r\n");
    assert_says_that(&mut client, "Lost(");

    let mut exchange = ask(&mut client);
    exchange.write("HTTP/1.1 200 OK\r\n");
    // The runner may close the connection before all of it is written.
    let _ = (0..100).try_for_each(|_| exchange.stream.write_all(&[b'x'; 1024]));
    assert_says_that(&mut client, "Lost(");

    let mut exchange = ask(&mut client);
    exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.");
    assert_says(&mut client, "status 200");
    assert_says(&mut client, "chunk five.");
    drop(exchange);
    assert_says_that(&mut client, "Lost(");

    // The body ends with the connection.
    let mut exchange = ask(&mut client);
    exchange.write("HTTP/1.0 404 Not Found\r\n\r\nfive.");
    exchange
        .stream
        .shutdown(Shutdown::Write)
        .expect("connected");
    for said in ["status 404", "chunk five.", "end"] {
        assert_says(&mut client, said);
    }

    client.send(&text(&format!("impatient {}", backend.url("/"))));
    let mut exchange = backend.accept();
    assert_says(&mut client, "TimedOut");
    assert!(exchange.is_closed());

    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = free.local_addr().expect("an address");
    drop(free);
    let server = Server::serving(
        &build_guest("outgoing", ""),
        &["--allow-http", &closed.to_string()],
    );
    let mut client = server.websocket("/");
    client.send(&text(&format!("get http://{closed}/")));
    assert_says_that(&mut client, "Unreachable(");
    server.wait_for_log("cannot connect to");
}

/// Whatever ends the wait, the runner closes the socket to the backend.
#[test]
fn a_request_ends_with_the_connection_it_serves() {
    let backend = Backend::start();
    let mut server = serve(&backend, &["--shutdown-timeout", "1"]);
    let url = backend.url("/");

    let mut client = server.websocket("/");
    client.send(&text(&format!("give-up {url}")));
    let mut exchange = backend.accept();
    assert_says(&mut client, "given up");
    assert!(exchange.is_closed());

    client.send(&text(&format!("get {url}")));
    let mut exchange = backend.accept();
    exchange.begin_chunks();
    assert_says(&mut client, "status 200");
    drop(client);
    assert!(exchange.is_closed());

    // A Close frame is answered although the app does not receive.
    let mut client = server.websocket("/");
    client.send(&text(&format!("get {url}")));
    let mut exchange = backend.accept();
    client.send(&[0x88, 0x80, 0, 0, 0, 0]);
    assert_eq!(client.read_exactly(2), [0x88, 0]);
    assert!(exchange.is_closed());

    let mut client = server.websocket("/");
    let mut bystander = server.websocket("/");
    bystander.send(&text(&format!("get {url}")));
    let mut pending = backend.accept();
    client.send(&text(&format!("trap {url}")));
    backend.accept().answer(200);
    assert_eq!(client.read_to_end(), [0x88, 2, 0x03, 0xf3]);
    assert!(pending.is_closed());

    let mut client = server.websocket("/");
    client.send(&text(&format!("get {url}")));
    let mut exchange = backend.accept();
    server.signal("TERM");
    assert!(exchange.is_closed());
    assert_eq!(server.wait(), Some(0));
}

/// The runner has a timeout of its own, whatever the app's is.
#[test]
fn a_silent_backend_times_out() {
    let backend = Backend::start();
    let server = serve(&backend, &["--http-timeout", "1"]);
    let mut client = server.websocket("/");
    client.send(&text(&format!("get {}", backend.url("/"))));
    let mut exchange = backend.accept();
    assert_says(&mut client, "TimedOut");
    assert!(exchange.is_closed());

    client.send(&text(&format!("get {}", backend.url("/"))));
    let mut exchange = backend.accept();
    exchange.begin_chunks();
    assert_says(&mut client, "status 200");
    exchange.chunk("part");
    assert_says(&mut client, "chunk part");
    assert_says_that(&mut client, "Lost(");
    assert!(exchange.is_closed());
}

#[test]
fn only_allowed_backends_are_reachable() {
    let backend = Backend::start();
    let port = backend.address.port();
    let server = Server::serving(
        &build_guest("outgoing", ""),
        &[
            "--allow-http",
            &format!("localhost:{port}"),
            "--allow-http",
            "*:*",
        ],
    );
    let mut client = server.websocket("/");
    let mut ask = |url: &str| {
        client.send(&text(&format!("get {url}")));
        client.read_text()
    };
    // A wildcard does not allow internal addresses.
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        assert_eq!(ask(&format!("http://{host}:{port}/")), "Denied", "{host}");
    }
    assert!(!backend.is_asked());
    assert_eq!(ask("ftp://localhost/"), "InvalidUrl");
    server.wait_for_log("is not a public address");
    client.send(&text(&format!("get http://LOCALHOST:{port}/")));
    backend.accept().answer(204);
    assert_says(&mut client, "status 204");
    assert_says(&mut client, "end");

    let server = serve(&backend, &[]);
    let mut client = server.websocket("/");
    client.send(&text(&format!("get http://localhost:{port}/")));
    assert_says(&mut client, "Denied");
    server.wait_for_log(&format!("--allow-http localhost:{port}"));
}

#[test]
fn concurrent_requests_are_limited() {
    let backend = Backend::start();
    let server = serve(&backend, &["--connections-per-instance", "1"]);
    // Two requests for each connection; those whose response is not read yet count, too.
    let mut client = server.websocket("/");
    client.send(&text(&format!("third {}", backend.url("/"))));
    let answered = || {
        let mut exchange = backend.accept();
        exchange.begin_chunks();
        exchange
    };
    let mut held = [answered(), answered()];
    assert_says(&mut client, "TooMany");
    assert!(held.iter_mut().all(Exchange::is_closed));
}

#[test]
fn bodies_of_requests_are_bounded() {
    let backend = Backend::start();
    let server = serve(&backend, &[]);
    let mut client = server.websocket("/");
    client.send(&text(&format!("too-big {}", backend.url("/"))));
    assert_says(&mut client, "RequestTooBig");
    client.send(&text(&format!("biggest {}", backend.url("/"))));
    let exchange = backend.accept();
    assert_eq!(exchange.body.len(), 1 << 20);
    exchange.answer(200);
    assert_says(&mut client, "status 200");
    assert_says(&mut client, "end");
}

/// A response larger than the instance's memory: to an app that reads it, and to one that does not.
#[test]
fn a_long_response_is_read_only_as_fast_as_the_app_reads() {
    const SIZE: usize = 48 << 20;
    let backend = Backend::start();
    let server = serve(&backend, &["--memory", "8"]);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");

    let mut holding = server.websocket("/");
    holding.send(&text(&format!("hold {}", backend.url("/"))));
    let mut exchange = backend.accept();
    exchange.write(&head);
    assert_says(&mut holding, "held");
    exchange.stream.set_nonblocking(true).expect("a socket");
    let mut written = 0;
    while let Ok(size) = exchange.stream.write(&[0; 65_536]) {
        written += size;
    }
    assert!(written < SIZE, "{written} bytes are buffered");

    let mut counting = server.websocket("/");
    counting.send(&text(&format!("count {}", backend.url("/"))));
    let mut exchange = backend.accept();
    exchange.write(&head);
    for _ in 0..SIZE / 65_536 {
        exchange.write([0; 65_536]);
    }
    assert_says(&mut counting, &SIZE.to_string());
}

#[test]
fn a_guest_that_blocks_on_a_backend_is_ended() {
    let backend = Backend::start();
    let server = serve(&backend, &[]);
    let mut client = server.websocket("/");
    client.send(&text("block"));
    assert_eq!(client.read_to_end(), [0x88, 2, 0x03, 0xf3]);
    server.wait_for_log("waited inside a call");
}

#[test]
fn a_decision_may_wait_for_a_backend() {
    let backend = Backend::start();
    let server = serve(&backend, &["--decision-timeout", "1"]);
    let mut other = server.websocket("/");
    let ask = || {
        let path = format!("/enter?backend={}", backend.url("/user"));
        let mut client = server.connect();
        client.send(&support::opening_handshake(&path));
        (client, backend.accept())
    };

    let (mut client, exchange) = ask();
    other.send(&text("hello"));
    assert_says(&mut other, "echo hello");
    exchange.answer(200);
    assert_eq!(client.read_head().status, 101);
    client.send(&text("hello"));
    assert_says(&mut client, "echo hello");

    let (mut client, exchange) = ask();
    exchange.answer(401);
    let head = client.read_head();
    assert_eq!(
        (head.status, client.read_body(&head)),
        (401, "No.\n".to_owned())
    );

    let (mut client, mut exchange) = ask();
    assert_eq!(client.read_head().status, 504);
    assert!(exchange.is_closed());
    server.wait_for_log("--decision-timeout");

    let (mut client, exchange) = ask();
    exchange.answer(500);
    assert_eq!(client.read_head().status, 500);
    // Its fault ended the instance of the other connection.
    assert_eq!(other.read_to_end(), [0x88, 2, 0x03, 0xf3]);
}
