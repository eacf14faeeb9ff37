//! Opening and refusing WebSockets, and who may ask for it.

use super::{
    App, NOW, Publishing as _, TOKEN, VARIABLES, accept, ask, ask_of, events, field, gateway,
    proxied,
};
use wasocket::events::{Accept, Action, Closed, Event, Settings};
use wasocket::grip::{Admitted, WireEvent};
use wasocket::{Origins, Response};

#[test]
fn opens_a_websocket() {
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
fn refuses_a_websocket() {
    let refuse = |answers: Vec<Action>| ask(&App::answering([answers]), proxied(&[]), b"OPEN\r\n");
    assert_eq!(refuse(vec![]).response.head.status, 404);
    let own = Response::text(302, "x").with_field("Location", "/login");
    let reply = refuse(vec![Action::Respond(own)]);
    assert_eq!(
        (reply.response.head.status, field(&reply, "Location")),
        (302, Some("/login"))
    );
    // The proxy would misread these.
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
        // Of a refused answer no action is carried out, and no event follows.
        assert_eq!(
            (reply.publish.len(), app.events().len()),
            (usize::from(status == 200), 1)
        );
    }
}

#[test]
fn only_signed_requests_of_the_proxy_are_accepted() {
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
    // Without a key no request is accepted, unless verification is off.
    let reply = ask_of(&gateway(&[]), &app, proxied(&[]), b"OPEN\r\n");
    assert_eq!(reply.response.head.status, 500);
    assert!(reply.log[0].contains("GRIP_VERIFY_KEY"), "{:?}", reply.log);
    assert!(app.events().is_empty());
    let off = gateway(&[("GRIP_VERIFY", "dangerously-off")]);
    let app = App::answering([vec![accept()]]);
    events(&ask_of(&off, &app, unsigned(), b"OPEN\r\n"));
}

#[test]
fn a_fault_before_the_websocket_opens_is_a_500() {
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
fn plain_requests_reach_the_app() {
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
        "the app must not see the signature"
    );
    // Unsigned requests reach the app, too, but are not believed about TLS.
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
    // A handshake that did not come through the proxy.
    let reply = ask(&App::default(), plain(&[("Sec-WebSocket-Key", "x")]), b"");
    assert_eq!(reply.response.head.status, 501);
}

#[test]
fn unsupported_settings_are_logged() {
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
