//! A client of the default app, made with tokio-tungstenite.
//!
//!     tungstenite-peer ws://127.0.0.1:PORT
//!
//! Prints one line per check and stops at the first failure. tungstenite has no permessage-deflate, and fails a
//! connection for RSV1, so it also shows that the server compresses only if asked to.

use std::panic;
use std::process::exit;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const TIME_LIMIT: Duration = Duration::from_secs(50); // the whole run
const EXCHANGE_LIMIT: Duration = Duration::from_secs(10); // one answer
const MESSAGE_LIMIT: usize = 1 << 20; // the server's default

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(server) = std::env::args().nth(1) else {
        eprintln!("usage: tungstenite-peer ws://HOST:PORT");
        exit(2);
    };
    let url = format!("{}/echo", server.trim_end_matches('/'));
    if timeout(TIME_LIMIT, run(&url)).await.is_err() {
        eprintln!("FAILED time limit: not over {TIME_LIMIT:?} after the start");
        exit(1);
    }
}

async fn run(url: &str) {
    macro_rules! check {
        ($name:literal, $check:ident) => {
            // A panic ends the process; its message has the location.
            panic::set_hook(Box::new(|info| eprintln!("FAILED {}: {info}", $name)));
            $check(url).await;
            println!("ok {}", $name);
        };
    }
    check!(
        "every message comes back from /echo, at each payload length encoding",
        echoes_every_length
    );
    check!(
        "a message sent in fragments, empty ones among them, comes back whole",
        echoes_fragments
    );
    check!(
        "a ping is answered with its payload, also between fragments",
        answers_pings
    );
    check!(
        "the server echoes the close code, then drops TCP",
        echoes_close_code
    );
    check!(
        "a close frame without a code is answered without one",
        echoes_close_without_code
    );
    check!(
        "a message over the limit fails the connection with 1009",
        refuses_too_big
    );
    check!(
        "text that is not UTF-8 fails the connection with 1007",
        refuses_invalid_utf8
    );
    check!(
        "1,000 pipelined messages come back in order",
        echoes_in_order
    );
}

async fn echoes_every_length(url: &str) {
    let mut socket = open(url).await;
    for length in [0, 1, 125, 126, 65_535, 65_536, MESSAGE_LIMIT] {
        for message in [
            Message::text("ü".repeat(length / 2)),
            Message::binary(binary_payload(length)),
        ] {
            send(&mut socket, message.clone()).await;
            expect(&mut socket, message).await;
        }
    }
    close(socket, None).await;
}

async fn echoes_fragments(url: &str) {
    let mut socket = open(url).await;
    // The crab is split between fragments.
    let fragments = [
        &b""[..],
        "Grüße, ".as_bytes(),
        b"\xf0",
        b"\x9f\xa6",
        b"",
        b"\x80",
        b"",
    ];
    send_fragments(&mut socket, Data::Text, &fragments).await;
    expect(&mut socket, Message::text("Grüße, 🦀")).await;

    let payload = binary_payload(MESSAGE_LIMIT);
    let fragments: Vec<_> = payload.chunks(10_007).collect();
    send_fragments(&mut socket, Data::Binary, &fragments).await;
    expect(&mut socket, Message::binary(payload.clone())).await;
    close(socket, None).await;
}

async fn answers_pings(url: &str) {
    let mut socket = open(url).await;
    for payload in ["", "still there?", &"x".repeat(125)] {
        send(&mut socket, Message::Ping(payload.to_owned().into())).await;
        expect(&mut socket, Message::Pong(payload.to_owned().into())).await;

        send(
            &mut socket,
            fragment(OpCode::Data(Data::Text), b"first, ", false),
        )
        .await;
        send(&mut socket, Message::Ping(payload.to_owned().into())).await;
        expect(&mut socket, Message::Pong(payload.to_owned().into())).await;
        send(
            &mut socket,
            fragment(OpCode::Data(Data::Continue), b"last", true),
        )
        .await;
        expect(&mut socket, Message::text("first, last")).await;
    }
    close(socket, None).await;
}

async fn echoes_close_code(url: &str) {
    for code in [1000, 1001, 3000, 4999] {
        let frame = CloseFrame {
            code: code.into(),
            reason: "Auf Wiederhören".into(),
        };
        close(open(url).await, Some(frame)).await;
    }
}

async fn echoes_close_without_code(url: &str) {
    close(open(url).await, None).await;
}

async fn refuses_too_big(url: &str) {
    let payload = binary_payload(MESSAGE_LIMIT + 1);

    let mut socket = open(url).await;
    send(&mut socket, Message::binary(payload.clone())).await;
    expect_failure(socket, CloseCode::Size).await;

    let mut socket = open(url).await;
    let fragments: Vec<_> = payload.chunks(MESSAGE_LIMIT).collect();
    send_fragments(&mut socket, Data::Binary, &fragments).await;
    expect_failure(socket, CloseCode::Size).await;
}

async fn refuses_invalid_utf8(url: &str) {
    // A stray byte, an overlong form, a surrogate, and a character that never ends.
    for text in [&b"a\xffb"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xe4\xb8"] {
        let mut socket = open(url).await;
        send(&mut socket, fragment(OpCode::Data(Data::Text), text, true)).await;
        expect_failure(socket, CloseCode::Invalid).await;
    }
}

async fn echoes_in_order(url: &str) {
    let (mut sink, mut stream) = open(url).await.split();
    let message = |i: usize| Message::text(format!("message {i} {}", "x".repeat(i)));
    // Both at once: a peer that reads only after it has written may deadlock with an echo.
    let sending = async {
        for i in 0..1000 {
            sink.send(message(i)).await.expect("the server reads");
        }
    };
    let receiving = async {
        for i in 0..1000 {
            let received = timeout(EXCHANGE_LIMIT, stream.next())
                .await
                .expect("in time");
            let received = received.expect("no end").expect("no error");
            assert_eq!(received, message(i));
        }
    };
    tokio::join!(sending, receiving);
}

async fn open(url: &str) -> Socket {
    let opening = timeout(EXCHANGE_LIMIT, connect_async(url)).await;
    let (socket, response) = opening.expect("in time").expect("the handshake succeeds");
    let extensions = response.headers().get("Sec-WebSocket-Extensions");
    assert_eq!(extensions, None, "nothing was offered");
    socket
}

async fn send(socket: &mut Socket, message: Message) {
    socket.send(message).await.expect("the server reads");
}

async fn send_fragments(socket: &mut Socket, kind: Data, fragments: &[&[u8]]) {
    for (i, payload) in fragments.iter().enumerate() {
        let kind = if i == 0 { kind } else { Data::Continue };
        let is_last = i + 1 == fragments.len();
        send(socket, fragment(OpCode::Data(kind), payload, is_last)).await;
    }
}

fn fragment(opcode: OpCode, payload: &[u8], is_last: bool) -> Message {
    Message::Frame(Frame::message(payload.to_vec(), opcode, is_last))
}

fn binary_payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 % 251) as u8).collect()
}

async fn next(socket: &mut Socket) -> Message {
    let next = timeout(EXCHANGE_LIMIT, socket.next())
        .await
        .expect("in time");
    next.expect("not the end").expect("no error")
}

async fn expect(socket: &mut Socket, message: Message) {
    let received = next(socket).await;
    // Not assert_eq, which would print 1 MiB.
    let (sent, got) = (message.len(), received.len());
    assert!(
        received == message,
        "sent {sent}, received {got} bytes, different"
    );
}

/// Closes the connection; the server's answer has the same code.
async fn close(mut socket: Socket, frame: Option<CloseFrame>) {
    let code = frame.as_ref().map(|frame| frame.code);
    socket.close(frame).await.expect("open until now");
    match next(&mut socket).await {
        Message::Close(answer) => assert_eq!(answer.map(|frame| frame.code), code),
        other => panic!("{} bytes instead of a close frame", other.len()),
    }
    expect_end(socket).await;
}

async fn expect_failure(mut socket: Socket, code: CloseCode) {
    match next(&mut socket).await {
        Message::Close(Some(frame)) => {
            assert_eq!(frame.code, code);
            assert_ne!(frame.reason, "");
        }
        other => panic!("{} bytes instead of a close frame with a code", other.len()),
    }
    // tungstenite answers the close frame while it waits for the next frame.
    expect_end(socket).await;
}

/// RFC 6455 §7.1.1: "the underlying TCP connection, in most normal cases, SHOULD be closed first by
/// the server". No frame comes before, and no reset.
async fn expect_end(mut socket: Socket) {
    let end = timeout(EXCHANGE_LIMIT, socket.next())
        .await
        .expect("in time");
    assert!(end.is_none(), "{end:?} instead of the end");
    let MaybeTlsStream::Plain(mut stream) = socket.into_inner() else {
        unreachable!("ws:, not wss:")
    };
    let end = timeout(EXCHANGE_LIMIT, stream.read(&mut [0])).await;
    assert_eq!(end.expect("in time").expect("no reset"), 0);
}
