//! Clients that read slowly: what they have acknowledged counts, not what the system has accepted for them.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::io::Read;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use support::app_behaviours::{BINARY, CLOSE};
use support::{Client, Server, build_guest, opening_handshake, text};

/// The rates, in bytes per second.
const RATES: [usize; 4] = [5_000, 20_000, 100_000, 400_000];

/// How long clients read slowly: longer than the send timeout.
const SLOWLY: Duration = Duration::from_millis(2500);

/// How much they read after that: more than the buffers of both systems hold.
const MORE: usize = 200_000;

static FAULTS: LazyLock<PathBuf> = LazyLock::new(|| build_guest("faults", ""));

fn serve() -> Server {
    Server::serving(&FAULTS, &["--send-timeout", "1", "--memory", "64"])
}

/// Reads at this rate for a while.
fn read_slowly(client: &mut Client, rate: usize) {
    let start = Instant::now();
    let mut read = 0;
    while start.elapsed() < SLOWLY {
        let allowed = rate * usize::try_from(start.elapsed().as_millis()).expect("short") / 1000;
        let mut buffer = vec![0; allowed.saturating_sub(read)];
        if !buffer.is_empty() {
            let length = client.stream.read(&mut buffer).expect("it is served");
            assert!(length > 0, "the stream ends after {read} bytes");
            client.received.extend(&buffer[..length]);
            read += length;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Has clients with each of the rates do the same.
fn at_each_rate(server: &Server, request: &[u8], check: fn(&mut Client)) {
    thread::scope(|scope| {
        for rate in RATES {
            scope.spawn(move || {
                let mut client = server.connect_narrow();
                client.send(request);
                read_slowly(&mut client, rate);
                check(&mut client);
            });
        }
    });
}

/// An opening handshake and a message.
fn handshake_and_message(path: &str) -> Vec<u8> {
    [opening_handshake(path), text("go")].concat()
}

/// It goes on being served.
fn reads_on(client: &mut Client) {
    client.read_exactly(client.received.len() + MORE);
}

/// Waits until each of the clients has a line with this.
fn wait_for_lines(server: &Server, part: &str) {
    let start = Instant::now();
    while server.log().matches(part).count() < RATES.len() {
        assert!(start.elapsed() < support::TIMEOUT, "{}", server.log());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn messages_arrive_at_any_steady_rate() {
    at_each_rate(&serve(), &handshake_and_message("/flood"), reads_on);
}

#[test]
fn responses_arrive_at_any_steady_rate() {
    let request = b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n";
    at_each_rate(&serve(), request, reads_on);
}

#[test]
fn the_last_bytes_of_a_raw_takeover_arrive_at_any_steady_rate() {
    let request = b"GET /raw HTTP/1.1\r\nHost: a.test\r\n\r\n.";
    at_each_rate(&serve(), request, reads_on);
}

#[test]
fn what_an_app_sends_before_it_closes_arrives_at_any_steady_rate() {
    let server = serve();
    at_each_rate(&server, &handshake_and_message("/last"), |client| {
        assert_eq!(client.read_head().status, 101);
        for byte in *b"abc" {
            client.assert_frame(BINARY, &[byte; 200_000]);
        }
        client.assert_frame(CLOSE, b"\x03\xe8");
        client.send_frame(CLOSE, b"\x03\xe8");
        assert_eq!(client.read_to_end(), b"");
    });
    wait_for_lines(&server, "by=\"app\" code=1000");
}

/// The ping is behind the message, in the buffers of the system.
#[test]
fn a_ping_behind_a_message_is_not_overdue() {
    let server = serve();
    let mut client = server.connect_narrow();
    client.send(&opening_handshake("/keepalive"));
    assert_eq!(client.read_head().status, 101);
    let message = [7; 150_000];
    client.send_frame(BINARY, &message);
    read_slowly(&mut client, 50_000);
    client.assert_frame(BINARY, &message);
}

#[test]
fn an_end_with_a_loss_is_not_logged_as_clean() {
    let server = serve();
    let mut client = server.connect_narrow();
    client.send(&handshake_and_message("/last"));
    server.wait_for_log("code=1006");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("code=1006"));
    let line = line.expect("a line");
    for part in [
        "by=\"peer\"",
        "bytes of the output were lost",
        "has stopped reading",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_response_that_is_cut_off_has_a_line() {
    let server = serve();
    let mut client = server.connect_narrow();
    client.send(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    server.wait_for_log("cut off");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("cut off"));
    assert!(
        line.is_some_and(|line| line.contains("has stopped reading")),
        "{log}"
    );
}
