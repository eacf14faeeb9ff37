//! A connection that carries little: its streams get everything, however long that takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use support::{Site, TIMEOUT, text};

use super::client::{Connection, run};
use super::faults;

/// How long the connection is slow: longer than the send timeout.
const SLOWLY: Duration = Duration::from_millis(2500);

/// Relays one connection to the server, whose bytes it passes on at this rate for a while.
fn narrow_relay(server: Site, rate: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut near, _) = listener.accept().expect("the client connects");
        let mut far = server.connect_narrow().stream;
        let mut requests = near.try_clone().expect("a copy");
        let mut to_server = far.try_clone().expect("a copy");
        thread::spawn(move || std::io::copy(&mut requests, &mut to_server));
        let start = Instant::now();
        let mut passed = 0;
        let mut buffer = vec![0; 65_536];
        loop {
            let passing = start.elapsed().as_millis();
            let allowed = rate * usize::try_from(passing).expect("short") / 1000;
            let most = if start.elapsed() < SLOWLY {
                allowed.saturating_sub(passed).min(buffer.len())
            } else {
                buffer.len()
            };
            if most > 0 {
                match far.read(&mut buffer[..most]) {
                    Ok(length) if length > 0 && near.write_all(&buffer[..length]).is_ok() => {
                        passed += length;
                    }
                    _ => return,
                }
            } else {
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
    address
}

#[test]
fn streams_get_everything_at_any_steady_rate() {
    let server = faults(&["--send-timeout", "1", "--memory", "64"]);
    thread::scope(|scope| {
        for rate in [5_000, 100_000] {
            let address = narrow_relay(*server, rate);
            scope.spawn(move || {
                run(async {
                    let mut connection = Connection::to(address).await;
                    let mut websocket = connection.websocket("/last").await;
                    websocket.send(&text("go")).await;
                    // Three messages and the Close frame.
                    let received = websocket.read_exactly(3 * 200_010 + 4).await;
                    assert!(received.ends_with(b"\x88\x02\x03\xe8"));
                });
            });
        }
    });
    let start = Instant::now();
    while server.log().matches("by=\"app\" code=1000").count() < 2 {
        assert!(start.elapsed() < TIMEOUT, "{}", server.log());
        thread::sleep(Duration::from_millis(10));
    }
}
