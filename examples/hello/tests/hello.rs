//! The component, in the test kit.

use wasocket_test::{Kit, build, request, websocket};

fn hello() -> Kit {
    Kit::component(build(env!("CARGO_PKG_NAME")))
}

#[test]
fn every_message_comes_back() {
    let kit = hello();
    let ws = kit.connect(websocket("/"));
    ws.send("hello");
    ws.send(&b"\0\x01"[..]);
    ws.assert_text("hello");
    ws.assert_binary(b"\0\x01");
    ws.close(1000, "");
    ws.assert_closed(1000);
}

#[test]
fn plain_requests_are_refused() {
    let kit = hello();
    kit.get("/").assert_status(426);
    kit.request(request("POST", "/")).assert_status(405);
}

#[test]
fn pages_of_other_origins_are_refused() {
    let foreign = websocket("/").origin("https://other.example");
    let refusal = hello().try_connect(foreign);
    assert_eq!(refusal.map_err(|response| response.status).err(), Some(403));
}
