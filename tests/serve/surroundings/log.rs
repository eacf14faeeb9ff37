//! A log that cannot be written: a full disk, a closed pipe, a reader that has stalled. Clients notice nothing.

use std::fs::{self, OpenOptions};
use std::io::{PipeReader, Read, pipe};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use support::operator::{get, metric};
use support::{Server, Site, TIMEOUT, temporary_folder};

const LOST: &str = "wasocket_log_lines_lost_total";

/// A server that logs to `log`, and its operator's address, which cannot be read from there.
fn serve(log: impl Into<Stdio>) -> (Server, Site) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let folder = temporary_folder(&format!("log-{}", address.port()));
    let config = folder.join("wasocket.toml");
    fs::write(&config, format!("admin = \"{address}\"\n")).expect("the folder is writable");
    let config = config.to_str().expect("a path in UTF-8");
    let server = Server::logging_to(log, &["--config", config]);
    (server, Site::at(address))
}

/// Has this many lines of more than 1,000 bytes logged.
fn log_lines(server: &Server, count: usize) {
    let mut client = server.connect();
    let target = "x".repeat(1000);
    for _ in 0..count {
        client.send(format!("GET /{target} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes());
        let head = client.read_head();
        assert_eq!(head.status, 404);
        client.read_body(&head);
    }
}

/// Waits for the thread that writes: it counts a line only once it has failed to write it.
fn wait_for_losses(admin: &Site) {
    let start = Instant::now();
    while metric(admin, LOST) == 0 {
        assert!(start.elapsed() < TIMEOUT, "nothing is lost");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the first signal to be handled: signals that come together count once.
fn wait_until_stopping(admin: &Site) {
    let start = Instant::now();
    while get(admin, "/readyz").1 != "stopping\n" {
        assert!(start.elapsed() < TIMEOUT, "it does not stop");
        thread::sleep(Duration::from_millis(10));
    }
}

/// More than the pipe and the queue have room for.
const FLOOD: usize = 2000;

/// Serves as ever, and stops when it is asked to.
fn assert_serves(mut server: Server, admin: &Site) {
    let mut open = server.websocket("/echo");
    open.assert_echoes("before");
    log_lines(&server, 100);
    open.assert_echoes("after");
    assert_eq!(get(admin, "/readyz").0, 200);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_full_disk_loses_only_lines() {
    let full = OpenOptions::new().write(true).open("/dev/full");
    let (server, admin) = serve(full.expect("it exists"));
    log_lines(&server, 1);
    wait_for_losses(&admin);
    assert_serves(server, &admin);
}

#[test]
fn a_closed_pipe_loses_only_lines() {
    let (reader, writer) = pipe().expect("a pipe");
    let (server, admin) = serve(writer);
    drop(reader);
    log_lines(&server, 10);
    wait_for_losses(&admin);
    assert_serves(server, &admin);
}

#[test]
fn a_stalled_reader_loses_only_lines() {
    let (_unread, writer) = pipe().expect("a pipe");
    let (server, admin) = serve(writer);
    log_lines(&server, FLOOD);
    wait_for_losses(&admin);
    assert_serves(server, &admin);
}

/// The second signal ends what the first cannot.
#[test]
fn a_stalled_reader_does_not_hold_up_the_end() {
    let (_unread, writer) = pipe().expect("a pipe");
    let (mut server, admin) = serve(writer);
    let _open = server.websocket("/echo");
    log_lines(&server, FLOOD);
    wait_for_losses(&admin);
    server.signal("TERM");
    wait_until_stopping(&admin);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
}

#[test]
fn a_second_signal_is_the_last_line() {
    let mut server = Server::with_options(&["--shutdown-timeout", "3600"]);
    let _open = server.websocket("/echo");
    server.signal("TERM");
    server.wait_for_log("SIGTERM: stopping");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
    server.wait_for_log("error: SIGTERM again");
}

#[test]
fn lost_lines_are_reported_once_lines_are_written_again() {
    let (reader, writer) = pipe().expect("a pipe");
    // As a parent leaves it that uses the same pipe without blocking.
    rustix::io::ioctl_fionbio(&writer, true).expect("a pipe can do it");
    let (mut server, admin) = serve(writer);
    log_lines(&server, FLOOD);
    let lost = metric(&admin, LOST);
    assert!(lost > 0);
    server.signal("TERM");
    let log = read_to_end(reader);
    assert_eq!(server.wait(), Some(0));
    assert!(
        log.contains(" log lines, which nothing read in time"),
        "{log}"
    );
    assert!(log.contains("SIGTERM: stopping"), "why it ends is written");
    let logged = log.matches("path=\"/xx").count();
    assert!(
        logged < FLOOD && logged as u64 + lost >= FLOOD as u64,
        "{logged} and {lost}"
    );
}

fn read_to_end(mut reader: PipeReader) -> String {
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("UTF-8");
    log
}
