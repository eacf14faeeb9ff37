//! Requests, their answers, and raw takeovers.

use wasocket::extension::DeflateOptions;
use wasocket::{HttpVersion, RawHandler, RawSocket, Request, Response, Upgrade, decide};
use wasocket_test::{Answer, Kit, get, request, websocket};

use super::{echo, failure};

#[test]
fn plain_requests_are_answered() {
    let kit = Kit::native(|request: &Request| {
        let text = format!("{} {}\n", request.method, request.target);
        Response::text(200, text).with_field("X-A", "b")
    });
    kit.get("/a?b")
        .assert_status(200)
        .assert_field("x-a", "b")
        .assert_text("GET /a?b\n");
    let response = kit.request(request("HEAD", "/").body(3).secure());
    assert_eq!(
        (response.text(), response.field("X-A")),
        (String::new(), Some("b".into()))
    );

    let told = failure(|| {
        kit.get("/").assert_status(204);
    });
    assert!(
        told.contains("expected status 204, got status 200"),
        "{told}"
    );
    assert!(told.contains("GET /\\n"), "{told}");
    let told = failure(|| drop(kit.connect(websocket("/"))));
    assert!(
        told.contains("expected a WebSocket, got status 200"),
        "{told}"
    );
}

#[test]
fn negotiates_subprotocol_compression_and_origin() {
    let kit = Kit::native(echo);
    let plain = kit.connect(websocket("/"));
    assert_eq!((plain.subprotocol(), plain.is_compressed()), (None, false));
    let offers = websocket("/").subprotocols(&["superchat", "chat"]);
    let full = kit.connect(offers.compression(DeflateOptions::default()));
    assert_eq!(full.subprotocol().as_deref(), Some("chat"));
    assert!(full.is_compressed());
    let long = "again and ".repeat(1000);
    full.send(long.as_str());
    full.assert_text(&long);
    let foreign = websocket("/").origin("https://evil.test");
    let refusal = kit.try_connect(foreign).expect_err("another origin");
    refusal.assert_status(403);
    kit.connect(websocket("/").origin("https://app.test").secure());
}

#[test]
fn raw_takeovers_receive_residual_bytes() {
    struct Lines;
    impl RawHandler for Lines {
        fn open(&mut self, socket: &mut RawSocket) {
            socket.write(b"hi\n");
        }
        fn receive(&mut self, socket: &mut RawSocket, bytes: &[u8]) {
            socket.write(bytes);
        }
    }
    let kit = Kit::native(|_: &Request| wasocket::Answer::takeover(Lines));
    let socket = kit.take_over(get("/").residual(b"early "));
    socket.send_bytes(b"late");
    socket.assert_output(b"hi\nearly late");
    socket.end_of_stream();
    assert!(socket.is_closed());

    let Answer::Response(response) = kit.answer(get("/").version(HttpVersion::Http10)) else {
        panic!("a takeover in HTTP/1.0");
    };
    response.assert_status(501);
    let told = failure(|| drop(kit.answer(request("POST", "/raw").body(1))));
    assert_eq!(
        told,
        "the app breaks the contract: its answer to POST /raw is bad: a request with a body cannot be \
         taken over"
    );
}

#[test]
fn an_answer_may_come_later() {
    let kit = Kit::native(decide(async |request: Request| match request.path() {
        "/in" => Upgrade::new().converse(&request, |ws| async move { ws.send("in").await }),
        "/never" => std::future::pending().await,
        "/fails" => panic!("at the disco"),
        _ => Response::text(401, "Log in first.\n").into(),
    }));
    kit.get("/").assert_status(401);
    kit.connect(websocket("/in")).assert_text("in");
    let fault = kit.attempt(|| kit.get("/fails").assert_status(500).clone());
    assert!(fault.expect_err("a fault").reason.contains("at the disco"));
    let told = failure(|| drop(kit.get("/never")));
    assert!(
        told.contains("it waits before it answers GET /never"),
        "{told}"
    );
}
