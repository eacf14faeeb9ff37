//! `wasocket serve --workers`: threads that share ports, limits and the operator's pages, and nothing else.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use support::operator::{admin, get, metric, wait_for_metric};
use support::{
    Client, Server, Site, TIMEOUT, build_guest, opening_handshake, read_head, target_folder, text,
    wasocket,
};
use wasocket_host::default_app::DEFAULT_APP;

const CLOSE_1001: [u8; 4] = [0x88, 2, 0x03, 0xe9];
const CLOSE_1012: [u8; 4] = [0x88, 2, 0x03, 0xf4];

/// The client's answer to both.
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

fn websockets(site: &Site, number: usize) -> Vec<Client> {
    (0..number).map(|_| site.websocket("/echo")).collect()
}

/// The number of connections of each worker.
fn by_worker(admin: &Site, workers: usize) -> Vec<u64> {
    let name = |worker| format!("wasocket_worker_connections_open{{worker=\"{worker}\"}}");
    let numbers = (0..workers).map(|worker| metric(admin, &name(worker)));
    numbers.collect()
}

#[test]
fn connections_are_spread_over_workers_and_counted_together() {
    let server = Server::with_options(&["--workers", "2", "--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    let mut clients = websockets(&server, 64);
    for client in &mut clients {
        client.assert_echoes("hello");
    }
    // That all 64 go to one worker is as likely as guessing a key of 63 bits.
    let numbers = by_worker(&admin, 2);
    assert!(numbers.iter().all(|number| *number > 0), "{numbers:?}");
    for (name, value) in [
        ("wasocket_connections_open", 64),
        ("wasocket_connections_total", 64),
        ("wasocket_takeovers_open", 64),
        ("wasocket_requests_total{status=\"101\"}", 64),
        ("wasocket_received_bytes_total", 64 * 11),
    ] {
        assert_eq!(metric(&admin, name), value, "{name}");
    }
    // 32 connections to an instance, which belongs to one worker.
    let instances: u64 = numbers.iter().map(|number| number.div_ceil(32)).sum();
    assert_eq!(metric(&admin, "wasocket_instances"), instances);
    for client in &mut clients {
        client.send(CLOSE);
        client.read_to_end();
    }
    wait_for_metric(&admin, "wasocket_connections_open", 0);
    wait_for_metric(&admin, "wasocket_received_messages_total", 64);
}

#[test]
fn one_worker_is_the_default() {
    let server = Server::with_options(&["--admin", "127.0.0.1:0"]);
    let _clients = websockets(&server, 16);
    assert_eq!(by_worker(&admin(&server), 2), [16, 0]);
    let server = Server::with_options(&["--workers", "auto"]);
    server.websocket("/echo").assert_echoes("hello");
}

#[test]
fn the_connection_limit_spans_workers() {
    let server = Server::with_options(&["--workers", "4", "--max-connections", "8"]);
    let mut clients = websockets(&server, 8);
    let mut further: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut further {
        client.send(&opening_handshake("/echo"));
    }
    server.wait_for_log("--max-connections");
    for client in &mut clients {
        client.assert_echoes("served");
    }
    assert!(further.iter().all(Client::has_nothing_to_read));
    // Room with any worker serves clients that wait with another.
    drop(clients);
    for client in &mut further {
        assert_eq!(client.read_head().status, 101);
        client.assert_echoes("served at last");
    }
}

#[test]
fn limits_per_address_span_workers() {
    let options = ["--workers", "4", "--max-connections-per-address", "5"];
    let server = Server::with_options(&options);
    let mut clients = websockets(&server, 5);
    for _ in 0..20 {
        assert_eq!(server.connect().read_head().status, 429);
    }
    for client in &mut clients {
        client.assert_echoes("served");
    }
    let mut other = server.connect_from([127, 0, 0, 2]);
    other.send(&opening_handshake("/echo"));
    assert_eq!(other.read_head().status, 101);
}

#[test]
fn the_handshake_limit_spans_workers() {
    let options = ["--workers", "4", "--max-handshakes-per-address", "1"];
    let server = Server::with_options(&options);
    let start = Instant::now();
    let admitted = |_: &usize| {
        let mut client = server.connect();
        client.try_send(&opening_handshake("/echo"));
        client.read_head().status == 101
    };
    let admitted = (0..20).filter(admitted).count() as u64;
    let most = start.elapsed().as_secs() + 2;
    assert!((1..=most).contains(&admitted), "{admitted} of {most}");
}

#[test]
fn every_worker_drains() {
    let mut server = Server::with_options(&["--workers", "3", "--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    assert_eq!(get(&admin, "/readyz"), (200, "ready\n".to_owned()));
    let mut clients = websockets(&server, 24);
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.read_exactly(4), CLOSE_1001);
    }
    server.wait_for_log("SIGTERM: stopping connections=24");
    assert_eq!(get(&admin, "/readyz"), (503, "stopping\n".to_owned()));
    assert_eq!(get(&admin, "/healthz").0, 200);
    for client in &mut clients {
        client.send(CLOSE);
        assert_eq!(client.read_to_end(), b"");
    }
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[test]
fn connections_cut_off_at_shutdown_are_counted() {
    let mut server = Server::with_options(&["--workers", "2", "--shutdown-timeout", "0"]);
    let _clients = websockets(&server, 8);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    server.wait_for_log("some connections did not end in time connections=8");
    assert_eq!(server.log().matches("aborted at shutdown").count(), 8);
}

#[test]
fn a_second_signal_stops_every_worker_at_once() {
    let options = ["--workers", "2", "--shutdown-timeout", "3600"];
    let mut server = Server::with_options(&options);
    let _clients = websockets(&server, 8);
    server.signal("TERM");
    server.wait_for_log("stopping");
    server.signal("INT");
    assert_eq!(server.wait(), Some(130));
}

#[test]
fn a_spinning_guest_delays_neither_metrics_nor_shutdown() {
    let component = build_guest("faults", "bare");
    let options = ["--call-timeout", "3600000", "--admin", "127.0.0.1:0"];
    let mut server = Server::serving(&component, &options);
    let admin = admin(&server);
    let mut client = server.websocket("/");
    client.send(&text("spin"));
    assert_eq!(get(&admin, "/healthz").0, 200);
    assert_eq!(metric(&admin, "wasocket_takeovers_open"), 1);
    server.signal("TERM");
    server.wait_for_log("stopping");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
}

#[test]
fn a_port_is_shared_only_among_own_workers() {
    let server = Server::with_options(&["--workers", "2"]);
    let place = server.address.to_string();
    for workers in ["1", "2"] {
        let mut second = wasocket(&["serve", "--listen", &place, "--workers", workers]);
        let output = second.output().expect("the runner runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("is in use"), "{error}");
    }
    for bad in ["-1", "many", "1025"] {
        let argument = format!("--workers={bad}");
        let output = wasocket(&["serve", &argument]).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("expected auto, or a number"), "{error}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn every_worker_reloads_a_changed_file() {
    let file = target_folder("workers-watch").join("app.wasm");
    fs::write(&file, DEFAULT_APP).expect("written");
    let server = Server::serving(&file, &["--watch", "--swap-grace", "0", "--workers", "2"]);
    let mut clients = websockets(&server, 16);
    assert_eq!(get(&server, "/").0, 200);
    let other = fs::read(build_guest("portable-echo", "")).expect("a component");
    fs::write(&file, &other).expect("written");
    server.wait_for_log("the new version is served connections=16");
    for client in &mut clients {
        assert_eq!(client.read_exactly(4), CLOSE_1012);
    }
    for _ in 0..16 {
        assert_eq!(get(&server, "/").0, 404, "the new component has no page");
    }
}

#[test]
fn every_worker_accepts_from_a_unix_socket() {
    let path = target_folder("workers-unix").join("app.sock");
    let place = format!("unix:{}", path.display());
    let options = ["--listen", &place, "--workers", "2"];
    let mut server = Server::with_options(&[&options[..], &["--admin", "127.0.0.1:0"]].concat());
    let admin = admin(&server);
    let connect = || {
        let stream = UnixStream::connect(&path).expect("the runner accepts");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        stream
    };
    let mut clients: Vec<UnixStream> = (0..64).map(|_| connect()).collect();
    for client in &mut clients {
        client.write_all(&opening_handshake("/echo")).expect("read");
    }
    for client in &mut clients {
        read_head(client);
        client.write_all(&text("hello")).expect("read");
        let mut echo = [0; 7];
        client.read_exact(&mut echo).expect("an echo");
        assert_eq!(&echo, b"\x81\x05hello");
    }
    assert_eq!(by_worker(&admin, 2).iter().sum::<u64>(), 64);
    drop(clients);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(!path.exists(), "the socket is left behind");
}
