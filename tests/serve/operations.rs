//! The operator's view of the running binary: access log, metrics, and health.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::collections::BTreeSet;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::Value;
use support::operator::{admin, get, metric, wait_for_metric};
use support::{Server, TIMEOUT, build_guest, text};

/// The lines of the access log, once there are this many.
fn access(server: &Server, number: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let log = server.log();
        let lines = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let lines: Vec<Value> = lines.filter(|line| line["target"] == "access").collect();
        if lines.len() >= number {
            return lines;
        }
        assert!(start.elapsed() < TIMEOUT, "{number} lines in {log}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn metrics_count_what_happens() {
    let options = [
        "--admin",
        "127.0.0.1:0",
        "--max-connections-per-address",
        "2",
    ];
    let server = Server::with_options(&options);
    let admin = admin(&server);
    for name in [
        "wasocket_connections_total",
        "wasocket_takeovers_total",
        "wasocket_received_bytes_total",
        "wasocket_instances_total",
    ] {
        assert_eq!(metric(&admin, name), 0, "{name}");
    }
    let mut client = server.websocket("/echo");
    client.assert_echoes("hello");
    assert_eq!(get(&server, "/missing").0, 404);
    wait_for_metric(&admin, "wasocket_connections_open", 1);
    let _second = server.connect();
    assert_eq!(server.connect().read_head().status, 429);
    for (name, value) in [
        ("wasocket_connections_total", 3),
        ("wasocket_connections_open", 2),
        (
            "wasocket_connections_denied_total{limit=\"connections\"}",
            1,
        ),
        ("wasocket_requests_total{status=\"101\"}", 1),
        ("wasocket_requests_total{status=\"404\"}", 1),
        ("wasocket_takeovers_open", 1),
        ("wasocket_received_bytes_total", 11),
        ("wasocket_sent_bytes_total", 7),
        ("wasocket_received_messages_total", 0),
        ("wasocket_unsent_bytes", 0),
        ("wasocket_instances", 1),
        ("wasocket_instances_total", 1),
    ] {
        let (_, all) = get(&admin, "/metrics");
        let counted = metric(&admin, name);
        // The response to the handshake is counted with the first output.
        match name {
            "wasocket_sent_bytes_total" => assert!(counted > value, "{name}: {all}"),
            _ => assert_eq!(counted, value, "{name}: {all}"),
        }
    }
    client.send(b"\x88\x82\0\0\0\0\x03\xe8");
    client.read_to_end();
    wait_for_metric(&admin, "wasocket_takeovers_ended_total{how=\"closed\"}", 1);
    for (name, value) in [
        ("wasocket_takeovers_open", 0),
        ("wasocket_received_messages_total", 1),
        ("wasocket_sent_messages_total", 1),
    ] {
        assert_eq!(metric(&admin, name), value, "{name}");
    }
}

#[test]
fn faults_are_counted_by_kind() {
    let component = build_guest("faults", "bare");
    let server = Server::serving(
        &component,
        &["--admin", "127.0.0.1:0", "--call-timeout", "10000"],
    );
    let admin = admin(&server);
    for (fault, reason) in [("trap", "trap"), ("eat", "out_of_memory")] {
        let mut client = server.websocket("/");
        client.send(&text(fault));
        client.read_to_end();
        let name = format!("wasocket_guest_faults_total{{reason=\"{reason}\"}}");
        wait_for_metric(&admin, &name, 1);
    }
    let ended = "wasocket_takeovers_ended_total{how=\"guest_fault\"}";
    wait_for_metric(&admin, ended, 2);
    assert_eq!(metric(&admin, "wasocket_instances_total"), 2);
}

#[test]
fn a_stopping_runner_is_alive_but_not_ready() {
    let mut server = Server::with_options(&["--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    assert_eq!(get(&admin, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(&admin, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(&admin, "/").0, 404);
    assert_eq!(get(&server, "/metrics").0, 404);
    let (head, _) = admin.request("DELETE /metrics HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.status, 405);
    let (head, _) = admin.request("GET /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(head.status, 400);

    let mut client = server.websocket("/echo");
    server.signal("TERM");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xe9");
    assert_eq!(get(&admin, "/healthz").0, 200);
    assert_eq!(get(&admin, "/readyz").0, 503);
    client.send(b"\x88\x82\0\0\0\0\x03\xe9");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn every_connection_and_every_response_is_logged() {
    let server = Server::with_options(&["--log-format", "json"]);
    assert_eq!(get(&server, "/missing?token=secret").0, 404);
    let (head, _) = server.request("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_eq!(head.status, 400);
    let mut client = server.websocket("/echo?token=secret");
    client.assert_echoes("hello");
    client.send(b"\x88\x85\0\0\0\0\x03\xe8bye");
    client.read_to_end();

    let lines = access(&server, 3);
    assert!(!server.log().contains("secret"));
    let [answered, refused, ended] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(answered["message"], "answered");
    assert_eq!(
        (&answered["status"], &answered["path"]),
        (&404.into(), &"/missing".into())
    );
    assert_eq!(answered["method"], "GET");
    assert_eq!(
        (&refused["status"], &refused["path"]),
        (&400.into(), &Value::Null)
    );
    for (name, value) in [
        ("level", Value::from("INFO")),
        ("message", "ended".into()),
        ("path", "/echo".into()),
        ("bytes_received", (11 + 11).into()),
        ("messages_received", 1.into()),
        ("messages_sent", 1.into()),
        ("by", "peer".into()),
        ("code", 1000.into()),
        ("reason", "bye".into()),
        ("error", Value::Null),
    ] {
        assert_eq!(ended[name], value, "{name} in {ended}");
    }
    assert!(ended["duration_ms"].is_u64() && ended["timestamp"].is_string());
    let remote = client.stream.local_addr().expect("connected").to_string();
    assert_eq!(ended["remote"], remote);
}

#[test]
fn connections_cut_off_at_shutdown_are_logged() {
    let mut server = Server::with_options(&["--shutdown-timeout", "0"]);
    let _client = server.websocket("/echo");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    server.wait_for_log("aborted at shutdown");
    assert!(server.log().contains("path=\"/echo\""), "{}", server.log());
}

/// sd_notify(3): a unit of `Type=notify` counts as started after the first message.
#[test]
fn the_service_manager_is_notified() {
    let path = env::temp_dir().join(format!("wasocket-notify-{}", std::process::id()));
    for name in [path.clone(), PathBuf::from(format!("@{}", path.display()))] {
        let socket = match name.to_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&name),
        };
        let socket = UnixDatagram::bind_addr(&socket.expect("a name")).expect("a socket");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time");
        let mut command = support::wasocket(&["serve", "--listen", "127.0.0.1:0"]);
        let mut server = Server::run(command.env("NOTIFY_SOCKET", &name));
        let mut message = [0; 64];
        let length = socket.recv(&mut message).expect("a message");
        assert_eq!(&message[..length], b"READY=1");
        server.signal("TERM");
        let length = socket.recv(&mut message).expect("a message");
        assert_eq!(&message[..length], b"STOPPING=1");
        assert_eq!(server.wait(), Some(0));
    }
    fs::remove_file(path).expect("it is there");
}

#[test]
fn the_shutdown_close_code_can_be_set() {
    let mut server = Server::with_options(&["--shutdown-code", "1012"]);
    let mut client = server.websocket("/echo");
    server.signal("TERM");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    client.send(b"\x88\x82\0\0\0\0\x03\xf4");
    assert_eq!(server.wait(), Some(0));
}

/// The time between requests is not the one for a head, whichever is longer.
#[test]
fn an_idle_connection_ends_after_the_keep_alive_timeout() {
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let idle = |head: &str, keep_alive: &str| {
        let options = ["--head-timeout", head, "--keep-alive-timeout", keep_alive];
        let server = Server::with_options(&options);
        let mut client = server.connect();
        client.send(request);
        let head = client.read_head();
        client.read_body(&head);
        (server, client)
    };
    let (_server, mut client) = idle("60", "1");
    assert_eq!(client.read_to_end(), b"");

    let (_server, mut client) = idle("1", "60");
    thread::sleep(Duration::from_millis(1500));
    client.send(request);
    assert_eq!(client.read_head().status, 200);
}

/// Neither while it serves nor while it stops. `sockets` tests what a hangup reloads.
#[test]
fn a_hangup_ends_nothing() {
    let mut server = Server::start();
    let mut client = server.websocket("/echo");
    server.signal("HUP");
    server.wait_for_log("SIGHUP: there is no certificate to reload");
    client.assert_echoes("still here");
    server.signal("TERM");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xe9");
    server.signal("HUP");
    client.send(b"\x88\x82\0\0\0\0\x03\xe9");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

/// The rules of `promtool check metrics`, and the metrics that every process has.
#[test]
fn metrics_are_valid_for_prometheus() {
    let server = Server::with_options(&["--admin", "127.0.0.1:0", "--max-connections", "100"]);
    let admin = admin(&server);
    assert_eq!(get(&server, "/").0, 200);
    let (_, text) = get(&admin, "/metrics");
    let mut kind = None;
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = rest.split_once(' ');
            let (name, kind) = kind.expect("a kind");
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let base = name.split('{').next();
            assert_eq!(base, kind.map(|(name, _)| name), "{line}");
            assert!(value.parse::<u64>().is_ok(), "{line}");
        }
    }
    assert_eq!(metric(&admin, "wasocket_connections_limit"), 100);
    for name in [
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(metric(&admin, name) > 0, "{name}");
    }
}

#[test]
fn quiet_mode_logs_no_connections() {
    let mut server = Server::with_options(&["--quiet"]);
    assert_eq!(get(&server, "/missing").0, 404);
    server.websocket("/echo");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(server.log(), "");
}

/// A load balancer that polls `/readyz` sends clients elsewhere before connections are refused.
#[test]
fn the_shutdown_delay_gives_load_balancers_time_to_notice() {
    let options = ["--admin", "127.0.0.1:0", "--shutdown-delay", "2"];
    let mut server = Server::with_options(&options);
    let admin = admin(&server);
    let mut open = server.websocket("/echo");
    server.signal("TERM");
    server.wait_for_log("SIGTERM: stopping");
    let (status, reason) = get(&admin, "/readyz");
    assert_eq!((status, reason.trim()), (503, "stopping"));
    server
        .websocket("/echo")
        .assert_echoes("new ones are served");
    open.assert_echoes("as are old ones");
    assert_eq!(open.read_exactly(4), [0x88, 2, 3, 0xe9], "in the end");
    assert_eq!(server.wait(), Some(0));
}
