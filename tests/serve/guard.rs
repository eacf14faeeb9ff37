//! How the runner guards itself and other connections against a component that traps, spins, eats memory,
//! blocks, or returns responses that no host may send. Both kinds of component: without imports, and with the
//! parts of WASI that Rust's `std` imports.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use support::host_behaviours;
use support::{Server, app_behaviours, build_guest, opening_handshake, text};

/// A Close frame with code 1011: the final bytes.
const FINAL_BYTES: &[u8] = b"\x88\x02\x03\xf3";

/// Both kinds of the component `faults`.
fn servers(options: &[&str]) -> [Server; 2] {
    ["bare", ""].map(|features| Server::serving(&build_guest("faults", features), options))
}

#[test]
fn a_fault_ends_only_its_own_instance() {
    // Only one fault is about time; on a busy machine the other guests need more of it.
    for (fault, reason, call_timeout) in [
        ("trap", "unreachable", "10000"),
        ("spin", "100 ms", "100"),
        ("eat", "64 MiB", "10000"),
        ("recurse", "faults::recurse", "10000"),
    ] {
        // A new server for each fault: where a connection is placed depends on the earlier ones.
        let options = [
            "--connections-per-instance",
            "2",
            "--call-timeout",
            call_timeout,
        ];
        for server in servers(&options) {
            let mut faulty = server.websocket("/");
            let mut neighbour = server.websocket("/");
            let mut elsewhere = server.websocket("/");
            neighbour.assert_echoes("before");

            faulty.send(&text(fault));
            assert_eq!(faulty.read_to_end(), FINAL_BYTES, "{fault}");
            assert_eq!(neighbour.read_to_end(), FINAL_BYTES, "{fault}");
            elsewhere.assert_echoes("after");
            let mut fresh = server.websocket("/");
            fresh.assert_echoes("fresh");
            server.wait_for_log(reason);
        }
    }
}

#[test]
fn a_busy_guest_delays_no_other_guest() {
    for server in servers(&["--connections-per-instance", "2", "--call-timeout", "500"]) {
        let mut spinning = server.websocket("/");
        let mut neighbour = server.websocket("/");
        let mut elsewhere = server.websocket("/");
        spinning.send(&text("spin"));
        neighbour.send(&text("never answered"));
        for _ in 0..100 {
            elsewhere.assert_echoes("meanwhile");
        }
        let mut fresh = server.websocket("/");
        fresh.assert_echoes("fresh");
        assert!(
            spinning.has_nothing_to_read(),
            "the others were served first"
        );
        for mut client in [spinning, neighbour] {
            assert_eq!(client.read_to_end(), FINAL_BYTES);
        }
    }
}

#[test]
fn a_long_call_may_succeed() {
    for server in servers(&["--connections-per-instance", "3", "--call-timeout", "60000"]) {
        let mut busy = server.websocket("/");
        let mut neighbour = server.websocket("/");
        busy.send(&text("toil"));
        neighbour.send(&text("afterwards"));
        // The third connection of the instance: it is opened during the call, and lost during its own.
        let mut gone = server.connect();
        gone.send(&opening_handshake("/toil"));
        drop(gone);
        assert_eq!(busy.read_text(), "toil");
        assert_eq!(neighbour.read_text(), "afterwards");
        for client in [&mut busy, &mut neighbour] {
            client.assert_echoes("as before");
        }
        assert!(!server.log().contains("ERROR"), "{}", server.log());
    }
}

/// The time of a call is the CPU time that it uses: on a machine that is busy with other programs and other calls,
/// it takes many times as long.
#[test]
fn a_call_may_take_long_on_a_busy_machine() {
    let component = build_guest("faults", "bare");
    let calm = Server::serving(&component, &["--call-timeout", "60000"]);
    let mut client = calm.websocket("/");
    let begun = Instant::now();
    client.send(&text("toil"));
    assert_eq!(client.read_text(), "toil");
    let alone = begun.elapsed().as_millis();
    let limit = (alone * 3 / 2).to_string();
    let options = ["--connections-per-instance", "1", "--call-timeout", &*limit];
    let server = Server::serving(&component, &options);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut clients = [(); 2].map(|()| server.websocket("/"));
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        for client in &mut clients {
            client.send(&text("toil"));
        }
        let answers = clients.map(|mut client| client.read_exactly(2));
        is_over.store(true, Relaxed);
        assert_eq!(answers, [b"\x81\x04", b"\x81\x04"], "{}", server.log());
    });
}

#[test]
fn the_log_shows_where_a_guest_failed() {
    let [bare, with_std] = servers(&[]);
    for server in [&bare, &with_std] {
        let mut client = server.websocket("/");
        client.send(&text("trap"));
        assert_eq!(client.read_to_end(), FINAL_BYTES);
        server.wait_for_log("faults::panic_for_the_test");
    }
    // `std` writes the reason to stderr.
    with_std.wait_for_log("a panic for the test");
}

#[test]
fn output_before_a_fault_is_sent() {
    for server in servers(&[]) {
        let mut client = server.websocket("/");
        client.send(&text("one"));
        assert_eq!(client.read_exactly(5), b"\x81\x03one");
        client.send(&text("trap"));
        assert_eq!(client.read_to_end(), FINAL_BYTES);
    }
}

#[test]
fn faults_reported_by_the_app_are_logged() {
    for server in servers(&[]) {
        let (head, body) = server.request("GET /failed?x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!((head.status, &*body), (500, "Internal Server Error\n"));
        server.wait_for_log(r#"app error: "what the app says\nof itself""#);
        server.wait_for_log(r#"path="/failed""#);
        let (head, _) = server.request("GET /own-length HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(head.status, 500, "the instance lives on");
    }
}

#[test]
fn a_fault_before_the_response_is_a_500() {
    for server in servers(&["--call-timeout", "300"]) {
        for path in ["/trap", "/spin", "/eat", "/open"] {
            let mut client = server.connect();
            client.send(&opening_handshake(path));
            let head = client.read_head();
            assert_eq!(head.status, 500, "{path}");
            assert!(!client.read_body(&head).contains("wasm"), "{path}");
            assert_eq!(client.read_to_end(), b"", "{path}");
        }
        let mut client = server.websocket("/");
        client.assert_echoes("fresh");
    }
}

#[test]
fn a_guest_that_blocks_is_at_fault() {
    let server = Server::serving(&build_guest("faults", ""), &[]);
    let mut client = server.websocket("/");
    client.send(&text("sleep"));
    assert_eq!(client.read_to_end(), FINAL_BYTES);
    server.wait_for_log("every function must return at once");
}

#[test]
fn output_of_the_guest_is_logged() {
    let server = Server::serving(&build_guest("faults", ""), &[]);
    let mut client = server.websocket("/");
    client.assert_echoes("print");
    server.wait_for_log("printed by the guest");
}

#[test]
fn the_smallest_app_is_served() {
    let server = Server::serving(&build_guest("hello", ""), &[]);
    server.websocket("/anything").assert_echoes("hello");
}

#[test]
fn every_host_behaviour_holds() {
    let server = Server::serving(&build_guest("faults", "bare"), &[]);
    app_behaviours::run("wasocket serve", host_behaviours::FAULTS, &server, &[]);
}

#[test]
fn a_peer_that_stops_reading_is_disconnected() {
    let component = build_guest("faults", "bare");
    host_behaviours::a_peer_that_stops_reading_is_disconnected(|options| {
        Server::serving(&component, options)
    });
}

#[test]
fn decisions_may_take_time_up_to_the_limit() {
    let component = build_guest("pending", "");
    host_behaviours::decisions_may_take_time_up_to_the_limit(|options| {
        Server::serving(&component, options)
    });
}
