//! Messages, state and channels of an open connection.

use super::{App, Publishing as _, accept, ask, closed, events, field, on, opened, proxied};
use serde_json::Value;
use wasocket::Message;
use wasocket::events::{Accept, Action, Event, MAX_STATE, Settings};
use wasocket::grip::{MAX_BODY, WireEvent};

fn control(event: &WireEvent<'_>) -> Value {
    let WireEvent::Text(text) = event else {
        panic!("{event:?}");
    };
    let json = text.strip_prefix(b"c:").expect("a control message");
    serde_json::from_slice(json).expect("JSON")
}

#[test]
fn state_is_kept_by_the_proxy() {
    let meta = opened(vec![Action::SetState(vec![0xff; MAX_STATE])]);
    let app = App::answering([vec![]]);
    let reply = ask(&app, on(&meta), b"TEXT 2\r\nhi\r\nBINARY 1\r\n\0\r\n");
    assert!(events(&reply).is_empty());
    assert_eq!(
        field(&reply, "Set-Meta-Wasocket"),
        None,
        "nothing has changed"
    );
    let asked = app.asked.borrow();
    assert_eq!(asked[0].1, [0xff; MAX_STATE]);
    let messages: [Message; 2] = ["hi".into(), vec![0].into()];
    assert_eq!(asked[0].2, messages.map(Event::Message));
}

#[test]
fn malformed_requests_are_refused() {
    let meta = opened(vec![]);
    let app = App::default();
    for (request, body, status) in [
        (on(&meta), &b"TEXT 3\r\nhi\r\n"[..], 400),
        (on(&meta), b"JOIN\r\n", 400),
        (on(&meta), b"TEXT 2\r\nhi\r\nOPEN\r\n", 400),
        (on(&meta), b"CLOSE\r\nTEXT 2\r\nhi\r\n", 400),
        (on(&meta), b"DISCONNECT\r\nDISCONNECT\r\n", 400),
        (on("x"), b"TEXT 2\r\nhi\r\n", 400),
        (proxied(&[]), b"TEXT 2\r\nhi\r\n", 400),
        (proxied(&[("Connection-Id", "")]), b"OPEN\r\n", 400),
        (proxied(&[("Connection-Id", "a b")]), b"OPEN\r\n", 400),
        (
            proxied(&[("Connection-Id", &"x".repeat(65))]),
            b"OPEN\r\n",
            400,
        ),
        (
            proxied(&[("Sec-WebSocket-Extensions", "")]),
            b"OPEN\r\n",
            400,
        ),
        (on(&meta), &[b'x'; MAX_BODY + 1], 413),
    ] {
        let reply = ask(&app, request, body);
        assert_eq!(reply.response.head.status, status, "{:?}", body.get(..20));
    }
    let mut get = on(&meta);
    get.method = "GET".into();
    assert_eq!(ask(&app, get, b"").response.head.status, 405);
    assert!(app.events().is_empty());
    // A keep-alive.
    assert!(events(&ask(&app, on(&meta), b"")).is_empty());
}

#[test]
fn pings_are_answered_in_order() {
    let meta = opened(vec![]);
    let app = App::answering([
        vec![Action::Send("1".into())],
        vec![Action::Send("2".into())],
    ]);
    let body = b"TEXT 1\r\na\r\nPING 1\r\nx\r\nPING\r\nPONG\r\nBINARY 0\r\n\r\n";
    let reply = ask(&app, on(&meta), body);
    let answered = [
        WireEvent::Text(b"m:1"),
        WireEvent::Pong(b"x"),
        WireEvent::Pong(b""),
        WireEvent::Text(b"m:2"),
    ];
    assert_eq!(events(&reply), answered);
}

#[test]
fn messages_are_handed_over_in_batches() {
    let meta = opened(vec![]);
    let app = App::default();
    ask(&app, on(&meta), &b"TEXT 0\r\n\r\n".repeat(600));
    let calls: Vec<usize> = app.events().iter().map(Vec::len).collect();
    assert_eq!(calls, [256, 256, 88]);
    let app = App::default();
    let long = format!("TEXT 20000\r\n{}\r\n", "x".repeat(0x2_0000));
    ask(&app, on(&meta), long.repeat(3).as_bytes());
    let calls: Vec<usize> = app.events().iter().map(Vec::len).collect();
    assert_eq!(calls, [2, 1]);
}

#[test]
fn a_message_over_the_apps_limit_closes_with_1009() {
    let settings = Settings {
        max_message_size: 5,
        ..Settings::default()
    };
    let accept = Accept {
        settings,
        ..Accept::default()
    };
    let app = App::answering([vec![Action::Accept(accept)]]);
    let reply = ask(&app, proxied(&[]), b"OPEN\r\n");
    assert_eq!(reply.log, [""; 0], "it is supported");
    let meta = field(&reply, "Set-Meta-Wasocket").expect("kept").to_owned();
    for kind in ["TEXT", "BINARY"] {
        let app = App::default();
        let body = format!("{kind} 5\r\n12345\r\n{kind} 6\r\n123456\r\n{kind} 1\r\n7\r\n");
        let reply = ask(&app, on(&meta), body.as_bytes());
        assert_eq!(events(&reply), [WireEvent::Close(b"\x03\xf1")]);
        let told = app.events();
        assert_eq!(
            (told[0].len(), &told[1..]),
            (1, &[closed(1009, "message too big")][..])
        );
    }
}

#[test]
fn channels_subscribe_publish_and_unsubscribe() {
    let subscribe = |name: &str| Action::Subscribe(name.into());
    let app = App::answering([vec![
        accept(),
        Action::publish("room"),
        subscribe("room"),
        subscribe("room"),
        Action::publish("room"),
    ]]);
    let reply = ask(&app, proxied(&[]), b"OPEN\r\n");
    let all = events(&reply);
    let user = serde_json::json!({ "type": "set-meta", "name": "user", "value": "1234" });
    assert_eq!(control(&all[1]), user);
    let own =
        serde_json::json!({ "type": "subscribe", "channel": "room", "filters": ["skip-self"] });
    assert_eq!(control(&all[2]), own);
    // Its own copy of the message published after it subscribed; the others' go through the proxy.
    assert_eq!(all[3..], [WireEvent::Text(b"m:published")]);
    assert_eq!(reply.publish.len(), 1, "one request for both");
    let request = &reply.publish[0];
    assert_eq!(
        (&*request.authority, &*request.path),
        ("127.0.0.1:5561", "/publish/")
    );
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["items"][1]["meta"]["sender"], "1234");
    let meta = field(&reply, "Set-Meta-Wasocket").expect("kept").to_owned();

    let names: Vec<_> = (0..15)
        .map(|number| subscribe(&number.to_string()))
        .collect();
    let reply = ask(&App::answering([names]), on(&meta), b"TEXT 0\r\n\r\n");
    assert_eq!(events(&reply).len(), 15);
    let full = field(&reply, "Set-Meta-Wasocket")
        .expect("changed")
        .to_owned();
    let app = App::answering([vec![subscribe("one more")]]);
    let reply = ask(&app, on(&full), b"TEXT 0\r\n\r\n");
    assert_eq!(events(&reply), [WireEvent::Close(b"\x03\xf3")]);

    let leave = Action::Unsubscribe("room".into());
    let app = App::answering([vec![leave.clone(), leave, Action::publish("room")]]);
    let reply = ask(&app, on(&meta), b"TEXT 0\r\n\r\n");
    let all = events(&reply);
    let own = serde_json::json!({ "type": "unsubscribe", "channel": "room" });
    assert_eq!((all.len(), control(&all[0])), (1, own));
    assert_eq!(reply.publish.len(), 1);
}
