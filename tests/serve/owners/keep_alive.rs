//! Connections that send one request after the other, for rooms of several workers.

use support::Server;
use support::operator::{admin, metric, wait_for_metric};

use crate::http2_client::{Connection, run};
use crate::member::{Member, read_number};
use crate::{moved, serve};

const ROOMS: u64 = 30;

fn request(room: u64, body: &str) -> String {
    format!(
        "POST /rooms/{room} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Keeps every room open, so that it keeps its number.
fn members(server: &Server) -> Vec<Member<std::net::TcpStream>> {
    let enter = |room: u64| Member::of(server, &room.to_string());
    (0..ROOMS).map(enter).collect()
}

#[test]
fn a_connection_moves_for_each_request() {
    let server = serve("4", &[]);
    let admin = admin(&server);
    let _members = members(&server);
    let before = moved(&admin)[0];
    let mut client = server.connect();
    for turn in 1..=3 {
        for room in 0..ROOMS {
            client.send(request(room, "a body that is discarded").as_bytes());
            assert_eq!(read_number(&mut client), turn);
            if room % 5 == 0 {
                client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
                let head = client.read_head();
                assert_eq!(client.read_body(&head), "no room\n");
            }
        }
    }
    // All of 30 rooms in a row with one owner would be less likely than one in 10 to the 16.
    assert!(moved(&admin)[0] > before + 3);
    assert_eq!(metric(&admin, "wasocket_connections_total"), ROOMS + 1);
    assert_eq!(
        metric(&admin, "wasocket_requests_total{status=\"200\"}"),
        3 * (ROOMS + ROOMS / 5)
    );
    // The last request of all takes the connection over.
    client.send(&support::opening_handshake("/rooms/7"));
    assert_eq!(client.read_head().status, 101);
    let mut last = Member(client.stream);
    assert_eq!(last.count(), 4);
    last.leave();
    wait_for_metric(&admin, "wasocket_connections_open", ROOMS);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serve("4", &[]);
    let _members = members(&server);
    let mut client = server.connect();
    let mut requests = String::new();
    for turn in 0..3_u64 {
        for room in 0..ROOMS {
            requests += &request(
                room,
                &"b".repeat(usize::try_from(turn * 400).expect("small")),
            );
        }
    }
    client.send(requests.as_bytes());
    for turn in 1..=3 {
        for _ in 0..ROOMS {
            assert_eq!(read_number(&mut client), turn);
        }
    }
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn requests_of_http_2_are_answered_by_their_owners() {
    let server = serve("4", &["--http2"]);
    let _members = members(&server);
    run(async {
        let mut connection = Connection::to(server.address).await;
        for room in 0..ROOMS {
            let path = format!("/rooms/{room}/state");
            let (head, _) = connection.get(&path).await.expect("an answer");
            assert_eq!(head.status.as_u16(), 200);
        }
        let (head, _) = connection.get("/").await.expect("an answer");
        assert_eq!(head.status.as_u16(), 200);
    });
    assert!(moved(&admin(&server))[1] > 0);
}

#[test]
fn heads_that_are_refused_do_not_move() {
    let server = serve("4", &[]);
    for _ in 0..8 {
        let (head, _) = server.request("GET /rooms/blue HTTP/1.1\r\n\r\n");
        assert_eq!(head.status, 400);
    }
    let (head, _) = server.request("GET /rooms/blue/state HTTP/1.0\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.status, 200);
}
