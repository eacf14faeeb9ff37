//! The operator's pages of a running server: metrics and health.

use std::thread;
use std::time::{Duration, Instant};

use crate::{Server, Site, TIMEOUT};

/// The operator's address of a server that was started with `--admin`.
pub fn admin(server: &Server) -> Site {
    server.wait_for_log("/metrics");
    let log = server.log();
    let (_, rest) = log.split_once("metrics on http://").expect("an address");
    let (address, _) = rest.split_once('/').expect("an address");
    Site::at(address.parse().expect("an address"))
}

/// Gets a page: its status and its body.
pub fn get(site: &Site, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let (head, body) = site.request(&request);
    (head.status, body)
}

/// The value of a metric; 0 if it is not listed.
pub fn metric(admin: &Site, name: &str) -> u64 {
    let (status, body) = get(admin, "/metrics");
    assert_eq!(status, 200, "{body}");
    let mut lines = body.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// Waits until a metric has this value.
pub fn wait_for_metric(admin: &Site, name: &str, value: u64) {
    let start = Instant::now();
    while metric(admin, name) != value {
        let (_, all) = get(admin, "/metrics");
        assert!(start.elapsed() < TIMEOUT, "{name} is not {value}: {all}");
        thread::sleep(Duration::from_millis(10));
    }
}
