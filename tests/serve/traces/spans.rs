//! The spans of connections and of requests.

use support::{Server, opening_handshake, wasocket};

use super::collector::Collector;
use super::otlp::{assert_has, attribute};
use super::stop;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_connection_is_a_span_in_the_clients_trace() {
    let collector = Collector::start();
    let server = Server::with_options(&["--otlp-endpoint", &collector.url]);
    let mut client = server.connect();
    let handshake = String::from_utf8(opening_handshake("/echo?token=secret")).expect("text");
    let parent = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\ntracestate: a=1\r\n\r\n");
    client.send(
        handshake
            .replacen("\r\n\r\n", &format!("\r\n{parent}"), 1)
            .as_bytes(),
    );
    assert_eq!(client.read_head().status, 101);
    client.assert_echoes("hello");
    client.send(b"\x88\x85\0\0\0\0\x03\xe8bye");
    client.read_to_end();
    stop(server);

    let spans = collector.spans();
    let [span] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(span["traceId"], TRACE);
    assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(span["traceState"], "a=1");
    assert_eq!(span["name"], "WebSocket");
    assert_eq!(span["events"][0]["name"], "open");
    assert!(span["status"].is_null(), "{span}");
    assert_has(
        span,
        &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "101"),
            ("url.path", "/echo"),
            ("url.scheme", "http"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.name", "websocket"),
            ("network.protocol.version", "1.1"),
            ("wasocket.received.bytes", "22"),
            ("wasocket.received.messages", "1"),
            ("wasocket.sent.messages", "1"),
            ("wasocket.close.initiator", "peer"),
            ("wasocket.close.code", "1000"),
            ("wasocket.close.reason", "bye"),
        ],
    );
    assert!(!span.to_string().contains("secret"));
}

#[test]
fn a_misdirected_request_is_a_span_in_the_clients_trace() {
    let collector = Collector::start();
    let options = ["--listen", "127.0.0.1:0", "--otlp-endpoint", &collector.url];
    let server = Server::run(wasocket(&["serve"]).args(options));
    let (head, _) = server.request(&format!(
        "GET /elsewhere HTTP/1.1\r\nHost: c.example\r\nConnection: close\r\n\
         traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n"
    ));
    assert_eq!(head.status, 421);
    stop(server);

    let spans = collector.spans();
    let [span] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(span["traceId"], TRACE);
    assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
    let expected = [
        ("http.response.status_code", "421"),
        ("url.path", "/elsewhere"),
    ];
    assert_has(span, &expected);
}

#[test]
fn a_request_is_a_span_unless_its_trace_is_not_recorded() {
    let collector = Collector::start();
    let server = Server::with_options(&["--otlp-endpoint", &collector.url]);
    let ask = |line: &str, fields: &str| {
        let (head, _) = server.request(&format!(
            "{line} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n"
        ));
        head.status
    };
    let skipped = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-00\r\n");
    assert_eq!(ask("GET /skipped", &skipped), 404);
    assert_eq!(ask("GET /missing", ""), 404);
    assert_eq!(ask("BREW /pot", ""), 404);
    // A refused head has neither method nor path.
    assert_eq!(ask("GET /", "Host: b.test\r\n"), 400);
    stop(server);

    let spans = collector.spans();
    let [missing, brew, refused] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(missing["name"], "GET");
    assert!(missing["parentSpanId"].is_null(), "{missing}");
    assert_ne!(missing["traceId"], brew["traceId"]);
    assert_has(
        missing,
        &[
            ("url.path", "/missing"),
            ("http.response.status_code", "404"),
        ],
    );
    assert_eq!(brew["name"], "HTTP");
    assert_has(
        brew,
        &[
            ("http.request.method", "_OTHER"),
            ("http.request.method_original", "BREW"),
        ],
    );
    assert_has(refused, &[("http.response.status_code", "400")]);
    assert_eq!(attribute(refused, "url.path"), None);
}
