//! The cost to an echo when a thousand connections of its instance wait for a backend.
//!
//! Prints the time the thousand took with a backend that responds after one second, and the latency of an echo on the
//! same instance, while none of them waits and while all do.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "it is a measurement, not a program"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::backend::listen;
use support::{Client, Server, build_guest, text};

const WAITING: usize = 1000;
const DELAY: Duration = Duration::from_secs(1);
/// The pause between echoes.
const PAUSE: Duration = Duration::from_millis(2);

fn main() {
    let backend = start_backend();
    let allowed = backend.to_string();
    let options = [
        "--connections-per-instance",
        "1001",
        "--allow-http",
        &allowed,
    ];
    let server = Server::serving(&build_guest("outgoing", ""), &options);
    let mut echo = server.websocket("/");
    let mut waiting: Vec<_> = (0..WAITING).map(|_| server.websocket("/")).collect();

    let quiet = latencies(&mut echo, DELAY);
    let start = Instant::now();
    let question = text(&format!("get http://{backend}/"));
    for client in &mut waiting {
        client.send(&question);
    }
    let asked = start.elapsed();
    let reader = thread::spawn(move || {
        for client in &mut waiting {
            assert_eq!(client.read_text(), "status 200");
            assert_eq!(client.read_text(), "end");
        }
        start.elapsed()
    });
    let busy = latencies(&mut echo, DELAY);
    let answered = reader.join().expect("all are answered");

    println!(
        "{WAITING} connections of one instance, a backend that takes {} ms",
        DELAY.as_millis()
    );
    println!("  asked within    {:>8.1} ms", millis(asked));
    println!("  answered within {:>8.1} ms", millis(answered));
    println!("an echo on the same instance   p50 us   p99 us   max us   (n)");
    for (name, mut sample) in [("none waits", quiet), ("a thousand ask and wait", busy)] {
        sample.sort();
        let at = |share: f64| micros(sample[((sample.len() - 1) as f64 * share) as usize]);
        println!(
            "  {name:<26} {:>8.0} {:>8.0} {:>8.0}   ({})",
            at(0.5),
            at(0.99),
            at(1.0),
            sample.len()
        );
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The times of consecutive echoes, for this duration.
fn latencies(client: &mut Client, duration: Duration) -> Vec<Duration> {
    let (start, message) = (Instant::now(), text("hello"));
    let mut latencies = Vec::new();
    while start.elapsed() < duration {
        let sent = Instant::now();
        client.send(&message);
        assert_eq!(client.read_text(), "echo hello");
        latencies.push(sent.elapsed());
        thread::sleep(PAUSE);
    }
    latencies
}

fn start_backend() -> SocketAddr {
    let listener = listen();
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut head = [0; 4096];
    let size = stream.read(&mut head).expect("a request");
    assert!(
        head[..size].ends_with(b"\r\n\r\n"),
        "a request in one piece"
    );
    thread::sleep(DELAY);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer).expect("the runner reads");
}
