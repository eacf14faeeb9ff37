//! The ends of rooms: a trap, a new version of the component, and that of the runner.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use support::operator::{admin, metric, wait_for_metric};
use support::{Client, Server, TIMEOUT, target_folder, text};

use crate::http2_client::{Connection, run};
use crate::member::{Member, assert_meet};
use crate::{moved, rooms, serve};

/// Members of ten rooms, by turns.
fn enter_ten(server: &Server, each: usize) -> Vec<Member<std::net::TcpStream>> {
    let enter = |number: usize| Member::of(server, &(number % 10).to_string());
    (0..each * 10).map(enter).collect()
}

#[test]
fn a_trap_ends_the_room_and_the_next_member_has_a_new_one() {
    let server = serve("4", &[]);
    let admin = admin(&server);
    let mut members: Vec<_> = (0..20).map(|_| Member::of(&server, "blue")).collect();
    assert_meet(&mut members);
    let mut client = server.websocket("/rooms/blue");
    client.send(&text("trap"));
    client.wait_for_end();
    for member in members {
        let mut client = Client {
            stream: member.0,
            received: Vec::new(),
        };
        client.wait_for_end();
    }
    assert_eq!(
        metric(&admin, "wasocket_guest_faults_total{reason=\"trap\"}"),
        1
    );
    wait_for_metric(&admin, "wasocket_takeovers_open", 0);
    let mut members: Vec<_> = (0..20).map(|_| Member::of(&server, "blue")).collect();
    assert_meet(&mut members);
}

#[test]
fn a_new_version_has_new_rooms() {
    let file = target_folder("owners-watch").join("app.wasm");
    let component = fs::read(rooms()).expect("a component");
    fs::write(&file, &component).expect("written");
    let options = [
        "--workers",
        "4",
        "--instance-by",
        "/rooms/{room}",
        "--watch",
        "--swap-grace",
        "1",
    ];
    let server = Server::serving(&file, &options);
    let mut members: Vec<_> = (0..20).map(|_| Member::of(&server, "blue")).collect();
    assert_meet(&mut members);
    // The same, and a custom section.
    let other = [&component[..], b"\0\x05\x04else"].concat();
    fs::write(&file, other).expect("written");
    wait_for_new_version(&server);
    // While the old members have not left yet.
    let mut new: Vec<_> = (0..20).map(|_| Member::of(&server, "blue")).collect();
    assert_meet(&mut new);
    for member in &mut members {
        member.assert_closed_with(1012);
    }
    members.into_iter().for_each(|member| drop(member.0));
    assert_eq!(new[0].count(), 21);
}

/// Compiling it takes as long as it takes.
fn wait_for_new_version(server: &Server) {
    let start = Instant::now();
    while !server
        .log()
        .contains("the new version is served connections=20")
    {
        assert!(start.elapsed() < 5 * TIMEOUT, "{}", server.log());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_room_drains() {
    let mut server = serve("4", &["--http2"]);
    let mut members = enter_ten(&server, 4);
    let mut idle = server.connect();
    idle.send(b"GET /rooms/1/state HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let head = idle.read_head();
    idle.read_body(&head);
    assert!(moved(&admin(&server))[0] > 0);
    server.signal("TERM");
    for member in &mut members {
        member.assert_closed_with(1001);
    }
    server.wait_for_log("SIGTERM: stopping connections=41");
    assert_eq!(idle.read_to_end(), b"");
    for member in &mut members {
        member
            .0
            .write_all(b"\x88\x82\0\0\0\0\x03\xe9")
            .expect("it reads");
    }
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(
        !server.log().contains("did not end in time"),
        "{}",
        server.log()
    );
}

/// A worker without connections waits for those of the others, whose next request may be its own.
#[test]
fn requests_move_while_the_runner_stops() {
    let mut server = serve("4", &["--shutdown-delay", "1"]);
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    server.signal("TERM");
    server.wait_for_log("SIGTERM: stopping");
    for (room, client) in clients.iter_mut().enumerate() {
        let request = format!("GET /rooms/{room}/state HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.send(request.as_bytes());
        let head = client.read_head();
        assert_eq!(head.status, 200, "{}", server.log());
    }
    drop(clients);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[test]
fn connections_cut_off_at_shutdown_are_counted_once() {
    let mut server = serve("4", &["--shutdown-timeout", "0", "--http2"]);
    let _members = enter_ten(&server, 2);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut streams = Vec::new();
        for room in 0..10 {
            streams.push(connection.websocket(&format!("/rooms/{room}")).await);
        }
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        drop(streams);
    });
    server.wait_for_log("some connections did not end in time connections=21");
    assert_eq!(server.log().matches("aborted at shutdown").count(), 30);
}
