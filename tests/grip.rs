//! The gateway between a proxy that speaks GRIP and an app of the event form, as a proxy sees it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::cell::RefCell;

use serde_json::Value;
use wasocket::events::{Accept, Action, Closed, Event, EventApp, MAX_STATE, Settings};
use wasocket::grip::{Admitted, Config, Gateway, MAX_BODY, Reply, WireEvent};
use wasocket::{Message, Origins, Request, Response};

const NOW: u64 = 1_700_000_000;
/// `{"alg":"HS256","typ":"JWT"}`, `{"iss":"pushpin","exp":1700003600}`, signed with `secret` by PyJWT.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJwdXNocGluIiwiZXhwIjoxNzAwMDAzNjAwfQ.lb8UT7ZJkScfq3ReMO3l6vEPx-ZDNt2WU0_QLg2an6M";

/// Answers with what the test has said, and remembers what it was asked.
#[derive(Default)]
struct App {
    answers: RefCell<Vec<Vec<Action>>>,
    asked: RefCell<Vec<Asked>>,
}

/// The connection, its state, and what happened.
type Asked = (String, Vec<u8>, Vec<Event>);

impl App {
    fn answering(answers: impl Into<Vec<Vec<Action>>>) -> Self {
        let mut answers = answers.into();
        answers.reverse();
        Self {
            answers: RefCell::new(answers),
            ..Self::default()
        }
    }

    /// The events of each call.
    fn events(&self) -> Vec<Vec<Event>> {
        let asked = self.asked.borrow();
        asked.iter().map(|(_, _, events)| events.clone()).collect()
    }
}

impl EventApp for App {
    fn handle(&self, connection: &str, state: &[u8], events: Vec<Event>) -> Vec<Action> {
        let asked = (connection.to_owned(), state.to_vec(), events);
        self.asked.borrow_mut().push(asked);
        self.answers.borrow_mut().pop().unwrap_or_default()
    }
}

fn gateway(variables: &[(&str, &str)]) -> Gateway {
    let config = Config::read(|name| {
        let mut own = variables.iter();
        own.find_map(|(own, value)| (*own == name).then(|| (*value).to_owned()))
    });
    Gateway::new(config.expect("a configuration"))
}

const VARIABLES: [(&str, &str); 2] = [
    ("GRIP_VERIFY_KEY", "secret"),
    ("GRIP_URL", "http://127.0.0.1:5561"),
];

/// A request as Pushpin makes it.
fn proxied(fields: &[(&str, &str)]) -> Request {
    let mut request = Request {
        method: "POST".into(),
        target: "/chat?x=1".into(),
        ..Request::default()
    };
    for (name, value) in [
        ("Host", "a.test"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "grip"),
        ("Grip-Sig", TOKEN),
        ("Grip-Feature", "status, session, filter:skip-self"),
        ("Accept", "application/websocket-events"),
        ("Connection-Id", "1234"),
        ("Content-Type", "application/websocket-events"),
    ] {
        request.fields.append(name, value);
    }
    for (name, value) in fields {
        match value.is_empty() {
            true => drop(request.fields.remove(name)),
            false => request.fields.set(*name, *value),
        }
    }
    request
}

fn ask(app: &App, request: Request, body: &[u8]) -> Reply {
    ask_of(&gateway(&VARIABLES), app, request, body)
}

fn ask_of(gateway: &Gateway, app: &App, request: Request, body: &[u8]) -> Reply {
    match gateway.admit(request, NOW) {
        Admitted::Plain(request) => gateway.plain(app, request, "name", NOW),
        Admitted::Events(request) => gateway.events(app, request, body, NOW),
        Admitted::Refused(reply) => reply,
    }
}

fn field<'a>(reply: &'a Reply, name: &'a str) -> Option<&'a str> {
    reply.response.head.fields.text(name)
}

fn events(reply: &Reply) -> Vec<WireEvent<'_>> {
    assert_eq!(reply.response.head.status, 200, "{reply:?}");
    let kind = field(reply, "Content-Type");
    assert_eq!(kind, Some("application/websocket-events"));
    WireEvent::decode_all(&reply.response.body).expect("events")
}

fn accept() -> Action {
    Action::Accept(Accept::default())
}

/// Opens a connection, and returns what the proxy keeps of it.
fn opened(actions: Vec<Action>) -> String {
    let mut answer = vec![accept()];
    answer.extend(actions);
    let reply = ask(&App::answering([answer]), proxied(&[]), b"OPEN\r\n");
    field(&reply, "Set-Meta-Wasocket").expect("kept").to_owned()
}

fn on(meta: &str) -> Request {
    proxied(&[("Meta-Wasocket", meta)])
}

fn control(event: &WireEvent<'_>) -> Value {
    let WireEvent::Text(text) = event else {
        panic!("{event:?}");
    };
    let json = text.strip_prefix(b"c:").expect("a control message");
    serde_json::from_slice(json).expect("JSON")
}

fn closed(code: u16, reason: &str) -> Vec<Event> {
    let reason = reason.into();
    vec![Event::Closed(Closed { code, reason })]
}

#[test]
fn a_websocket_is_opened() {
    let app = App::answering([vec![
        Action::Accept(Accept {
            subprotocol: Some("chat".into()),
            ..Accept::default()
        }),
        Action::Send("c:{}".into()),
        Action::SetState(b"state".to_vec()),
    ]]);
    let request = proxied(&[
        ("Sec-WebSocket-Protocol", "superchat, chat"),
        ("Meta-Evil", "1"),
    ]);
    let reply = ask(&app, request, b"OPEN\r\n");
    assert_eq!(
        events(&reply),
        [WireEvent::Open, WireEvent::Text(b"m:c:{}")]
    );
    assert_eq!(field(&reply, "Sec-WebSocket-Extensions"), Some("grip"));
    assert_eq!(field(&reply, "Sec-WebSocket-Protocol"), Some("chat"));
    let asked = app.asked.borrow();
    let (id, state, events) = &asked[0];
    assert_eq!((&**id, &**state), ("1234", &b""[..]));
    let [Event::Open(request)] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(request.wants_websocket());
    assert_eq!((&*request.method, &*request.target), ("GET", "/chat?x=1"));
    for name in [
        "Grip-Sig",
        "Grip-Feature",
        "Meta-Evil",
        "Connection-Id",
        "Content-Type",
    ] {
        assert!(!request.fields.contains(name), "{name}");
    }
}

#[test]
fn the_state_comes_back() {
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
fn a_websocket_is_refused() {
    let refuse = |answers: Vec<Action>| ask(&App::answering([answers]), proxied(&[]), b"OPEN\r\n");
    assert_eq!(refuse(vec![]).response.head.status, 404);
    let own = Response::text(302, "x").with_field("Location", "/login");
    let reply = refuse(vec![Action::Respond(own)]);
    assert_eq!(
        (reply.response.head.status, field(&reply, "Location")),
        (302, Some("/login"))
    );
    // The proxy would take these for something else.
    for response in [
        Response::new(200, "application/websocket-events", "OPEN\r\n"),
        Response::text(200, "").with_field("Grip-Hold", "stream"),
        Response::text(101, ""),
        Response::text(200, "").with_field("X", "a\r\nGrip-Hold: stream"),
    ] {
        assert_eq!(
            refuse(vec![Action::Respond(response)]).response.head.status,
            500
        );
    }
}

#[test]
fn pages_of_other_origins_are_refused() {
    let accept_from = |origins| {
        let settings = Settings {
            origins,
            ..Settings::default()
        };
        let accept = Action::Accept(Accept {
            settings,
            ..Accept::default()
        });
        vec![accept, Action::publish("x")]
    };
    let listed = || Origins::SameOrListed(vec!["https://b.test".into()]);
    for (origins, origin, proto, status) in [
        (Origins::Same, "https://a.test", "https", 200),
        (Origins::Same, "http://a.test", "http", 200),
        (Origins::Same, "http://a.test", "https", 403),
        (Origins::Same, "https://b.test", "https", 403),
        (listed(), "https://b.test", "https", 200),
        (listed(), "https://c.test", "https", 403),
        (Origins::DangerouslyAllowAny, "https://c.test", "https", 200),
    ] {
        let app = App::answering([accept_from(origins)]);
        let request = proxied(&[("Origin", origin), ("X-Forwarded-Proto", proto)]);
        let reply = ask(&app, request, b"OPEN\r\n");
        assert_eq!(reply.response.head.status, status, "{origin}");
        // Nothing of the answer is carried out, and nothing follows.
        assert_eq!(
            (reply.publish.len(), app.events().len()),
            (usize::from(status == 200), 1)
        );
    }
}

#[test]
fn whoever_is_not_the_proxy_is_not_believed() {
    let unsigned = || proxied(&[("Grip-Sig", "")]);
    let app = App::default();
    let changed = TOKEN.replace("ey", "eY");
    for (request, status) in [
        (unsigned(), 401),
        (proxied(&[("Grip-Sig", "x")]), 401),
        (proxied(&[("Grip-Sig", &changed)]), 401),
        (
            proxied(&[(
                "Content-Type",
                "application/websocket-events; charset=utf-8",
            )]),
            415,
        ),
        (
            proxied(&[("Content-Type", "Application/WebSocket-Events")]),
            415,
        ),
    ] {
        assert_eq!(ask(&app, request, b"OPEN\r\n").response.head.status, status);
    }
    let mut twice = proxied(&[("Content-Type", "text/plain")]);
    twice
        .fields
        .append("Content-Type", "application/websocket-events");
    assert_eq!(ask(&app, twice, b"OPEN\r\n").response.head.status, 415);
    let mut twice = proxied(&[]);
    twice.fields.append("Grip-Sig", TOKEN);
    assert_eq!(ask(&app, twice, b"OPEN\r\n").response.head.status, 401);
    let late = gateway(&VARIABLES).admit(proxied(&[]), NOW + 3600);
    assert!(matches!(late, Admitted::Refused(reply) if reply.response.head.status == 401));
    let other = [("GRIP_VERIFY_KEY", "secret"), ("GRIP_VERIFY_ISS", "other")];
    let reply = ask_of(&gateway(&other), &app, proxied(&[]), b"OPEN\r\n");
    assert_eq!(reply.response.head.status, 401);
    // Without a key nobody is; unless that is said to be right.
    let reply = ask_of(&gateway(&[]), &app, proxied(&[]), b"OPEN\r\n");
    assert_eq!(reply.response.head.status, 500);
    assert!(reply.log[0].contains("GRIP_VERIFY_KEY"), "{:?}", reply.log);
    assert!(app.events().is_empty());
    let off = gateway(&[("GRIP_VERIFY", "dangerously-off")]);
    let app = App::answering([vec![accept()]]);
    events(&ask_of(&off, &app, unsigned(), b"OPEN\r\n"));
}

#[test]
fn requests_that_are_broken() {
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
fn pings_are_answered_in_their_place() {
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
fn messages_come_in_batches() {
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
fn a_message_may_be_as_long_as_the_app_says() {
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
    assert_eq!(reply.log, [""; 0], "it can be had");
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
fn connections_end() {
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
        // What is sent behind the end is without effect.
        let app = App::answering([vec![Action::Send("x".into())]]);
        let reply = ask(&app, on(&meta), body);
        let answer: Vec<_> = answer.into_iter().map(WireEvent::Close).collect();
        assert_eq!(events(&reply), answer, "{body:?}");
        assert_eq!(app.events(), [told]);
    }
}

#[test]
fn the_app_closes() {
    let meta = opened(vec![]);
    let bye = Action::Close {
        code: 4000,
        reason: "bye".into(),
    };
    let app = App::answering([vec![bye.clone(), bye, Action::Send("x".into())]]);
    let reply = ask(&app, on(&meta), b"TEXT 1\r\na\r\n");
    assert_eq!(events(&reply), [WireEvent::Close(b"\x0f\xa0bye")]);
    // Messages may still arrive; the answers are without effect.
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
            "a channel's name has 1 to 128 bytes",
        ),
        (
            Action::Close {
                code: 1005,
                reason: String::new(),
            },
            "close code 1005 must not be sent",
        ),
        (
            Action::Close {
                code: 1000,
                reason: "x".repeat(124),
            },
            "a close reason takes at most 123 bytes",
        ),
        (
            Action::Send("x".repeat(1_000_000).into()),
            "the proxy takes at most 1000000 bytes at once",
        ),
    ] {
        let before = Action::Send("before".into());
        let app = App::answering([
            vec![before, action, Action::Send("behind".into())],
            vec![publish.clone()],
        ]);
        let reply = ask(&app, on(&meta), b"TEXT 1\r\na\r\n");
        let sent = [WireEvent::Text(b"m:before"), WireEvent::Close(b"\x03\xf3")];
        assert_eq!(events(&reply), sent, "{rule}");
        assert_eq!(app.events()[1..], [closed(1011, rule)]);
        assert_eq!(reply.publish.len(), 1);
        // It is told nothing more.
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

#[test]
fn a_fault_before_there_is_a_websocket() {
    for answer in [
        vec![accept(), accept()],
        vec![
            Action::Respond(Response::text(403, "")),
            Action::Send("x".into()),
        ],
    ] {
        let app = App::answering([answer, vec![Action::publish("x")]]);
        let reply = ask(&app, proxied(&[]), b"OPEN\r\n");
        assert_eq!((reply.response.head.status, reply.publish.len()), (500, 1));
        let [_, told] = &app.events()[..] else {
            panic!("{:?}", app.events());
        };
        assert!(matches!(
            &told[..],
            [Event::Closed(Closed { code: 1011, .. })]
        ));
    }
}

#[test]
fn channels() {
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
    // Its own copy; the others' are published, but not the one of before it was subscribed.
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

#[test]
fn plain_requests() {
    let plain = |fields: &[(&str, &str)]| {
        let mut all = vec![("Content-Type", ""), ("Sec-WebSocket-Key", "")];
        all.extend(fields);
        proxied(&all)
    };
    let app = App::answering([vec![
        Action::publish("x"),
        Action::Respond(Response::text(200, "hi").with_field("Connection", "close")),
    ]]);
    let reply = ask(&app, plain(&[]), b"");
    assert_eq!(
        (&*reply.response.body, field(&reply, "Connection")),
        (&b"hi"[..], None)
    );
    assert_eq!(reply.publish.len(), 1);
    let asked = app.events();
    let [Event::Request(request)] = &asked[0][..] else {
        panic!("{asked:?}");
    };
    assert!(
        !request.fields.contains("Grip-Sig"),
        "whoever has it could sign"
    );
    // Also without a key, and by nobody in particular, who is not believed about TLS.
    for (fields, secure) in [
        (&[("X-Forwarded-Proto", "https")][..], true),
        (&[("X-Forwarded-Proto", "https"), ("Grip-Sig", "x")], false),
    ] {
        let app = App::default();
        assert_eq!(ask(&app, plain(fields), b"").response.head.status, 404);
        let asked = app.events();
        assert!(matches!(&asked[0][..], [Event::Request(request)] if request.secure == secure));
    }
    let reply = ask_of(&gateway(&[]), &App::default(), plain(&[]), b"");
    assert_eq!(reply.response.head.status, 404);
    // A handshake that has not come through the proxy.
    let reply = ask(&App::default(), plain(&[("Sec-WebSocket-Key", "x")]), b"");
    assert_eq!(reply.response.head.status, 501);
}

#[test]
fn what_cannot_be_had_is_logged() {
    let settings = Settings {
        compress: true,
        max_message_size: 2 << 20,
        ..Settings::default()
    };
    let accept = Action::Accept(Accept {
        settings,
        ..Accept::default()
    });
    let reply = ask(&App::answering([vec![accept]]), proxied(&[]), b"OPEN\r\n");
    events(&reply);
    assert_eq!(reply.log.len(), 1);
    assert!(reply.log[0].contains("compress and max-message-size"));
    let nowhere = gateway(&[("GRIP_VERIFY_KEY", "secret")]);
    let app = App::answering([vec![self::accept(), Action::publish("x")]]);
    let reply = ask_of(&nowhere, &app, proxied(&[]), b"OPEN\r\n");
    assert!(reply.log[0].contains("GRIP_URL"), "{:?}", reply.log);
}

trait Publishing {
    fn publish(channel: &str) -> Self;
}

impl Publishing for Action {
    fn publish(channel: &str) -> Self {
        Self::Publish {
            channel: channel.into(),
            message: "published".into(),
        }
    }
}
