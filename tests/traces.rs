//! The traces that the running binary sends to a collector of OpenTelemetry.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod runner;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use runner::{PATIENCE, Server, opening_handshake, text};
use serde_json::Value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A collector that takes what it is sent.
struct Collector {
    url: String,
    documents: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let documents: Arc<Mutex<Vec<Value>>> = Arc::default();
        let received = Arc::clone(&documents);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let document = take(stream.expect("a connection"));
                received.lock().expect("no panic").push(document);
            }
        });
        Self {
            url: format!("http://{address}"),
            documents,
        }
    }

    /// All spans so far.
    fn spans(&self) -> Vec<Value> {
        let documents = self.documents.lock().expect("no panic");
        let spans = documents.iter().flat_map(|document| {
            assert_is_otlp(document);
            array(&document["resourceSpans"][0]["scopeSpans"][0]["spans"])
        });
        spans.cloned().collect()
    }
}

/// Reads a request as a collector does, and answers it.
fn take(stream: TcpStream) -> Value {
    let mut reader = BufReader::new(&stream);
    let mut head = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    assert_eq!(head[0], "POST /v1/traces HTTP/1.1");
    let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
    assert_eq!(field("Content-Type: "), Some("application/json"));
    let length = field("Content-Length: ").expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("the body");
    (&stream)
        .write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        )
        .expect("the answer");
    serde_json::from_slice(&body).expect("JSON")
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().expect("an array")
}

/// That an object has no other members than these of its message in OTLP's protocol definition.
fn assert_members(value: &Value, members: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("{value}"));
    for name in object.keys() {
        assert!(members.contains(&&**name), "{name} in {value}");
    }
}

fn assert_attributes(value: &Value) {
    for attribute in array(value) {
        assert_members(attribute, &["key", "value"]);
        assert!(attribute["key"].is_string(), "{attribute}");
        let value = attribute["value"].as_object().expect("an object");
        assert_eq!(value.len(), 1, "{attribute}");
        let (kind, value) = value.iter().next().expect("one member");
        match &**kind {
            // 64-bit integers are texts.
            "intValue" => assert!(value.as_str().is_some_and(|it| it.parse::<i64>().is_ok())),
            "stringValue" => assert!(value.is_string()),
            "boolValue" => assert!(value.is_boolean()),
            _ => panic!("{attribute}"),
        }
    }
}

fn assert_is_otlp(document: &Value) {
    assert_members(document, &["resourceSpans"]);
    for resource in array(&document["resourceSpans"]) {
        assert_members(resource, &["resource", "scopeSpans", "schemaUrl"]);
        assert_members(
            &resource["resource"],
            &["attributes", "droppedAttributesCount"],
        );
        assert_attributes(&resource["resource"]["attributes"]);
        for scope in array(&resource["scopeSpans"]) {
            assert_members(scope, &["scope", "spans", "schemaUrl"]);
            assert_members(&scope["scope"], &["name", "version", "attributes"]);
            array(&scope["spans"]).iter().for_each(assert_is_span);
        }
    }
}

fn assert_is_span(span: &Value) {
    let members = [
        "traceId",
        "spanId",
        "traceState",
        "parentSpanId",
        "flags",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "events",
        "links",
        "status",
    ];
    assert_members(span, &members);
    let is_hex = |name: &str, digits: usize| {
        let text = span[name].as_str().unwrap_or_default();
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    assert!(is_hex("traceId", 32) && is_hex("spanId", 16), "{span}");
    assert!(
        span["parentSpanId"].is_null() || is_hex("parentSpanId", 16),
        "{span}"
    );
    assert_eq!(span["kind"], 2);
    assert!(nanos(&span["startTimeUnixNano"]) <= nanos(&span["endTimeUnixNano"]));
    assert_attributes(&span["attributes"]);
    for event in span["events"].as_array().into_iter().flatten() {
        assert_members(event, &["timeUnixNano", "name", "attributes"]);
        assert!(nanos(&event["timeUnixNano"]) <= nanos(&span["endTimeUnixNano"]));
    }
    if !span["status"].is_null() {
        assert_members(&span["status"], &["message", "code"]);
    }
}

fn nanos(value: &Value) -> u64 {
    value.as_str().expect("a text").parse().expect("a number")
}

/// The value of an attribute, as a text.
fn attribute<'a>(span: &'a Value, name: &str) -> Option<&'a str> {
    let attributes = array(&span["attributes"]).iter();
    let mut named = attributes.filter(|attribute| attribute["key"] == name);
    let value = named.next()?["value"].as_object()?.values().next()?;
    value.as_str()
}

fn assert_has(span: &Value, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(attribute(span, name), Some(*value), "{name} in {span}");
    }
}

fn stop(mut server: Server) {
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_connection_is_a_span_in_the_client_s_trace() {
    let collector = Collector::start();
    let server = Server::with(&["--otlp-endpoint", &collector.url]);
    let mut client = server.connect();
    let handshake = String::from_utf8(opening_handshake("/echo?token=secret")).expect("text");
    let parent = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\ntracestate: a=1\r\n\r\n");
    client.send(
        handshake
            .replacen("\r\n\r\n", &format!("\r\n{parent}"), 1)
            .as_bytes(),
    );
    assert_eq!(client.read_head().status, 101);
    client.send(&text("hello"));
    assert_eq!(client.read_text(), "hello");
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
fn a_request_is_a_span_unless_its_trace_is_not_recorded() {
    let collector = Collector::start();
    let server = Server::with(&["--otlp-endpoint", &collector.url]);
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
    // A head that is refused has neither method nor path.
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

#[test]
fn a_collector_that_is_away_costs_a_warning_and_a_counter() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", gone.local_addr().expect("bound"));
    drop(gone);
    let server = Server::with(&["--otlp-endpoint", &url, "--admin", "127.0.0.1:0"]);
    server.wait_for_log("/metrics");
    let log = server.log();
    let (_, rest) = log.split_once("metrics on http://").expect("an address");
    let (admin, _) = rest.split_once('/').expect("an address");
    let admin = runner::Site::at(admin.parse().expect("an address"));
    let get = "GET /missing HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let dropped = |least: u64| {
        let start = Instant::now();
        loop {
            let (_, metrics) = admin.request(&get.replace("missing", "metrics"));
            let name = "wasocket_trace_spans_total{outcome=\"dropped\"} ";
            let value = metrics.lines().find_map(|line| line.strip_prefix(name));
            if value.expect("the metric").parse::<u64>().expect("a number") >= least {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{metrics}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    for least in [1, 2] {
        assert_eq!(server.request(get).0.status, 404);
        dropped(least);
    }
    let log = server.log();
    assert_eq!(log.matches("traces are dropped").count(), 1, "{log}");
    stop(server);
}

#[test]
fn what_is_no_collector_is_refused() {
    let mut command = runner::wasocket(&["serve", "--otlp-endpoint", "https://a.test"]);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let mut command = runner::wasocket(&["serve"]);
    let command = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere");
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("OTEL_EXPORTER_OTLP_ENDPOINT: expected http://"),
        "{said}"
    );
}
