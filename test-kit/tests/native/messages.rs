//! Messages, and what tests expect of them.

use wasocket::{Closed, Disposition, Error, Event, Limits, Message, Request, Upgrade, WebSocket};
use wasocket_test::{Kit, websocket};

use super::{SECOND, echo, failure};

#[test]
fn messages_and_the_close_are_received() {
    let kit = Kit::native(echo);
    let ws = kit.connect(websocket("/"));
    ws.send("text");
    ws.send(&b"\0\xff"[..]);
    ws.ping(b"?");
    assert_eq!(ws.receive(), Message::from("text"));
    ws.assert_binary(b"\0\xff");
    assert_eq!(ws.events(), [Event::Pong(b"?"[..].into())]);
    ws.assert_silent();
    ws.send_frame(0x01, b"frag");
    ws.send_frame(0x80, &[b'm'; 70_000]);
    assert_eq!(ws.text().len(), 70_004);
    ws.close(4001, "enough");
    assert!(matches!(ws.assert_closed(4001), Closed::Handshake(Some(_))));
    assert_eq!(ws.disposition(), Disposition::Close);
    assert!(ws.is_closed() && !ws.is_open());
    assert!(failure(|| ws.send("late")).contains("cannot send: the end (4001)"));
}

#[test]
fn failed_assertions_say_what_was_received() {
    let kit = Kit::native(echo);
    let ws = kit.connect(websocket("/"));
    let told = failure(|| ws.assert_text("a"));
    assert_eq!(
        told,
        "expected text of 1 bytes: \"a\", got nothing; the connection is open"
    );
    ws.send("b");
    let told = failure(|| ws.assert_text("a"));
    assert_eq!(
        told,
        "expected text of 1 bytes: \"a\", got text of 1 bytes: \"b\""
    );
    ws.send("c");
    assert!(failure(|| ws.assert_silent()).ends_with("got text of 1 bytes: \"c\""));
    assert!(failure(|| drop(ws.binary())).contains("a binary message, got text"));
    ws.send_frame(0xff, b"");
    let told = failure(|| drop(ws.receive()));
    assert!(told.contains("got the end (1002)"), "{told}");
}

#[test]
fn unsent_output_holds_up_receiving() {
    let kit = Kit::native(echo);
    let ws = kit.connect(websocket("/"));
    ws.block();
    ws.send("one");
    let unsent = ws.unsent();
    ws.send("two");
    assert_eq!(ws.unsent(), unsent);
    assert!(failure(|| drop(ws.receive())).contains("bytes are unsent"));
    ws.unblock();
    assert_eq!(ws.texts(), ["one", "two"]);
}

#[test]
fn a_paused_connection_receives_nothing() {
    let kit = Kit::native(|request: &Request| {
        Upgrade::new().converse(request, |ws: WebSocket| async move {
            ws.sleep(5 * SECOND).await;
            while let Some(text) = ws.receive::<String>().await? {
                ws.send(text).await?;
            }
            Ok::<(), Error>(())
        })
    });
    let ws = kit.connect(websocket("/"));
    for _ in 0..40 {
        ws.send("x");
    }
    assert_eq!(ws.disposition(), Disposition::Pause);
    assert_eq!(ws.texts().len(), 0);
    kit.pass(5 * SECOND);
    assert_eq!(ws.texts().len(), 40);
}

#[test]
fn the_apps_message_limit_holds() {
    let kit = Kit::native(|request: &Request| {
        Upgrade::new().limits(Limits::for_messages(10)).accept(
            request,
            |ws: &mut wasocket::Connection, message: Message| ws.send(message),
        )
    });
    let ws = kit.connect(websocket("/"));
    ws.send("12345678901");
    ws.assert_closed(1009);
}
