//! Two runners of two workers each: a balancer sends everyone in a room to the same runner, which has one instance for it.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use support::operator::metric;
use support::{Server, Site, build_guest, temporary_folder, text, wasocket};

use crate::admin_of;
use crate::client::{Tls, Visitor};
use crate::proxy::{self, Certificate, Proxy, free_port};

const ROOMS: u64 = 30;
const MEMBERS: u64 = 6;

/// A runner, with the options that the configurations name.
fn runner() -> Server {
    let component = build_guest("rooms", "");
    let mut command = wasocket(&["--verbose", "serve", "--workers", "2"]);
    command.arg(component).args([
        "--instance-by",
        "/rooms/{room}",
        "--connections-per-instance",
        "200",
        "--listen",
        "127.0.0.1:0",
        "--trust",
        "127.0.0.1",
        "--allow-host",
        "chat.example",
        "--admin",
        "127.0.0.1:0",
    ]);
    let server = Server::run(&mut command);
    server.wait_for_log("metrics on ");
    server
}

fn assert_rooms_meet(file: &str, start: impl Fn(&Path, u16, &str) -> Command) {
    let folder = temporary_folder(&format!("proxies-{}", file.replace('.', "-")));
    let certificate = Certificate::new(&folder);
    let runners = [runner(), runner()];
    let mut text = proxy::configuration(file);
    for (from, to) in [
        ("127.0.0.1:1234", runners[0].address.to_string()),
        ("127.0.0.1:1235", runners[1].address.to_string()),
        ("port 9100", format!("port {}", admin_of(&runners[0]))),
        ("port 9101", format!("port {}", admin_of(&runners[1]))),
        (
            "/etc/letsencrypt/live/chat.example",
            folder.display().to_string(),
        ),
        (
            "/etc/haproxy/chat.example.pem",
            certificate.both.display().to_string(),
        ),
    ] {
        text = text.replace(from, &to);
    }
    let port = free_port();
    let proxy = Proxy::start(start(&folder, port, &text), port, &folder);
    let visitor = Visitor::new(port, &certificate.chain);

    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        for room in 0..ROOMS {
            members.push(enter(&visitor, room, &proxy));
        }
    }
    for (index, member) in (0..).zip(&mut members) {
        assert_eq!(count(member), index / ROOMS + 1, "{}", proxy.log());
    }
    for room in 0..ROOMS {
        // As a browser may write it.
        let path = format!("/rooms/%72oom-{room}/state");
        let (mut stream, head) = visitor.ask(&visitor.host(), &path, "Connection: close\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut body = String::new();
        // Some proxies end without TLS's own end.
        let _ = stream.read_to_string(&mut body);
        assert_eq!(body, MEMBERS.to_string());
    }
    let (_, head) = visitor.ask(&visitor.host(), "/", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let open = runners.each_ref().map(|runner| {
        let port: u16 = admin_of(runner).parse().expect("a port");
        let admin = Site::at(([127, 0, 0, 1], port).into());
        metric(&admin, "wasocket_takeovers_open")
    });
    // That one has all rooms is less likely than one in 10 to the 8.
    assert!(open.iter().all(|open| *open > 0), "{open:?}");
    assert!(open.iter().all(|open| *open % MEMBERS == 0), "{open:?}");
    assert_eq!(open.iter().sum::<u64>(), ROOMS * MEMBERS);
    drop(proxy);
    std::fs::remove_dir_all(folder).expect("the folder");
}

fn enter(visitor: &Visitor, room: u64, proxy: &Proxy) -> Tls {
    let origin = format!("https://{}", visitor.host());
    let (websocket, head) = visitor.open(&format!("/rooms/room-{room}"), &origin);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}{}", proxy.log());
    websocket
}

/// Sends a message. Returns how many its room has been sent so far.
fn count(member: &mut Tls) -> u64 {
    member.write_all(&text("x")).expect("it reads");
    let mut answer = [0; 3];
    member.read_exact(&mut answer).expect("a number");
    assert_eq!(answer[..2], [0x81, 1], "one digit");
    u64::from(answer[2] - b'0')
}

#[test]
fn rooms_behind_nginx() {
    assert_rooms_meet("nginx-rooms.conf", |folder, port, text| {
        let site = text.replace("listen 443", &format!("listen 127.0.0.1:{port}"));
        proxy::nginx(folder, "", &format!("http {{\n{site}\n}}"))
    });
}

#[test]
fn rooms_behind_haproxy() {
    assert_rooms_meet("haproxy-rooms.cfg", proxy::haproxy);
}
