//! The traces that the running binary sends to an OpenTelemetry collector.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::operator::{admin, wait_for_metric};
use support::{Server, TIMEOUT, opening_handshake, root, text, wasocket};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A collector that keeps what it is sent.
struct Collector {
    url: String,
    requests: Arc<Mutex<Vec<Received>>>,
}

/// A request with spans.
struct Received {
    head: Vec<String>,
    document: Value,
}

const TAKEN: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

impl Collector {
    fn start() -> Self {
        Self::answering(free_port(), &[])
    }

    /// Answers the first requests with these responses, and does not keep them.
    fn answering(listener: TcpListener, first: &'static [&'static str]) -> Self {
        Self::on(listener, "http", first, |stream| Box::new(stream))
    }

    /// Over TLS, with the tests' certificate for localhost.
    fn with_tls() -> Self {
        let file = |name: &str| root().join("tests/tls").join(name);
        let chain = CertificateDer::pem_file_iter(file("certificate.pem")).expect("a file");
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let config = Arc::new(config.expect("a pair"));
        Self::on(free_port(), "https", &[], move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            Box::new(StreamOwned::new(session, stream))
        })
    }

    fn on(
        listener: TcpListener,
        scheme: &str,
        first: &'static [&'static str],
        open: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("bound");
        let requests: Arc<Mutex<Vec<Received>>> = Arc::default();
        let received = Arc::clone(&requests);
        let mut answers = first.iter();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = open(stream.expect("a connection"));
                // A client that does not trust the certificate sends nothing.
                let Some(request) = take(&mut stream) else {
                    continue;
                };
                let answer = answers.next();
                if answer.is_none() {
                    received.lock().expect("no panic").push(request);
                }
                let answer = answer.unwrap_or(&TAKEN);
                stream.write_all(answer.as_bytes()).expect("the answer");
            }
        });
        Self {
            url: format!("{scheme}://localhost:{}", address.port()),
            requests,
        }
    }

    /// All spans so far.
    fn spans(&self) -> Vec<Value> {
        let requests = self.requests.lock().expect("no panic");
        let spans = requests.iter().flat_map(|request| {
            assert_is_otlp(&request.document);
            array(&request.document["resourceSpans"][0]["scopeSpans"][0]["spans"])
        });
        spans.cloned().collect()
    }

    fn wait_for_spans(&self, number: usize) {
        let start = Instant::now();
        while self.spans().len() < number {
            assert!(start.elapsed() < TIMEOUT, "{:?}", self.spans());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A connection to a collector.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// Reads a request as a collector does; `None` if there is none.
fn take(stream: &mut dyn Stream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut head = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    assert_eq!(head.first()?, "POST /v1/traces HTTP/1.1");
    let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
    assert_eq!(field("Content-Type: "), Some("application/json"));
    let length = field("Content-Length: ").expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("the body");
    let document = serde_json::from_slice(&body).expect("JSON");
    Some(Received { head, document })
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().expect("an array")
}

/// The object has no members but these, which its message has in OTLP's protocol definition.
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
            // 64-bit integers are strings.
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

/// The value of an attribute, as a string.
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

const GET: &str = "GET /missing HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

const DROPPED: &str = "wasocket_trace_spans_total{outcome=\"dropped\"}";

/// A server with this collector, and these environment variables.
fn traced(collector: &str, environment: &[(&str, &str)]) -> Server {
    let mut command = support::wasocket(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(["--allow-host", "*", "--admin", "127.0.0.1:0"]);
    command.args(["--otlp-endpoint", collector]);
    Server::run(command.envs(environment.iter().copied()))
}

#[test]
fn spans_the_collector_refuses_are_logged_and_counted() {
    let refused = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let collector = Collector::answering(free_port(), Vec::leak(vec![refused; 2]));
    let server = traced(&collector.url, &[]);
    let admin = admin(&server);
    for least in [1, 2] {
        assert_eq!(server.request(GET).0.status, 404);
        wait_for_metric(&admin, DROPPED, least);
    }
    let log = server.log();
    assert_eq!(log.matches("could not send traces").count(), 1, "{log}");
    assert!(log.contains("/v1/traces: it answers 401"), "{log}");
    server.request(GET);
    server.wait_for_log("sending traces again");
    stop(server);
    assert_eq!(
        collector.spans().len(),
        1,
        "refused spans are not sent again"
    );
}

#[test]
fn an_absent_collector_is_retried() {
    let gone = free_port();
    let port = gone.local_addr().expect("bound").port();
    drop(gone);
    let server = traced(&format!("http://localhost:{port}"), &[]);
    server.request(GET);
    server.wait_for_log("could not send traces");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    let collector = Collector::answering(listener, Vec::leak(vec![busy]));
    collector.wait_for_spans(1);
    server.wait_for_log("sending traces again");
    stop(server);
    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn shutdown_does_not_wait_for_the_retry_delay() {
    let gone = free_port();
    let url = format!("http://{}", gone.local_addr().expect("bound"));
    drop(gone);
    let server = traced(&url, &[]);
    server.request(GET);
    server.wait_for_log("could not send traces");
    stop(server);
}

#[test]
fn a_collector_may_require_tls_and_a_key() {
    let collector = Collector::with_tls();
    let certificate = root().join("tests/tls/certificate.pem");
    let trusted = ("SSL_CERT_FILE", certificate.to_str().expect("a path"));
    let fields = (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "api-key=a%20secret,x-tenant=7",
    );
    let server = traced(&collector.url, &[trusted, fields]);
    server.request(GET);
    collector.wait_for_spans(1);
    stop(server);
    let requests = collector.requests.lock().expect("no panic");
    for line in ["api-key: a secret", "x-tenant: 7"] {
        let head = &requests[0].head;
        assert!(head.iter().any(|own| own == line), "{head:?}");
    }
}

#[test]
fn an_untrusted_collector_is_sent_nothing() {
    let collector = Collector::with_tls();
    let server = traced(
        &collector.url,
        &[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a")],
    );
    server.request(GET);
    server.wait_for_log("could not send traces");
    assert!(server.log().contains("certificate"), "{}", server.log());
    stop(server);
    assert!(collector.spans().is_empty());
}

#[test]
fn an_invalid_collector_url_is_refused() {
    let mut command = support::wasocket(&["serve", "--otlp-endpoint", "ftp://a.test"]);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    for (name, value, said) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere", "expected http://"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "key=%0d",
            "expected NAME=VALUE",
        ),
    ] {
        let mut command = support::wasocket(&["serve"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.test");
        let output = command.env(name, value).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(&format!("{name}: {said}")), "{stderr}");
    }
}
