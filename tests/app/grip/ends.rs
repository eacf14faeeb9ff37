//! How connections end.

use super::{App, Publishing as _, accept, ask, closed, events, field, on, opened};
use wasocket::Response;
use wasocket::events::{Action, MAX_STATE};
use wasocket::grip::WireEvent;

#[test]
fn the_app_learns_how_a_connection_ended() {
    for (body, answer, told) in [
        (
            &b"CLOSE 5\r\n\x0f\xa1bye\r\n"[..],
            Some(&b"\x0f\xa1"[..]),
            closed(4001, "bye"),
        ),
        (b"CLOSE\r\n", Some(b""), closed(1005, "")),
        (b"DISCONNECT\r\n", None, closed(1006, "")),
        (
            b"CLOSE 1\r\n\x03\r\n",
            Some(b"\x03\xea"),
            closed(1002, "close code of one byte"),
        ),
        (
            b"CLOSE 2\r\n\x03\xed\r\n",
            Some(b"\x03\xea"),
            closed(1002, "invalid close code 1005"),
        ),
        (
            b"TEXT 1\r\n\xff\r\nTEXT 1\r\nx\r\n",
            Some(b"\x03\xef"),
            closed(1007, "text is not UTF-8"),
        ),
    ] {
        let meta = opened(vec![]);
        // Messages sent after the end have no effect.
        let app = App::answering([vec![Action::Send("x".into())]]);
        let reply = ask(&app, on(&meta), body);
        let answer: Vec<_> = answer.into_iter().map(WireEvent::Close).collect();
        assert_eq!(events(&reply), answer, "{body:?}");
        assert_eq!(app.events(), [told]);
    }
}

#[test]
fn an_app_can_close_the_connection() {
    let meta = opened(vec![]);
    let bye = Action::Close {
        code: 4000,
        reason: "bye".into(),
    };
    let app = App::answering([vec![bye.clone(), bye, Action::Send("x".into())]]);
    let reply = ask(&app, on(&meta), b"TEXT 1\r\na\r\n");
    assert_eq!(events(&reply), [WireEvent::Close(b"\x0f\xa0bye")]);
    // Messages may still arrive; the answers have no effect.
    let meta = field(&reply, "Set-Meta-Wasocket")
        .expect("changed")
        .to_owned();
    let app = App::answering([vec![Action::Send("x".into())]]);
    let reply = ask(
        &app,
        on(&meta),
        b"TEXT 1\r\nb\r\nPING\r\nCLOSE 2\r\n\x0f\xa0\r\n",
    );
    assert_eq!(events(&reply), [WireEvent::Close(b"\x0f\xa0")]);
    assert_eq!(app.events()[1], closed(4000, ""));
}

#[test]
fn a_fault_ends_its_connection() {
    let meta = opened(vec![]);
    let publish = Action::publish("x");
    for (action, rule) in [
        (accept(), "accept answers open only"),
        (
            Action::Respond(Response::text(200, "")),
            "respond answers a request only, or open",
        ),
        (
            Action::SetState(vec![0; MAX_STATE + 1]),
            "the state has 2049 bytes, 2048 at most",
        ),
        (
            Action::Subscribe(String::new()),
            "a topic's name has 1 to 128 bytes",
        ),
        (
            Action::Close {
                code: 1005,
                reason: String::new(),
            },
            "close code 1005 must not be sent",
        ),
        (
            Action::Send("x".repeat(1_000_000).into()),
            "the proxy takes at most 1000000 bytes at once",
        ),
    ] {
        let before = Action::Send("before".into());
        let app = App::answering([
            vec![before, action, Action::Send("after".into())],
            vec![publish.clone()],
        ]);
        let reply = ask(&app, on(&meta), b"TEXT 1\r\na\r\n");
        let sent = [WireEvent::Text(b"m:before"), WireEvent::Close(b"\x03\xf3")];
        assert_eq!(events(&reply), sent, "{rule}");
        assert_eq!(app.events()[1..], [closed(1011, rule)]);
        assert_eq!(reply.publish.len(), 1);
        // It gets no more events.
        let meta = field(&reply, "Set-Meta-Wasocket")
            .expect("changed")
            .to_owned();
        let app = App::default();
        let reply = ask(&app, on(&meta), b"TEXT 1\r\na\r\nCLOSE 2\r\n\x03\xf3\r\n");
        assert_eq!(events(&reply), [WireEvent::Close(b"\x03\xf3")]);
        assert!(app.events().is_empty());
    }
    let app = App::answering([vec![Action::Send("x".into()); 1025]]);
    let reply = ask(&app, on(&meta), b"TEXT 1\r\na\r\n");
    assert_eq!(events(&reply), [WireEvent::Close(b"\x03\xf3")]);
}
