//! Collectors that refuse, are absent, or must be trusted.

use std::net::TcpListener;

use support::operator::{admin, get, metric, wait_for_metric};
use support::{Server, tls_file};

use super::collector::{Collector, free_port};
use super::stop;

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
    assert!(log.contains("/v1/traces: it answered 401"), "{log}");
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

/// It accepts connections, and never answers.
#[test]
fn a_silent_collector_holds_up_nothing() {
    let silent = free_port();
    let server = traced(
        &format!("http://{}", silent.local_addr().expect("bound")),
        &[],
    );
    let admin = admin(&server);
    let mut open = server.websocket("/echo");
    let mut client = server.connect();
    // More than the queue has room for, and what is being sent.
    for _ in 0..2700 {
        client.send(b"GET /missing HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let head = client.read_head();
        client.read_body(&head);
    }
    assert!(metric(&admin, DROPPED) > 0);
    open.assert_echoes("served");
    assert_eq!(get(&admin, "/readyz").0, 200);
    drop((open, client));
    stop(server);
}

#[test]
fn a_collector_may_require_tls_and_a_key() {
    let collector = Collector::with_tls();
    let certificate = tls_file("certificate.pem");
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
