//! Instances that keep failing: the runner backs off, and limits the time to start.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::thread;
use std::time::{Duration, Instant};

use support::operator::{admin, get, metric};
use support::{Client, Head, Server, TIMEOUT, build_guest, opening_handshake};

const FAULTS: &str = "wasocket_guest_faults_total{reason=\"trap\"}";
const BEGIN: &str = "instances keep failing";
const END: &str = "instances are stable again";

/// Repeats a handshake until the response has this status.
fn ask_until(server: &Server, path: &str, status: u16) -> (Client, Head) {
    let start = Instant::now();
    loop {
        let mut client = server.connect();
        client.send(&opening_handshake(path));
        let head = client.read_head();
        if head.status == status {
            return (client, head);
        }
        assert!(start.elapsed() < TIMEOUT, "never {status}: {head:?}");
    }
}

#[test]
fn a_component_that_never_starts_is_retried_with_backoff() {
    let component = build_guest("faults", "bare,start-trap");
    let server = Server::serving(&component, &["--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    assert_eq!(get(&admin, "/readyz").0, 200, "no request has failed yet");
    let start = Instant::now();
    // The first failures may be due to a bad request.
    for _ in 0..5 {
        assert_eq!(get(&server, "/").0, 500);
    }
    let (mut refused, head) = ask_until(&server, "/", 503);
    let seconds = head.field("Retry-After").expect("RFC 9110 §10.2.3");
    assert_eq!(seconds, "1");
    assert!(refused.read_body(&head).contains("Try again later"));

    while get(&admin, "/readyz").0 == 200 {
        get(&server, "/");
        assert!(start.elapsed() < TIMEOUT, "{}", server.log());
    }
    for _ in 0..200 {
        get(&server, "/");
    }
    let faults = metric(&admin, FAULTS);
    // The delay after the sixth failure is 10 ms, and doubles with each further one.
    let pauses = start.elapsed().as_millis() / 10 + 1;
    let most = u64::from(6 + pauses.ilog2() + 1);
    assert!((6..=most).contains(&faults), "{faults} of {most}");
    assert_eq!(metric(&admin, "wasocket_instances_total"), 0);
    assert_eq!(server.log().matches(BEGIN).count(), 1);
    assert_eq!(get(&admin, "/healthz").0, 200);
}

#[test]
fn a_stable_instance_clears_the_backoff() {
    let component = build_guest("faults", "bare");
    let options = ["--admin", "127.0.0.1:0", "--connections-per-instance", "1"];
    let server = Server::serving(&component, &options);
    let admin = admin(&server);
    ask_until(&server, "/trap", 503);
    server.wait_for_log(BEGIN);
    let (mut good, _) = ask_until(&server, "/", 101);
    // Long enough to count as stable.
    thread::sleep(Duration::from_secs(1));
    for _ in 0..20 {
        assert_eq!(get(&server, "/trap").0, 500, "{}", server.log());
    }
    server.wait_for_log(END);
    assert_eq!(get(&server, "/").0, 426, "the app answers");
    assert_eq!(metric(&admin, "wasocket_workers_backing_off"), 0);
    assert_eq!(get(&admin, "/readyz").0, 200);
    good.assert_echoes("hello");
}

/// The status of a response to a client at another address.
fn other_asks(server: &Server, path: &str) -> u16 {
    let mut client = server.connect_from([127, 0, 0, 2]);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes());
    client.read_head().status
}

#[test]
fn a_client_that_makes_instances_fail_is_refused_alone() {
    let component = build_guest("faults", "bare");
    let server = Server::serving(&component, &["--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    assert_eq!(other_asks(&server, "/"), 426, "the app answers");
    let (_, head) = ask_until(&server, "/trap", 503);
    assert!(head.field("Retry-After").is_some());
    // Whatever it asks for: the next delay is longer.
    ask_until(&server, "/trap", 500);
    assert_eq!(get(&server, "/").0, 503);
    assert_eq!(other_asks(&server, "/"), 426);
    assert_eq!(get(&admin, "/readyz").0, 200);
    server.wait_for_log("instances keep failing in calls for 127.0.0.1");
    assert!(
        !server.log().contains("within a second"),
        "{}",
        server.log()
    );
}

#[test]
fn a_slow_start_delays_no_other_connection() {
    let component = build_guest("faults", "bare,start-spin");
    let server = Server::serving(&component, &["--start-timeout", "3000"]);
    let mut waits = server.connect();
    waits.send(&opening_handshake("/"));
    for _ in 0..20 {
        // The host refuses this itself, without the guest.
        let mut other = server.connect();
        other.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
        assert_eq!(other.read_head().status, 400);
    }
    assert!(
        waits.has_nothing_to_read(),
        "the others were answered first"
    );
    assert_eq!(waits.read_head().status, 500);
}

#[test]
fn starting_has_a_time_limit() {
    let component = build_guest("faults", "bare,start-spin");
    let options = ["--start-timeout", "30", "--call-timeout", "3600000"];
    let server = Server::serving(&component, &options);
    assert_eq!(get(&server, "/").0, 500);
    server.wait_for_log("the guest used more than 30 ms of CPU time to start (--start-timeout)");
}
