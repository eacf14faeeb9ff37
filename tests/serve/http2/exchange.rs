//! A request is answered and logged alike over HTTP/1.1 and HTTP/2.

use std::thread;
use std::time::{Duration, Instant};

use support::{Server, TIMEOUT, opening_handshake};

use super::client::{Connection, connect, run};
use super::{faults, serve};

const FAULT_IN_OPEN: &str = "/open";

fn log_lines(server: &Server, part: &str) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains(part));
    lines.map(str::to_owned).collect()
}

/// The access lines of requests with this status, once both versions have one.
fn access_lines(server: &Server, status: u16) -> [Vec<String>; 2] {
    let status = format!("status={status}");
    let start = Instant::now();
    loop {
        let lines = log_lines(server, &status);
        let of = |version: &str| {
            let lines = lines.iter().filter(|line| line.contains(version));
            lines.cloned().collect::<Vec<_>>()
        };
        let both = ["http=\"1.1\"", "http=\"2\""].map(of);
        if both.iter().all(|lines| !lines.is_empty()) {
            return both;
        }
        assert!(start.elapsed() < TIMEOUT, "{}", server.log());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_fault_in_open_is_a_500_in_the_access_log() {
    let server = faults(&[]);
    let mut client = server.connect();
    client.send(&opening_handshake(FAULT_IN_OPEN));
    assert_eq!(client.read_head().status, 500);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let (head, _) = connection.open(connect(FAULT_IN_OPEN)).await;
        assert_eq!(head.status, 500);
    });
    for lines in access_lines(&server, 500) {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("path=\"/open\""), "{lines:?}");
    }
}

/// Ten lines of an address in ten seconds, so that a flood does not fill the disk.
#[test]
fn the_first_of_too_many_requests_are_in_the_access_log() {
    let server = serve(&["--max-requests-per-address", "1"]);
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for _ in 0..20 {
        let mut client = server.connect_from([127, 0, 0, 2]);
        client.send(request);
        client.read_head();
    }
    run(async {
        let mut connection = Connection::to(server.address).await;
        for _ in 0..50 {
            connection.get("/").await.expect("an answer");
        }
    });
    let reason = "more than 1 per second (--max-requests-per-address)";
    for lines in access_lines(&server, 429) {
        assert!(lines.len() < 20, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains(reason)), "{lines:?}");
    }
}
