//! A new version of the component: the WebSockets on streams move to it.

use std::fs;
use std::time::Duration;

use support::operator::{admin, metric};
use support::{Server, build_guest, target_folder, text};
use tokio::time::sleep;

use super::client::{Connection, WebSocket, run};

/// Sends a message whose head is the number that the app expects, and reads the answer's.
async fn is_answered(websocket: &mut WebSocket, number: u8) {
    websocket.send(&text(&format!("{number} e\nhello"))).await;
    hears(websocket, number).await;
}

async fn hears(websocket: &mut WebSocket, number: u8) {
    let expected = [
        &b"\x81\x09"[..],
        format!("{number} {number}\nhello").as_bytes(),
    ]
    .concat();
    assert_eq!(websocket.read_exactly(expected.len()).await, expected);
}

#[test]
fn websockets_on_streams_move_to_a_new_version() {
    let component = fs::read(build_guest("numbered", "")).expect("a component");
    let file = target_folder("http2-swap").join("app.wasm");
    fs::write(&file, &component).expect("written");
    let options = ["--http2", "--watch", "--admin", "127.0.0.1:0"];
    let server = Server::serving(&file, &options);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut streams = vec![];
        for name in 0..5 {
            let mut stream = connection.websocket(&format!("/room?{name}")).await;
            is_answered(&mut stream, 1).await;
            streams.push(stream);
        }
        // One of them is in the middle of a frame.
        let frame = text("2 e\nhello");
        let (head, tail) = frame.split_at(8);
        streams[0].send(head).await;
        // A custom section that has no meaning.
        let next = [&component[..], &[0, 5, 3, b'n', b'o', b'.', 1]].concat();
        fs::write(&file, next).expect("written");
        while !server.log().contains("the new version is served") {
            sleep(Duration::from_millis(10)).await;
        }
        streams[0].send(tail).await;
        hears(&mut streams[0], 2).await;
        for stream in &mut streams[1..] {
            is_answered(stream, 2).await;
        }
        is_answered(&mut streams[0], 3).await;
    });
    assert_eq!(metric(&admin(&server), "wasocket_swap_moved_total"), 5);
}
