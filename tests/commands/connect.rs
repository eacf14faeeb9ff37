//! `wasocket connect`: the binary against `wasocket serve`, over TCP, TLS and a proxy.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use support::connect::{command, connect, finish, run, start};
use support::{Server, build_guest, root};
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wasocket::accept_key;

fn url(server: &Server, path: &str) -> String {
    format!("ws://{}{path}", server.address)
}

/// An address on which nothing listens.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

#[test]
fn lines_become_messages_and_messages_become_lines() {
    let server = Server::start();
    let run = connect(
        &[&url(&server, "/echo")],
        "a\n\n\u{e4} b\r\nlast".as_bytes(),
    );
    run.assert_printed("a\n\n\u{e4} b\nlast\n");
    assert!(run.stderr.contains("connected to ws://"), "{run:?}");
    assert!(run.stderr.contains("closed with 1000"), "{run:?}");

    let run = connect(&[&url(&server, "/"), "--quiet"], b"hi\n");
    run.assert_printed("Received:  hi\n");
    assert_eq!(run.stderr, "");
}

#[test]
fn the_end_of_stdin_loses_nothing() {
    let server = Server::start();
    let lines: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    for option in ["--quiet", "--compress"] {
        let run = connect(&[&url(&server, "/echo"), option], lines.as_bytes());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout == lines.as_bytes(), "{option}: lines differ");
    }
    connect(&[&url(&server, "/echo")], b"").assert_printed("");
}

#[test]
fn waits_for_a_slow_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    let server = thread::spawn(move || answer_late(&listener));
    connect(&[&url], b"x\n").assert_printed("late\n");
    server.join().expect("the server gets what it expects");
}

/// Accepts a client's connection and its handshake; returns the key of the handshake, too.
fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut client, _) = listener.accept().expect("a client");
    let head = read_head(&mut client);
    let key = head.split("Sec-WebSocket-Key: ").nth(1);
    let key = key.and_then(|key| key.lines().next()).expect("a key");
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.as_bytes())
    );
    client.write_all(head.as_bytes()).expect("it reads");
    (client, key.to_owned())
}

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

/// A server that answers a Ping before the message that preceded it, and sends nothing more once it is closed.
fn answer_late(listener: &TcpListener) {
    let (mut client, _) = accept(listener);
    assert_eq!(read_frame(&mut client), (0x81, b"x".to_vec()));
    let (opcode, payload) = read_frame(&mut client);
    assert_eq!(opcode, 0x89);
    let length = u8::try_from(payload.len()).expect("short");
    let pong = [&[0x8a, length][..], &payload].concat();
    client.write_all(&pong).expect("it reads");
    thread::sleep(Duration::from_millis(50));
    client.write_all(b"\x81\x04late").expect("it reads");
    assert_eq!(read_frame(&mut client), (0x88, vec![0x03, 0xe8]));
    client.write_all(&[0x88, 0]).expect("it reads");
}

/// The first byte of a client's short frame, and its payload.
fn read_frame(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; 6];
    client.read_exact(&mut header).expect("a frame");
    let [first, length, key @ ..] = header;
    let mut payload = vec![0; usize::from(length & 0x7f)];
    client.read_exact(&mut payload).expect("a payload");
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    (first, payload)
}

#[test]
fn binary_is_sent_and_printed_unchanged() {
    let server = Server::start();
    let bytes: Vec<u8> = (0..1_000_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let run = connect(&[&url(&server, "/echo"), "--binary"], &bytes);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout == bytes, "the bytes differ");
}

#[test]
fn invalid_utf8_is_not_sent_as_text() {
    let server = Server::start();
    let run = connect(&[&url(&server, "/echo")], b"\xff\n");
    run.assert_failed(1, &["not UTF-8", "--binary"]);
}

#[test]
fn exits_after_one_message() {
    let server = Server::start();
    let run = connect(
        &[&url(&server, "/echo"), "--one-message"],
        b"first\nsecond\n",
    );
    run.assert_printed("first\n");

    // As for an interactive user, stdin stays open.
    let mut child = start(&mut command(&[&url(&server, "/echo"), "--one-message"]));
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"open\n").expect("it reads");
    finish(child).assert_printed("open\n");
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

#[test]
fn an_abnormal_end_sets_the_exit_code() {
    let faults = Server::serving(&build_guest("faults", "bare"), &[]);
    connect(&[&url(&faults, "/")], b"trap\n").assert_failed(3, &["1011"]);

    let server = Server::start();
    let long = vec![b'x'; 4 << 20];
    connect(&[&url(&server, "/echo")], &long).assert_failed(3, &["1009"]);

    let run = connect(&[&answering(b"HTTP/1.1 101 x\r\n\r\n")], b"");
    run.assert_failed(1, &["no WebSocket"]);
    connect(&[&answering(b"")], b"").assert_failed(1, &["no WebSocket"]);
}

#[test]
fn an_interrupt_closes_the_connection() {
    let server = Server::start();
    let mut child = start(&mut command(&[&url(&server, "/echo")]));
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"up\n").expect("it reads");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    assert_eq!(line, "up\n");
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &id]).status();
    assert!(status.expect("kill runs").success());
    let run = finish(child);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("closed with 1001"), "{run:?}");
}

#[test]
fn a_closed_stdout_closes_the_connection() {
    let server = Server::start();
    let mut child = start(&mut command(&[&url(&server, "/echo")]));
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"x\n").expect("it reads");
    let run = finish(child);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn ping_times_are_shown() {
    let server = Server::start();
    let run = connect(&[&url(&server, "/echo"), "--ping"], b"");
    run.assert_printed("");
    assert!(run.stderr.contains("pong 1 after "), "{run:?}");

    let mut child = start(&mut command(&[&url(&server, "/echo"), "--ping=1"]));
    let stdin = child.stdin.take().expect("piped");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut lines = stderr.lines().map_while(Result::ok);
    for pong in ["pong 1 after ", "pong 2 after "] {
        assert!(lines.any(|line| line.starts_with(pong)), "no {pong:?}");
    }
    drop(stdin);
    finish(child).assert_printed("");
}

#[test]
fn tls_certificates_are_verified() {
    let server = Server::start();
    let tls = tls_in_front_of(server.address);
    let echo = format!("wss://localhost:{}/echo", tls.port());
    connect(&[&echo], b"").assert_failed(1, &["TLS failed", "--insecure"]);
    connect(&[&echo, "--insecure"], b"x\n").assert_printed("x\n");

    let certificate = tls_file("certificate.pem");
    let trusting = |url: &str| {
        let mut command = command(&[url, "--binary"]);
        command.env("SSL_CERT_FILE", &certificate);
        command
    };
    let bytes = vec![b'y'; 1_000_000];
    let trusted = run(&mut trusting(&echo), &bytes);
    assert_eq!(trusted.code, Some(0), "{}", trusted.stderr);
    assert!(trusted.stdout == bytes, "the bytes differ");
    let other_name = format!("wss://127.0.0.2:{}/echo", tls.port());
    run(&mut trusting(&other_name), b"").assert_failed(1, &["TLS failed"]);

    let plain = format!("wss://{}/echo", server.address);
    connect(&[&plain, "--insecure"], b"").assert_failed(1, &["TLS failed", "ws://"]);
}

#[test]
fn connects_through_a_proxy() {
    let server = Server::start();
    let proxy = format!("http://{}", proxy(None));
    let echo = url(&server, "/echo");
    connect(&[&echo, "--proxy", &proxy], b"x\n").assert_printed("x\n");

    let tls = tls_in_front_of(server.address);
    let secure = format!("wss://localhost:{}/echo", tls.port());
    connect(&[&secure, "--insecure", "--proxy", &proxy], b"y\n").assert_printed("y\n");

    let closed = format!("ws://{}/", closed_port());
    connect(&[&closed, "--proxy", &proxy], b"").assert_failed(1, &["the proxy", "502 Bad Gateway"]);
    let no_proxy = format!("http://{}", closed_port());
    connect(&[&echo, "--proxy", &no_proxy], b"").assert_failed(1, &["cannot connect to the proxy"]);
    connect(&[&echo, "--proxy", "socks5://a:1"], b"").assert_failed(2, &["http://HOST:PORT"]);
}

#[test]
fn reads_the_proxy_from_the_environment() {
    let server = Server::start();
    let ws = url(&server, "/echo");
    let tls = tls_in_front_of(server.address);
    let wss = format!("wss://localhost:{}/echo", tls.port());
    // Nothing listens there, so using this proxy fails.
    let nowhere = format!("http://{}", closed_port());
    let run = |url: &str, option: &str, variables: &[(&str, &str)]| {
        let mut command = command(&[url, "--insecure"]);
        command.args((!option.is_empty()).then_some(option));
        command.envs(variables.iter().copied());
        run(&mut command, b"x\n")
    };
    for (url, name) in [(&ws, "http_proxy"), (&wss, "HTTPS_PROXY")] {
        let run = run(url, "", &[(name, &nowhere)]);
        run.assert_failed(1, &["cannot connect to the proxy", name]);
    }
    run(&ws, "--no-proxy", &[("http_proxy", &nowhere)]).assert_printed("x\n");
    let exempt = [("ALL_PROXY", &nowhere[..]), ("no_proxy", "b, localhost")];
    run(&wss, "", &exempt).assert_printed("x\n");
    // In a CGI script, this variable is the field `Proxy` of the request.
    run(&ws, "", &[("HTTP_PROXY", &nowhere)]).assert_printed("x\n");
    let option = format!("--proxy=http://{}", proxy(None));
    run(&ws, &option, &[("http_proxy", &nowhere)]).assert_printed("x\n");

    let run = run(&ws, "", &[("all_proxy", "socks5://u:secret@a:1")]);
    run.assert_failed(2, &["all_proxy: ", "http://HOST:PORT"]);
    assert!(!run.stderr.contains("secret"), "{run:?}");
}

#[test]
fn proxy_credentials_go_to_the_proxy_only() {
    let server = Server::start();
    let echo = url(&server, "/echo");
    // The example of RFC 7617 §2.
    let place = proxy(Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    let right = format!("http://Aladdin:open%20sesame@{place}");
    let wrong = format!("http://Aladdin:secret@{place}");
    connect(&[&echo, "--proxy", &right], b"x\n").assert_printed("x\n");
    let mut by_environment = command(&[&echo]);
    by_environment.env("http_proxy", &right);
    run(&mut by_environment, b"x\n").assert_printed("x\n");

    let odd = format!("socks5://Aladdin:secret@{place}");
    for (proxy, code, reason) in [
        (&format!("http://{place}"), 1, "407"),
        (&wrong, 1, "407"),
        (&odd, 2, "http://HOST:PORT"),
    ] {
        let run = connect(&[&echo, "--verbose", "--proxy", proxy], b"");
        run.assert_failed(code, &["proxy", reason]);
        assert!(!run.stderr.contains("secret"), "{run:?}");
    }
}

/// A server that answers one request with these bytes, then closes the connection.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        read_head(&mut stream);
        let _ = stream.write_all(answer);
    });
    format!("ws://{address}/")
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).expect("a request") == 0 {
            break;
        }
        head.extend(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A proxy that serves CONNECT requests with these credentials.
fn proxy(authorization: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || tunnel(stream, authorization));
        }
    });
    address
}

fn tunnel(mut client: TcpStream, authorization: Option<&str>) {
    let head = read_head(&mut client);
    let place = head.strip_prefix("CONNECT ").expect("CONNECT");
    let (place, _) = place.split_once(" HTTP/1.1\r\n").expect("a target");
    assert!(head.contains(&format!("\r\nHost: {place}\r\n")), "{head}");
    let given = head.lines().find_map(|line| {
        let value = line.strip_prefix("Proxy-Authorization: ")?;
        Some(value.to_owned())
    });
    if given.as_deref() != authorization {
        let _ = client.write_all(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n",
        );
        return;
    }
    let Ok(server) = TcpStream::connect(place) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        })
    };
    pump(
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    pump(server, client);
}

fn tls_file(name: &str) -> PathBuf {
    root().join("tests/tls").join(name)
}

/// Starts a proxy that terminates TLS in front of a server.
fn tls_in_front_of(server: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(tls_file("certificate.pem"));
    let key = PrivateKeyDer::from_pem_file(tls_file("key.pem"));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the defaults are possible")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        )
        .expect("the key is the certificate's");
    // This server requires ALPN, and prefers a protocol that the client does not offer.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || forward(listener, acceptor, server));
    address
}

fn forward(listener: TcpListener, acceptor: TlsAcceptor, server: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("possible");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let server = tokio::net::TcpStream::connect(server).await;
                let mut server = server.expect("the server accepts");
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
}
