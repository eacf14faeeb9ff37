//! Subscribers on streams: what is published reaches them and sockets alike.

use support::{Server, build_guest, text};

use super::client::{Connection, WebSocket, run};

/// Reads a text of up to 65,535 bytes.
async fn read_text(websocket: &mut WebSocket) -> String {
    let head = websocket.read_exactly(2).await;
    let length = match head[1] {
        126 => {
            let length = websocket.read_exactly(2).await;
            u16::from_be_bytes([length[0], length[1]]).into()
        }
        length => length.into(),
    };
    let text = websocket.read_exactly(length).await;
    String::from_utf8(text).expect("text")
}

#[test]
fn streams_and_sockets_hear_each_other() {
    let guest = build_guest("topics", "");
    let server = Server::serving(&guest, &["--http2", "--connections-per-instance", "2"]);
    let mut socket = server.websocket("/room");
    assert!(socket.read_text().starts_with("!subscribed"));
    // Longer than a window, and than a frame.
    let long = "x".repeat(60_000);
    run(async {
        let mut connection = Connection::to(server.address).await;
        let mut streams = vec![];
        for _ in 0..5 {
            let mut stream = connection.websocket("/room").await;
            assert!(read_text(&mut stream).await.starts_with("!subscribed"));
            streams.push(stream);
        }
        for message in ["one", &long, "two"] {
            streams[0].send(&text(message)).await;
        }
        for stream in &mut streams {
            for message in ["one", &long, "two"] {
                assert!(read_text(stream).await == message);
            }
        }
    });
    for message in ["one", &long, "two"] {
        assert!(socket.read_text() == message);
    }
}
