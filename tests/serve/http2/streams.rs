//! WebSockets and requests on streams.

use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use super::client::{Connection, connect, run};
use super::{faults, serve};
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, SendStream};
use http::{Request, StatusCode};
use support::{Client, Server, text};
use tokio::time::sleep;
use wasocket_vectors::{self as vectors, HandshakeVector};

const CLOSE_1000: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

#[test]
fn a_stream_is_a_websocket() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut websocket = connection.websocket("/echo").await;
        websocket.assert_echoes("hello").await;
        // DATA frames have no bearing on WebSocket frames.
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

/// The vector's request, in the types of the crate `http`.
fn request_of(vector: &HandshakeVector) -> Request<()> {
    let head = vector.parse_http2();
    // A request must have a scheme, which `http` cannot express without an authority.
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
fn the_http2_handshake_vectors_hold() {
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
fn requests_are_answered_as_over_http_1() {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--http2",
        "--allow-host",
        "a.test",
    ];
    let server = Server::run(&mut support::wasocket(&arguments));
    run(async {
        let mut connection = Connection::to(server.address).await;
        let head = Request::head("http://a.test/").body(()).expect("valid");
        let (response, _) = connection.send(head, true).await;
        let response = response.await.expect("an answer");
        assert!(response.body().is_end_stream());
        assert!(response.headers().contains_key("content-length"));
        assert!(response.headers().contains_key("date"));

        // A body is read up to a limit, after which the client is told to stop.
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

/// Sends a body, until the server wants no more of it.
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

    // curl retries over HTTP/1.1, as the code asks.
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
fn a_reset_stream_is_a_lost_socket() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut lost = connection.websocket("/echo").await;
        lost.assert_echoes("first").await;
        lost.outgoing.send_reset(Reason::CANCEL);
        let mut other = connection.websocket("/echo").await;
        other.assert_echoes("second").await;
        // END_STREAM is the orderly end of the stream, not its loss.
        other.finish_sending();
        let end = other.read_to_end().await.expect("no reset");
        assert_eq!(end, b"");
    });
    server.wait_for_log("stream no longer needed");
    server.wait_for_log("code=1006");
}

/// A client that stops reading is disconnected, but only on that stream.
#[test]
fn flow_control_holds_back_a_flood() {
    let server = faults(&["--send-timeout", "1", "--verbose"]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut deaf = connection.websocket("/flood").await;
        let mut other = connection.websocket("/").await;
        deaf.send(&text("go")).await;
        let mut rounds = 0;
        while !server.log().contains("stopped reading") {
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
fn streams_of_a_failed_guest_get_their_final_bytes() {
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
        // Plain requests do not count as connections.
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
        client.send(&support::opening_handshake("/echo"));
        only.assert_echoes("served").await;
        assert!(client.has_nothing_to_read());
        waiting = Some(client);
        only.send(CLOSE_1000).await;
        only.read_to_end().await.expect("no reset");
        // Its place goes to the waiting socket.
        let client = waiting.take().expect("a client");
        let answered = tokio::task::spawn_blocking(move || read_head(client));
        assert_eq!(answered.await.expect("no panic"), 101);
    });
}

fn read_head(mut client: Client) -> u16 {
    client.read_head().status
}

#[test]
fn shutdown_closes_streams_gracefully() {
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
        // GOAWAY with NO_ERROR.
        let end = connection.end.await.expect("no panic");
        assert!(end.is_ok(), "{end:?}");
    });
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[test]
fn streams_count_towards_the_request_rate() {
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
            assert!(answered < 1000, "none is refused");
        }
    });
}

/// What costs an answer and a line in the log has the same limit as what reaches the guest.
#[test]
fn refused_heads_count_towards_the_request_rate() {
    let server = serve(&["--max-requests-per-address", "5"]);
    let path = "/a".repeat(4500);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut statuses = Vec::new();
        while statuses.last() != Some(&429) {
            let (head, _) = connection.get(&path).await.expect("an answer");
            statuses.push(head.status.as_u16());
            assert!(statuses.len() < 1000, "none is refused");
        }
        assert!(statuses.contains(&414), "{statuses:?}");
    });
    let in_http1 = |_| {
        let mut raw = server.connect();
        raw.send(b"GET / HTTP/1.1\r\nbad\r\n\r\n");
        raw.read_head().status
    };
    assert!((0..100).map(in_http1).any(|status| status == 429));
}

/// RFC 9110 §9.3.6: what follows CONNECT is a tunnel's, so nothing waits for it.
#[test]
fn connect_without_a_protocol_is_refused_at_once() {
    let server = serve(&[]);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let request = Request::connect("a.test:443").body(());
        let (response, _open) = connection.send(request.expect("valid"), false).await;
        let head = response.await.expect("an answer");
        assert_eq!(head.status(), 501);
        connection
            .websocket("/echo")
            .await
            .assert_echoes("others go on")
            .await;
    });
    let mut raw = server.connect();
    raw.send(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(raw.read_head().status, 501);
}
