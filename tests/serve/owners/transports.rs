//! Rooms of 40, over everything that a connection can come by.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use support::operator::{admin, get, metric, wait_for_metric};
use support::{Server, TIMEOUT, client_config, temporary_folder, text, tls_file};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::http2_client::{Connection, run};
use crate::member::{Member, assert_meet};
use crate::{moved, rooms, serve};

const MEMBERS: usize = 40;

/// Enough for rooms that share an instance.
const ROOM: [&str; 2] = ["--connections-per-instance", "1000"];

/// Opens rooms of 40 by turns, so that each worker accepts members of each.
fn assert_rooms_meet<S: Read + Write>(connect: impl Fn() -> S) -> Vec<Vec<Member<S>>> {
    let names = ["blue", "red", "green", "yellow", "%C3%A4"];
    let mut rooms: Vec<Vec<_>> = names.iter().map(|_| Vec::new()).collect();
    for _ in 0..MEMBERS {
        for (room, name) in rooms.iter_mut().zip(names) {
            room.push(Member::on(connect(), name));
        }
    }
    for members in &mut rooms {
        assert_meet(members);
    }
    rooms
}

#[test]
fn without_the_option_workers_have_rooms_of_their_own() {
    let options = [&["--workers", "2"], &ROOM[..]].concat();
    let server = Server::serving(&rooms(), &options);
    let mut members: Vec<_> = (0..MEMBERS).map(|_| Member::of(&server, "blue")).collect();
    let most = members.iter_mut().map(Member::count).max();
    assert!(most < Some(MEMBERS as u64), "{most:?}");
}

#[test]
fn http_1() {
    for workers in ["2", "4"] {
        let server = serve(workers, &ROOM);
        let admin = admin(&server);
        let rooms = assert_rooms_meet(|| server.connect().stream);
        let open = rooms.iter().flatten().count() as u64;
        for _ in 0..20 {
            let state = get(&server, "/rooms/blue/state");
            assert_eq!(state, (200, "40".to_owned()));
        }
        assert_eq!(get(&server, "/rooms/bl%75e/state").1, "40");
        let [connections, streams] = moved(&admin);
        assert!(connections > 0 && streams == 0, "{connections} {streams}");
        wait_for_metric(&admin, "wasocket_connections_open", open);
        for (name, value) in [
            ("wasocket_connections_total", open + 21),
            ("wasocket_takeovers_open", open),
            ("wasocket_takeovers_total", open),
            ("wasocket_requests_total{status=\"101\"}", open),
            ("wasocket_requests_total{status=\"200\"}", 21),
        ] {
            assert_eq!(metric(&admin, name), value, "{name}");
        }
        let by_worker = (0..4).map(|worker| {
            let name = format!("wasocket_worker_connections_open{{worker=\"{worker}\"}}");
            metric(&admin, &name)
        });
        let by_worker: Vec<u64> = by_worker.collect();
        assert!(
            by_worker.iter().all(|open| open % MEMBERS as u64 == 0),
            "whole rooms: {by_worker:?}"
        );
        rooms.into_iter().flatten().for_each(Member::leave);
        wait_for_metric(&admin, "wasocket_connections_open", 0);
        wait_for_metric(
            &admin,
            "wasocket_takeovers_ended_total{how=\"closed\"}",
            open,
        );
        let lines = server.log().matches("path=\"/rooms/red\"").count();
        assert_eq!(lines, MEMBERS, "one line for each: {}", server.log());
    }
}

#[test]
fn nothing_moves_with_one_worker() {
    let server = serve("1", &ROOM);
    let mut members: Vec<_> = (0..MEMBERS).map(|_| Member::of(&server, "blue")).collect();
    assert_meet(&mut members);
    assert_eq!(moved(&admin(&server)), [0, 0]);
}

#[test]
fn what_follows_the_head_moves_too() {
    let server = serve("4", &ROOM);
    let mut members = Vec::new();
    for _ in 0..20 {
        let mut client = server.connect();
        let handshake = support::opening_handshake("/rooms/blue");
        let (first, rest) = handshake.split_at(30);
        client.send(first);
        client.send(&[rest, &text("x"), &text("x")].concat());
        assert_eq!(client.read_head().status, 101);
        members.push(client);
    }
    let mut numbers = Vec::new();
    for client in &mut members {
        for _ in 0..2 {
            numbers.push(client.read_text().parse::<u64>().expect("a number"));
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    assert!(moved(&admin(&server))[0] > 0);
}

#[test]
fn unix_sockets() {
    let folder = temporary_folder("owners");
    let path = folder.join("app.sock");
    let place = format!("unix:{}", path.display());
    let options = [&["--listen", &*place], &ROOM[..]].concat();
    let server = serve("4", &options);
    let rooms = assert_rooms_meet(|| {
        let stream = UnixStream::connect(&path).expect("the runner accepts");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        stream
    });
    assert!(moved(&admin(&server))[0] > 0);
    rooms.into_iter().flatten().for_each(Member::leave);
    std::fs::remove_dir_all(folder).expect("the folder");
}

/// A connection over TLS.
fn tls(server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
    let config = client_config(&tls_file("certificate.pem"));
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::clone(&config), name).expect("a client");
    StreamOwned::new(client, server.connect().stream)
}

#[test]
fn over_tls() {
    let files = ["certificate.pem", "key.pem"].map(|name| tls_file(name).display().to_string());
    let tls_options = ["--tls-cert", &*files[0], "--tls-key", &*files[1]];
    let server = serve("4", &[&tls_options, &ROOM[..]].concat());
    let rooms = assert_rooms_meet(|| tls(&server));
    assert!(moved(&admin(&server))[0] > 0);
    rooms.into_iter().flatten().for_each(Member::leave);
}

/// The streams of one connection belong to several workers.
#[test]
fn http_2() {
    let server = serve("4", &[&["--http2"], &ROOM[..]].concat());
    let admin = admin(&server);
    let (names, mut rooms) = (["blue", "red", "green"], [const { Vec::new() }; 3]);
    run(async {
        let mut connections = Vec::new();
        for _ in 0..8 {
            let mut connection = Connection::to(server.address).await;
            for (room, name) in rooms.iter_mut().zip(names) {
                for _ in 0..5 {
                    room.push(connection.websocket(&format!("/rooms/{name}")).await);
                }
            }
            connections.push(connection);
        }
        for members in &mut rooms {
            let mut numbers = Vec::new();
            for member in members {
                member.send(&text("x")).await;
                let start = member.read_exactly(2).await;
                let number = member.read_exactly(start[1].into()).await;
                let number = String::from_utf8(number).expect("digits");
                numbers.push(number.parse::<u64>().expect("a number"));
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
        }
        for connection in &mut connections {
            let (head, state) = connection.get("/rooms/red/state").await.expect("an answer");
            assert_eq!((head.status.as_u16(), &*state), (200, "40"));
        }
        let [connections_moved, streams] = moved(&admin);
        assert!(streams > 0 && connections_moved == 0, "{streams}");
        for (name, value) in [
            ("wasocket_connections_open", 8),
            ("wasocket_takeovers_open", 120),
            ("wasocket_requests_total{status=\"200\"}", 128),
        ] {
            assert_eq!(metric(&admin, name), value, "{name}");
        }
        // Half of them close as WebSockets do, the others with their connection.
        let (closing, gone) = rooms.split_at_mut(1);
        for member in closing.iter_mut().flatten() {
            member.send(b"\x88\x82\0\0\0\0\x03\xe8").await;
            assert_eq!(member.read_exactly(4).await, b"\x88\x02\x03\xe8");
        }
        assert!(!gone.is_empty());
        for connection in connections {
            connection.end.abort();
        }
    });
    drop(rooms);
    wait_for_metric(&admin, "wasocket_connections_open", 0);
    wait_for_metric(&admin, "wasocket_takeovers_open", 0);
    assert_eq!(metric(&admin, "wasocket_takeovers_total"), 120);
    let lines = server.log().matches("path=\"/rooms/blue\"").count();
    assert_eq!(lines, 40, "one line for each: {}", server.log());
}

/// More than the window of a stream holds, on streams that both workers serve.
#[test]
fn streams_keep_their_order_and_their_windows() {
    const MESSAGES: usize = 10;
    let server = serve("2", &[&["--http2"], &ROOM[..]].concat());
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut members = Vec::new();
        for room in 0..8 {
            members.push(connection.websocket(&format!("/rooms/{room}")).await);
        }
        for round in 0..4 {
            for member in &mut members {
                for _ in 0..MESSAGES {
                    member.send(&text(&"x".repeat(2000))).await;
                }
            }
            for member in &mut members {
                for message in 1..=MESSAGES {
                    let start = member.read_exactly(2).await;
                    let number = member.read_exactly(start[1].into()).await;
                    let expected = round * MESSAGES + message;
                    assert_eq!(number, expected.to_string().as_bytes());
                }
            }
        }
    });
    assert!(moved(&admin(&server))[1] > 0);
}
