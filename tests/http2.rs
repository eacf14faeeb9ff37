//! `wasocket serve --http2`: WebSockets on the streams of a connection (RFC 8441), against the running binary.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod apps;
mod hosts;
mod runner;

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use wasocket_vectors::{self as vectors, HandshakeVector};

use runner::operator::{admin, wait_for_metric};
use runner::{Client, PATIENCE, Server, Site, root, text};

/// What a server on a port of loopback does with these options.
fn serve(options: &[&str]) -> Server {
    Server::with(&[&["--http2"], options].concat())
}

/// The guest that does what none should, with these options.
fn faults(options: &[&str]) -> Server {
    let component = runner::build_guest("faults", "bare");
    Server::of(&component, &[&["--http2"], options].concat())
}

/// Runs a client, which may take as long as anything may.
fn run(client: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async { timeout(PATIENCE, client).await });
    outcome.expect("it ends in time");
}

/// A connection whose server has said that it serves extended CONNECT.
struct Connection {
    requests: SendRequest<Bytes>,
    /// How it ends.
    end: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Connection {
    async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it accepts");
        // One stream that is not read must not hold up the others.
        let mut settings = h2::client::Builder::new();
        let handshake = settings
            .initial_connection_window_size(1 << 20)
            .handshake(stream);
        let (requests, connection) = handshake.await.expect("HTTP/2");
        let end = tokio::spawn(connection);
        while !requests.is_extended_connect_protocol_enabled() {
            sleep(Duration::from_millis(1)).await;
        }
        Self { requests, end }
    }

    /// Sends a request without a body, or with one that is still to come.
    async fn send(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = self.requests.clone().ready().await;
        let mut requests = ready.expect("the connection is there");
        requests.send_request(request, ends).expect("a request")
    }

    /// The answer to a request without a body.
    async fn get(&mut self, path: &str) -> Result<(http::response::Parts, String), h2::Error> {
        let request = Request::get(format!("http://a.test{path}")).body(());
        let (response, _) = self.send(request.expect("valid"), true).await;
        let (head, mut body) = response.await?.into_parts();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            let _ = body.flow_control().release_capacity(data.len());
            text.extend(data);
        }
        Ok((head, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Opens a WebSocket.
    async fn open(&mut self, request: Request<()>) -> (http::response::Parts, WebSocket) {
        let (response, outgoing) = self.send(request, false).await;
        let (head, incoming) = response.await.expect("an answer").into_parts();
        let websocket = WebSocket {
            outgoing,
            incoming,
            received: Vec::new(),
        };
        (head, websocket)
    }

    async fn websocket(&mut self, path: &str) -> WebSocket {
        let (head, websocket) = self.open(connect(path)).await;
        assert_eq!(head.status, 200, "{head:?}");
        websocket
    }
}

/// An extended CONNECT for a WebSocket.
fn connect(path: &str) -> Request<()> {
    let request = Request::connect(format!("http://a.test{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    request.body(()).expect("valid")
}

/// A stream that is a WebSocket.
struct WebSocket {
    outgoing: SendStream<Bytes>,
    incoming: RecvStream,
    received: Vec<u8>,
}

impl WebSocket {
    /// Sends bytes as the payload of a frame of DATA, or of several.
    async fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.outgoing.reserve_capacity(bytes.len());
            let room = match self.outgoing.capacity() {
                0 => {
                    let more = std::future::poll_fn(|cx| self.outgoing.poll_capacity(cx)).await;
                    more.expect("a stream").expect("room")
                }
                room => room,
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let data = Bytes::copy_from_slice(now);
            self.outgoing.send_data(data, false).expect("it is open");
            bytes = later;
        }
    }

    fn finish_sending(&mut self) {
        self.outgoing
            .send_data(Bytes::new(), true)
            .expect("it is open");
    }

    /// Whether bytes came before the end of the stream.
    async fn read_more(&mut self) -> Result<bool, h2::Error> {
        let Some(data) = self.incoming.data().await.transpose()? else {
            return Ok(false);
        };
        let _ = self.incoming.flow_control().release_capacity(data.len());
        self.received.extend(data);
        Ok(true)
    }

    async fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            let more = self.read_more().await.expect("the stream is there");
            assert!(more, "end of stream in {:?}", self.received);
        }
        self.received.drain(..length).collect()
    }

    /// Until END_STREAM.
    async fn read_to_end(&mut self) -> Result<Vec<u8>, h2::Error> {
        while self.read_more().await? {}
        Ok(std::mem::take(&mut self.received))
    }

    async fn assert_echoes(&mut self, message: &str) {
        self.send(&text(message)).await;
        let length = u8::try_from(message.len()).expect("short");
        let expected = [&[0x81, length], message.as_bytes()].concat();
        assert_eq!(self.read_exactly(expected.len()).await, expected);
    }
}

const CLOSE_1000: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

#[test]
fn a_stream_is_a_websocket() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut websocket = connection.websocket("/echo").await;
        websocket.assert_echoes("hello").await;
        // What HTTP/2 makes pieces of is of no meaning to frames.
        for byte in text("piece by piece") {
            websocket.send(&[byte]).await;
        }
        assert_eq!(websocket.read_exactly(16).await, b"\x81\x0epiece by piece");
        websocket
            .send(&[text("two"), text("at once")].concat())
            .await;
        assert_eq!(
            websocket.read_exactly(14).await,
            b"\x81\x03two\x81\x07at once"
        );
        websocket.send(CLOSE_1000).await;
        let end = websocket.read_to_end().await.expect("no reset");
        assert_eq!(end, b"\x88\x02\x03\xe8");
    });
    server.wait_for_log("path=\"/echo\" http=\"2\"");
    server.wait_for_log("by=\"peer\" code=1000");
}

/// The head of a handshake, as a request of the crate `http`.
fn request_of(vector: &HandshakeVector) -> Request<()> {
    let head = vector.parse_http2();
    // Without an authority there is no place for a scheme in `http`, and a request must have one.
    let mut request = Request::builder().method(&*head.method).uri(format!(
        "http://{}{}",
        head.authority.unwrap_or_default(),
        head.path
    ));
    if let Some(protocol) = head.protocol {
        request = request.extension(Protocol::from(&*protocol));
    }
    for (name, value) in head.fields {
        request = request.header(name, value);
    }
    request.body(()).expect("valid")
}

#[test]
fn the_vectors_of_handshakes() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let vectors = vectors::http2_handshakes();
        let has_authority = |vector: &&HandshakeVector| vector.parse_http2().authority.is_some();
        for vector in vectors.iter().filter(has_authority) {
            let request = request_of(vector);
            let ends = request.method() != "CONNECT";
            let (response, _stream) = connection.send(request, ends).await;
            let response = response
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            let fields: Vec<_> = response.headers().iter().collect();
            let fields = fields
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
            vector.check(response.status().as_u16(), &fields.collect::<Vec<_>>());
        }
    });
}

#[test]
fn streams_are_independent() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut first = connection.websocket("/echo").await;
        let mut second = connection.websocket("/echo").await;
        for round in 0..100 {
            first.send(&text(&format!("first {round}"))).await;
            second.assert_echoes(&format!("second {round}")).await;
            let expected = text(&format!("first {round}"));
            let received = first.read_exactly(expected.len() - 4).await;
            assert_eq!(received[2..], expected[6..]);
        }
        let (head, page) = connection.get("/").await.expect("an answer");
        assert_eq!(head.status, 200);
        assert!(page.ends_with("</html>\n"));
        drop(first);
        second.assert_echoes("alone").await;
        assert_eq!(connection.requests.current_max_send_streams(), 100);
    });
    server.wait_for_log("messages_received=100");
}

#[test]
fn requests_are_answered_as_in_http_1() {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--http2",
        "--allow-host",
        "a.test",
    ];
    let server = Server::run(&mut runner::wasocket(&arguments));
    run(async {
        let mut connection = Connection::to(server.address).await;
        let head = Request::head("http://a.test/").body(()).expect("valid");
        let (response, _) = connection.send(head, true).await;
        let response = response.await.expect("an answer");
        assert!(response.body().is_end_stream());
        assert!(response.headers().contains_key("content-length"));
        assert!(response.headers().contains_key("date"));

        // A body is read, up to a point; then the client is told to stop.
        for length in [3, 1 << 20, 8 << 20] {
            let post = Request::post("http://a.test/").body(()).expect("valid");
            let (response, outgoing) = connection.send(post, false).await;
            let sending = tokio::spawn(send_body(outgoing, length));
            assert_eq!(response.await.expect("an answer").status(), 405, "{length}");
            sending.await.expect("no panic");
        }

        let mut many = Request::get("http://a.test/").body(()).expect("valid");
        for number in 0..101 {
            let name = http::HeaderName::try_from(format!("a{number}")).expect("a name");
            many.headers_mut()
                .insert(name, http::HeaderValue::from_static("b"));
        }
        let mut large = Request::get("http://a.test/").body(()).expect("valid");
        let value = http::HeaderValue::try_from("x".repeat(70_000)).expect("a value");
        large.headers_mut().insert("a", value);
        let long = format!("http://a.test/{}", "x".repeat(9_000));
        let other = Request::get("http://b.test/").body(()).expect("valid");
        for (request, status) in [
            (many, 431),
            (large, 431),
            (Request::get(long).body(()).expect("valid"), 414),
            (other, 421),
            (
                Request::connect("http://b.test/echo")
                    .extension(Protocol::from_static("websocket"))
                    .body(())
                    .expect("valid"),
                421,
            ),
        ] {
            let (response, _) = connection.send(request, true).await;
            assert_eq!(response.await.expect("an answer").status(), status);
        }
        connection
            .websocket("/echo")
            .await
            .assert_echoes("on")
            .await;
    });
}

/// Until the server wants no more.
async fn send_body(mut outgoing: SendStream<Bytes>, length: usize) {
    let mut left = length;
    while left > 0 {
        outgoing.reserve_capacity(left.min(16_384));
        match std::future::poll_fn(|cx| outgoing.poll_capacity(cx)).await {
            Some(Ok(room)) => {
                let now = room.min(left);
                left -= now;
                if outgoing
                    .send_data(vec![b'x'; now].into(), left == 0)
                    .is_err()
                {
                    return;
                }
            }
            _ => return,
        }
    }
}

#[test]
fn a_raw_takeover_needs_http_1() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let error = connection.get("/hijack").await.expect_err("no answer");
        assert_eq!(error.reason(), Some(Reason::HTTP_1_1_REQUIRED));
        connection
            .websocket("/echo")
            .await
            .assert_echoes("on")
            .await;
    });
    server.wait_for_log("path=\"/hijack\" http=\"2\" reset=\"HTTP_1_1_REQUIRED\"");

    let faults = faults(&[]);
    run(async {
        let mut connection = Connection::to(faults.address).await;
        let (response, _stream) = connection.send(connect("/raw"), false).await;
        let error = response.await.expect_err("no answer");
        assert_eq!(error.reason(), Some(Reason::HTTP_1_1_REQUIRED));
        connection.websocket("/").await.assert_echoes("on").await;
    });

    // curl does what the code asks for.
    let url = format!("http://{}/hijack", server.address);
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--http2-prior-knowledge",
        "--http0.9",
        "--max-time",
        "8",
    ]);
    let curl = curl.arg(url).stdout(std::process::Stdio::piped()).spawn();
    let mut curl = curl.expect("curl runs");
    let mut greeting = [0; 10];
    let output = curl.stdout.as_mut().expect("piped");
    output.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(&greeting, b"Now we're ");
    curl.kill().expect("it is ours");
    curl.wait().expect("it is ours");
}

#[test]
fn a_reset_is_the_loss_of_the_socket() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut lost = connection.websocket("/echo").await;
        lost.assert_echoes("first").await;
        lost.outgoing.send_reset(Reason::CANCEL);
        let mut other = connection.websocket("/echo").await;
        other.assert_echoes("second").await;
        // END_STREAM is the end of the stream, and not the loss of it.
        other.finish_sending();
        let end = other.read_to_end().await.expect("no reset");
        assert_eq!(end, b"");
    });
    server.wait_for_log("stream no longer needed");
    server.wait_for_log("code=1006");
}

/// What is unsent is the session's, and a client that takes nothing is given up; but only on its stream.
#[test]
fn flow_control_holds_a_flood_back() {
    let server = faults(&["--send-timeout", "1", "--verbose"]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut deaf = connection.websocket("/flood").await;
        let mut other = connection.websocket("/").await;
        deaf.send(&text("go")).await;
        let mut rounds = 0;
        while !server.log().contains("takes nothing") {
            other.assert_echoes("served").await;
            rounds += 1;
            sleep(Duration::from_millis(10)).await;
        }
        assert!(rounds > 10, "{rounds}");
        let end = deaf.read_to_end().await.expect_err("a reset");
        assert_eq!(end.reason(), Some(Reason::CANCEL));
        other.assert_echoes("after").await;
    });
}

#[test]
fn a_guest_that_dies_says_farewell_on_its_streams() {
    let server = faults(&["--connections-per-instance", "1"]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut victim = connection.websocket("/").await;
        let mut other = connection.websocket("/").await;
        victim.send(&text("trap")).await;
        let end = victim.read_to_end().await.expect("no reset");
        assert_eq!(end, b"\x88\x02\x03\xf3");
        other.assert_echoes("another instance").await;
        for (path, status) in [("/trap", 500), ("/open", 500), ("/bad-field", 500)] {
            let (head, _) = connection.open(connect(path)).await;
            assert_eq!(head.status, status, "{path}");
        }
        other.assert_echoes("still").await;
    });
}

#[test]
fn streams_count_as_connections() {
    let server = serve(&["--max-connections-per-address", "3"]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let first = connection.websocket("/echo").await;
        let _second = connection.websocket("/echo").await;
        let (head, _) = connection.open(connect("/echo")).await;
        assert_eq!(head.status, StatusCode::TOO_MANY_REQUESTS);
        drop(first);
        while connection.open(connect("/echo")).await.0.status != 200 {
            sleep(Duration::from_millis(10)).await;
        }
        // Others are requests, as many as there may be.
        assert_eq!(connection.get("/").await.expect("an answer").0.status, 200);
    });

    let server = serve(&["--max-connections", "2"]);
    let mut waiting = None;
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut only = connection.websocket("/echo").await;
        let (head, _) = connection.open(connect("/echo")).await;
        assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
        let mut client = server.connect();
        client.send(&runner::opening_handshake("/echo"));
        only.assert_echoes("served").await;
        assert!(client.has_nothing_to_read());
        waiting = Some(client);
        only.send(CLOSE_1000).await;
        only.read_to_end().await.expect("no reset");
        // Its place is free, and a socket's.
        let client = waiting.take().expect("a client");
        let answered = tokio::task::spawn_blocking(move || read_head(client));
        assert_eq!(answered.await.expect("no panic"), 101);
    });
}

fn read_head(mut client: Client) -> u16 {
    client.read_head().status
}

#[test]
fn it_ends_well() {
    let mut server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut first = connection.websocket("/echo").await;
        let mut second = connection.websocket("/echo").await;
        first.assert_echoes("before").await;
        server.signal("TERM");
        for websocket in [&mut first, &mut second] {
            assert_eq!(websocket.read_exactly(4).await, b"\x88\x02\x03\xe9");
            websocket.send(b"\x88\x82\0\0\0\0\x03\xe9").await;
            assert_eq!(websocket.read_to_end().await.expect("no reset"), b"");
        }
        drop((first, second));
        // GOAWAY, and none but this reason.
        let end = connection.end.await.expect("no panic");
        assert!(end.is_ok(), "{end:?}");
    });
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

/// CVE-2023-44487: whether the resets come with the requests or while the guest thinks.
#[test]
fn who_opens_and_resets_is_sent_away() {
    let hesitates = runner::build_guest("hesitates", "");
    let servers = [
        (serve(&["--verbose"]), Duration::ZERO),
        (
            Server::of(&hesitates, &["--http2", "--verbose"]),
            Duration::from_millis(5),
        ),
    ];
    for (server, delay) in &servers {
        let mut other = server.websocket("/echo");
        run(async {
            let connection = Connection::to(server.address).await;
            while let Ok(mut requests) = connection.requests.clone().ready().await {
                let Ok((_, mut stream)) = requests.send_request(connect("/never"), false) else {
                    break;
                };
                sleep(*delay).await;
                stream.send_reset(Reason::CANCEL);
                tokio::task::yield_now().await;
            }
        });
        server.wait_for_log("excessive load");
        hosts::assert_echoes(&mut other, "served");
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [0, length[0], length[1], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS, without compression.
fn head(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.as_bytes());
        }
    }
    frame(1, flags, stream, &block)
}

/// HEADERS of an extended CONNECT.
fn headers(flags: u8, stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", path),
        ("sec-websocket-version", "13"),
    ];
    head(flags, stream, &fields)
}

/// The kind, the flags and the payload of the next frame.
fn read_frame(client: &mut Client) -> (u8, u8, Vec<u8>) {
    let head = client.read_exactly(9);
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let payload = client.read_exactly(length.try_into().expect("short"));
    (head[3], head[4], payload)
}

/// Writes the same again and again, and reads nothing, until the server has ended the connection. Others are
/// served meanwhile, and the memory does not grow.
fn flood(server: &Server, begin: &[u8], again: &[u8]) {
    flood_from(server, server.connect(), begin, again);
}

/// The same, by who reads what is answered: nothing waits for him.
fn flood_and_read(server: &Server, begin: &[u8], again: &[u8]) {
    let attacker = server.connect();
    let mut answers = attacker.stream.try_clone().expect("a copy");
    thread::scope(|scope| {
        // It ends with the connection, however that ends.
        scope.spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        flood_from(server, attacker, begin, again);
    });
}

fn flood_from(server: &Server, mut attacker: Client, begin: &[u8], again: &[u8]) {
    let mut other = server.websocket("/echo");
    let before = server.memory();
    attacker.send(&[PREFACE, begin].concat());
    let many = again.repeat(65_536 / again.len());
    let wait = Some(Duration::from_millis(100));
    attacker.stream.set_write_timeout(wait).expect("a time");
    let start = Instant::now();
    let mut rest: &[u8] = &[];
    loop {
        if rest.is_empty() {
            rest = &many;
        }
        match attacker.stream.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        hosts::assert_echoes(&mut other, "served");
        assert!(start.elapsed() < 3 * PATIENCE, "the attacker stays");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

/// CVE-2024-27316.
#[test]
fn a_head_does_not_go_on_for_ever() {
    let server = serve(&[]);
    flood(&server, &headers(0, 1, "/echo"), &frame(9, 0, 1, &[0; 64]));
    flood(&server, &headers(0, 1, "/echo"), &frame(9, 0, 1, &[]));
}

/// CVE-2019-9512, CVE-2019-9513, CVE-2019-9515, CVE-2019-9518: whether he reads the answers or not, who sends
/// nothing but frames without a use is sent away.
#[test]
fn floods_of_frames_come_to_an_end() {
    let stream = headers(4, 1, "/echo");
    let kinds = [
        ("PING", frame(6, 0, 0, &[0; 8]), &[][..]),
        ("PING that answers none", frame(6, 1, 0, &[0; 8]), &[]),
        ("SETTINGS", frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]), &[]),
        ("PRIORITY", frame(2, 0, 3, &[0; 5]), &[]),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1]), &[]),
        ("unknown", frame(0xfe, 0, 0, &[0; 8]), &[]),
        ("empty DATA", frame(0, 0, 1, &[]), &stream),
        ("empty DATA, padded", frame(0, 8, 1, &[0]), &stream),
    ];
    for (kind, again, begin) in kinds {
        for flood in [flood, flood_and_read] {
            let server = serve(&["--verbose", "--admin", "127.0.0.1:0"]);
            flood(&server, begin, &again);
            server.wait_for_log("excessive load");
            // What is given up by h2 is not ours to count.
            if !kind.starts_with("empty DATA") {
                wait_for_metric(&admin(&server), "wasocket_http2_floods_total", 1);
            }
            let lines = server.log().lines().count();
            assert!(lines < 50, "{kind}: {lines} lines");
        }
    }
}

/// Windows that are opened anew for all that comes are no flood, as often as that may be.
#[test]
fn who_acknowledges_what_it_is_sent_stays() {
    let server = serve(&[]);
    let mut client = server.connect();
    client.send(&[PREFACE, &headers(4, 1, "/echo")].concat());
    let acknowledged = [0, 1, 0, 1].map(|stream| frame(8, 0, stream, &[0, 0, 0, 4]));
    let message = frame(0, 0, 1, &text("hello"));
    let round = [acknowledged.concat(), message].concat();
    for _ in 0..2000 {
        client.send(&round);
        while read_frame(&mut client).0 != 0 {}
    }
}

/// More streams than there may be, while the others are thought about: each is refused, and that is answered.
#[test]
fn who_opens_more_streams_than_allowed_is_sent_away() {
    let hesitates = runner::build_guest("hesitates", "");
    let server = Server::of(&hesitates, &["--http2", "--verbose"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attacker = server.connect();
    attacker.send(PREFACE);
    for stream in (1..10_000).step_by(2) {
        attacker.try_send(&headers(4, stream, "/never"));
    }
    server.wait_for_log("excessive load");
    hosts::assert_echoes(&mut other, "served");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    attacker.wait_for_end();
}

/// A window that stays shut: responses wait for as long as a client may take nothing, and the connection ends
/// when nothing goes on on it.
#[test]
fn who_lets_nothing_be_sent_is_let_go() {
    let server = serve(&["--send-timeout", "1", "--head-timeout", "2"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attacker = server.connect();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    attacker.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    attacker.send(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/"),
    ];
    let streams = || (1..=199).step_by(2);
    for stream in streams() {
        attacker.send(&head(5, stream, &fields));
    }
    let mut reset = 0;
    while reset < streams().count() {
        let (kind, ..) = read_frame(&mut attacker);
        assert_ne!(kind, 0, "DATA beyond the window");
        reset += usize::from(kind == 3);
        hosts::assert_echoes(&mut other, "served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    let (goaway, _, payload) = read_frame(&mut attacker);
    assert_eq!((goaway, &payload[4..8]), (7, &[0; 4][..]), "NO_ERROR");
    attacker.wait_for_end();
}

#[test]
fn streams_are_requests_of_their_address() {
    let server = serve(&["--max-requests-per-address", "5"]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut answered = 0;
        loop {
            let (head, text) = connection.get("/").await.expect("an answer");
            match head.status.as_u16() {
                200 => answered += 1,
                status => {
                    assert_eq!(status, 429);
                    assert!(text.contains("too many requests"), "{text}");
                    break;
                }
            }
            assert!(answered < 1000, "all are answered");
        }
    });
}

/// What a frame takes is bounded, too, and not the bytes in it alone. Nobody reads these: the guest still thinks
/// about the requests.
#[test]
fn small_frames_that_are_not_read_do_not_fill_the_memory() {
    let hesitates = runner::build_guest("hesitates", "");
    let server = Server::of(&hesitates, &["--http2"]);
    let streams = || (1..=99u32).step_by(2);
    let begin: Vec<u8> = streams()
        .flat_map(|stream| headers(4, stream, "/never"))
        .collect();
    let again: Vec<u8> = streams()
        .flat_map(|stream| frame(0, 0, stream, b"x"))
        .collect();
    flood(&server, &begin, &again);
}

#[test]
fn who_is_idle_is_let_go() {
    let server = serve(&["--head-timeout", "1"]);
    for begin in [PREFACE, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut idle = server.connect();
        idle.send(begin);
        let received = idle.read_to_end();
        assert_eq!(received[3], 4, "SETTINGS: {received:?}");
    }
}

/// A client of HTTP/1.1 becomes one of HTTP/2: all of them streams of one connection.
fn over_http2(server: SocketAddr) -> Site {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("possible");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let connection = Connection::to(server).await;
            while let Ok((client, _)) = listener.accept().await {
                let requests = connection.requests.clone();
                // A client that is gone is no failure.
                tokio::spawn(async { drop(translate(client, requests).await) });
            }
        });
    });
    Site::at(address)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Passes one request on, and what is behind it.
async fn translate(mut client: TcpStream, requests: SendRequest<Bytes>) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let (request, head) = loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        if let Some(parsed) = request_in(&bytes)? {
            break parsed;
        }
    };
    let is_websocket = request.method() == "CONNECT";
    let mut requests = requests.ready().await?;
    let (response, mut outgoing) = requests.send_request(request, !is_websocket)?;
    let residual = bytes.split_off(head);
    if !residual.is_empty() {
        outgoing.send_data(residual.into(), false)?;
    }
    let (head, incoming) = response.await?.into_parts();
    client.write_all(&head_of(&head)).await?;
    let (mut from, mut to) = client.into_split();
    let up = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        let mut has_more = is_websocket;
        while has_more {
            let length = from.read(&mut buffer).await?;
            has_more = length > 0;
            outgoing.send_data(buffer[..length].to_vec().into(), !has_more)?;
        }
        Ok::<_, Failure>((from, outgoing))
    });
    let down = pass_down(incoming, &mut to).await;
    to.shutdown().await?;
    let _kept = up.await;
    down
}

async fn pass_down(
    mut incoming: RecvStream,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> Result<(), Failure> {
    while let Some(data) = incoming.data().await {
        let data = data?;
        to.write_all(&data).await?;
        incoming.flow_control().release_capacity(data.len())?;
    }
    Ok(())
}

/// The request, and the length of its head, when it is complete.
fn request_in(bytes: &[u8]) -> Result<Option<(Request<()>, usize)>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let (method, path) = (
        head.method.unwrap_or_default(),
        head.path.unwrap_or_default(),
    );
    let of_connection = ["host", "upgrade", "connection", "sec-websocket-key"];
    let is_upgrade = |name: &str| name.eq_ignore_ascii_case("upgrade");
    let is_websocket = head.headers.iter().any(|field| is_upgrade(field.name));
    let mut request = Request::builder()
        .method(if is_websocket { "CONNECT" } else { method })
        .uri(format!("http://a.test{path}"));
    if is_websocket {
        request = request.extension(Protocol::from_static("websocket"));
    }
    for field in head.headers.iter() {
        if !of_connection.contains(&&*field.name.to_ascii_lowercase()) {
            request = request.header(field.name, field.value);
        }
    }
    Ok(Some((request.body(())?, length)))
}

fn head_of(head: &http::response::Parts) -> Vec<u8> {
    let status = match head.status.as_u16() {
        200 if !head.headers.contains_key("content-length") => 101,
        status => status,
    };
    let mut bytes = format!("HTTP/1.1 {status} x\r\n").into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

/// What is said on a socket is said on a stream.
#[test]
fn what_every_host_does_on_streams() {
    let rows = [
        "the vectors of frames",
        "the vectors of frames, behind the request head",
        "byte by byte",
        "a slow reader gets all of a response that closes",
        "a peer that does not answer pings is given up",
    ];
    let run = |table: &[apps::Behaviour], site: &Site| {
        let own = table.iter().filter(|(name, _)| rows.contains(name));
        let own: Vec<_> = own.copied().collect();
        assert!(own.len() >= 2);
        apps::run("HTTP/2", &own, site, &[]);
    };
    let server = serve(&[]);
    run(hosts::DEFAULT_APP, &over_http2(server.address));
    let server = faults(&[]);
    run(hosts::FAULTS, &over_http2(server.address));
}

/// HTTP/1.1 is as it is without the option.
#[test]
fn what_every_host_does_beside_http_2() {
    let server = serve(&[]);
    let preface = "the preface of HTTP/2 is none of HTTP/1.1";
    let cannot = [
        ("the vectors of opening handshakes", preface),
        ("nothing behind a refused upgrade is answered", preface),
    ];
    thread::scope(|scope| {
        for row in hosts::DEFAULT_APP {
            let (server, cannot) = (&server, &cannot);
            scope.spawn(move || apps::run("beside HTTP/2", &[*row], server, cannot));
        }
    });
}

/// `wasocket serve` over TLS, with the certificate of the tests.
fn over_tls(options: &[&str]) -> Server {
    let file = |name: &str| root().join("tests/tls").join(name);
    let mut command = runner::wasocket(&["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--tls-cert").arg(file("certificate.pem"));
    command.arg("--tls-key").arg(file("key.pem"));
    Server::run(command.args(options))
}

#[test]
fn tls_agrees_on_it() {
    for (options, offered, version) in [
        (&["--http2"][..], "--http2", "HTTP/2 200"),
        (&["--http2"], "--http1.1", "HTTP/1.1 200"),
        (&[], "--http2", "HTTP/1.1 200"),
    ] {
        let server = over_tls(options);
        let url = format!("https://localhost:{}/", server.address.port());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", offered, "--cacert"]);
        let output = curl
            .arg(root().join("tests/tls/certificate.pem"))
            .arg(url)
            .output()
            .expect("curl runs");
        let page = String::from_utf8_lossy(&output.stdout);
        assert!(page.starts_with(version), "{options:?}: {output:?}");
    }
}

/// The page of the default app, whose WebSockets a browser then opens on the connection that it came by.
#[test]
fn chromium_opens_streams() {
    let server = over_tls(&["--http2"]);
    server.assert_serves("browser", "wss");
    let log = server.log();
    let ended: Vec<_> = log.lines().filter(|line| line.contains("ended ")).collect();
    assert!(ended.len() >= 2, "{log}");
    assert!(
        ended.iter().all(|line| line.contains("http=\"2\"")),
        "{log}"
    );
}
