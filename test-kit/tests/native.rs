//! The kit itself, on apps as functions.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails, and what the apps do wrong"
)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use wasocket::events::{Accept, Context, EventHandler, events};
use wasocket::extension::DeflateOptions;
use wasocket::{
    Closed, Disposition, Effects, Error, Event, Fields, HttpVersion, Instant, Limits, Message,
    RawHandler, RawSocket, ReadyList, Request, Response, ResponseHead, Sender, Session,
    ShutdownReason, Takeover, Upgrade, WebSocket, decide,
};
use wasocket_test::{Answer, Kit, get, request, websocket};

const SECOND: Duration = Duration::from_secs(1);

/// An echo that speaks all that can be negotiated.
fn echo(request: &Request) -> wasocket::Answer {
    Upgrade::new()
        .subprotocols(&["chat"])
        .compression(DeflateOptions::default())
        .accept(
            request,
            |ws: &mut wasocket::Connection, message: Message| ws.send(message),
        )
}

/// The message with which the test of an app would fail.
fn failure(test: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(test)).expect_err("the kit finds it");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).into()))
        .expect("a text")
}

#[test]
fn plain_http() {
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
fn what_is_negotiated() {
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
fn messages_and_the_end() {
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
fn pings_that_no_app_has_asked_for_are_silence() {
    let kit = Kit::native(wasocket::websocket(|ws: WebSocket| async move {
        ws.sleep(60 * SECOND).await;
        ws.send_ping(b"own")?;
        ws.receive::<Message>().await.map(drop)
    }));
    let [ws, other] = [(); 2].map(|()| kit.connect(websocket("/")));
    kit.pass(59 * SECOND);
    let ping = || Event::Ping(b""[..].into());
    assert_eq!(other.events(), [ping(), ping()]);
    ws.assert_silent();
    kit.pass(SECOND);
    assert!(failure(|| ws.assert_silent()).contains("got a ping"));
    assert_eq!(ws.try_receive(), None);
    ws.close(1000, "");
    assert!(failure(|| ws.assert_silent()).contains("got the end (1000)"));
}

#[test]
fn assertions_say_what_came() {
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
fn raw_takeovers_and_residual_bytes() {
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
fn an_app_of_the_event_form() {
    struct Room;
    impl EventHandler for Room {
        type State = String;

        fn request(&self, _: &Request, cx: &mut Context<'_, String>) -> Response {
            cx.publish("room", "news");
            Response::text(202, "told\n")
        }

        fn open(&self, _: &Request, cx: &mut Context<'_, String>) -> Result<Accept, Response> {
            cx.subscribe("room");
            Ok(Accept::default())
        }

        fn message(&self, message: Message, cx: &mut Context<'_, String>) {
            cx.state += &String::from_utf8_lossy(message.as_bytes());
            cx.publish("room", cx.state.clone());
        }
    }
    let kit = Kit::native(events(Room));
    let (ann, bob) = (kit.connect(websocket("/")), kit.connect(websocket("/")));
    ann.send("a");
    ann.send("b");
    bob.send("c");
    for text in ["a", "ab", "c"] {
        ann.assert_text(text);
        bob.assert_text(text);
    }
    kit.get("/").assert_status(202);
    ann.assert_text("news");
}

#[test]
fn time_passes_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    let kit = Kit::native(move |request: &Request| {
        let (log, target) = (Rc::clone(&log), request.target.clone());
        Upgrade::new().converse(request, |ws: WebSocket| async move {
            let seconds = target.trim_start_matches('/').parse().expect("a number");
            for _ in 0..2 {
                ws.sleep(Duration::from_secs(seconds)).await;
                log.borrow_mut()
                    .push((seconds, ws.now().as_nanos() / 1_000_000_000));
            }
        })
    });
    let (three, two) = (kit.connect(websocket("/3")), kit.connect(websocket("/2")));
    assert_eq!(two.wake_at(), Some(Instant::from_nanos(2_000_000_000)));
    kit.pass(SECOND);
    assert!(order.borrow().is_empty());
    kit.pass(10 * SECOND);
    assert_eq!(*order.borrow(), [(2, 2), (3, 3), (2, 4), (3, 6)]);
    assert_eq!(kit.now(), Instant::from_nanos(11_000_000_000));
    three.assert_closed(1000);
}

#[test]
fn a_silent_peer_is_given_up_and_one_that_answers_is_not() {
    let kit = Kit::native(echo);
    let [here, gone, slow] = [(); 3].map(|()| kit.connect(websocket("/")));
    gone.hold();
    slow.block();
    kit.pass(30 * SECOND);
    assert!(matches!(here.events()[..], [Event::Ping(_)]));
    kit.pass(30 * SECOND);
    assert!(here.is_open());
    assert_eq!(gone.disposition(), Disposition::Abort);
    gone.assert_closed(1006);
    // Its ping is among what is unsent.
    assert!(slow.is_open() && slow.unsent() > 0);
    slow.unblock();
    kit.pass(SECOND);
    assert!(slow.is_open());
}

#[test]
fn a_slow_network_is_seen_in_the_round_trip() {
    let times = Rc::new(RefCell::new(None));
    let made = Rc::clone(&times);
    let kit = Kit::native(move |request: &Request| {
        let made = Rc::clone(&made);
        Upgrade::new().converse(request, |ws: WebSocket| async move {
            while let Some(text) = ws.receive::<String>().await? {
                assert_eq!(text, "go");
                *made.borrow_mut() = Some(ws.ping().await?);
            }
            Ok::<(), Error>(())
        })
    });
    let ws = kit.connect(websocket("/"));
    ws.send("go");
    assert_eq!(times.take(), Some(Duration::ZERO));
    ws.hold();
    ws.send_frame(0x81, b"go");
    kit.pass(SECOND);
    assert_eq!(times.take(), None);
    ws.release();
    assert_eq!(times.take(), Some(SECOND));
}

/// Members of a room are sent what one says.
fn room() -> impl Fn(&Request) -> wasocket::Answer {
    let members = Rc::new(RefCell::new(Vec::<Sender>::new()));
    move |request| {
        let members = Rc::clone(&members);
        Upgrade::new().converse(request, |ws: WebSocket| async move {
            members.borrow_mut().push(ws.sender());
            while let Some(text) = ws.receive::<String>().await? {
                for member in members.borrow().iter() {
                    let _ = member.try_send(text.as_str());
                }
            }
            Ok::<(), Error>(())
        })
    }
}

#[test]
fn connections_wake_each_other() {
    let kit = Kit::native(room());
    let members = [(); 3].map(|()| kit.connect(websocket("/")));
    members[2].block();
    members[1].send("hello");
    members[0].assert_text("hello");
    members[1].assert_text("hello");
    members[2].unblock();
    members[2].assert_text("hello");
}

#[test]
fn nothing_is_received_while_output_is_unsent() {
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
fn how_a_host_ends_connections() {
    let kit = Kit::native(echo);
    let ws = kit.connect(websocket("/"));
    ws.shutdown(ShutdownReason::ServiceRestart);
    ws.assert_closed(1012);
    // It is told once.
    kit.shutdown(ShutdownReason::GoingAway);
    ws.assert_closed(1012);
    let [first, second] = [(); 2].map(|()| kit.connect(websocket("/")));
    // It does not answer the Close frame.
    first.hold();
    kit.shutdown(ShutdownReason::GoingAway);
    second.assert_closed(1001);
    assert!(first.is_open());
    kit.pass(5 * SECOND);
    assert_eq!(first.disposition(), Disposition::Abort);
    let ws = kit.connect(websocket("/"));
    ws.wake();
    ws.lost();
    assert!(matches!(ws.assert_closed(1006), Closed::EndOfStream));
    assert!(!ws.is_open());
}

#[test]
fn an_app_that_fails_takes_its_connections_along() {
    let kit = Kit::native(|request: &Request| match request.path() {
        "/panic" => panic!("in handle"),
        _ => Upgrade::new().accept(
            request,
            |ws: &mut wasocket::Connection, message: Message| {
                assert_ne!(message, "panic".into(), "in message");
                ws.send(message)
            },
        ),
    });
    let [one, other] = [(); 2].map(|()| kit.connect(websocket("/")));
    other.block();
    let fault = kit.attempt(|| one.send("panic")).expect_err("it panics");
    assert!(
        fault
            .to_string()
            .starts_with("the app failed: it panicked: assertion"),
        "{fault}"
    );
    one.assert_closed(1011);
    assert!(!other.is_closed());
    other.unblock();
    other.assert_closed(1011);
    // The next instance serves.
    let again = kit.connect(websocket("/"));
    again.send("hello");
    again.assert_text("hello");
    assert!(kit.attempt(|| ()).is_ok());
    let told = failure(|| drop(kit.get("/panic")));
    assert_eq!(told, "the app failed: it panicked: in handle");
}

/// Does what it was made to.
#[derive(Clone, Copy, Default)]
struct Bad {
    wake_at: Option<Instant>,
}

impl Bad {
    fn effects(self) -> Effects {
        Effects {
            output: vec![],
            wake_at: self.wake_at,
            next: Disposition::Open,
        }
    }
}

impl Session for Bad {
    fn open(&mut self, _: Instant, _: u64, _: &ReadyList, _: Vec<u8>) -> Effects {
        self.effects()
    }
    fn receive(&mut self, _: Instant, _: Vec<u8>) -> Effects {
        self.effects()
    }
    fn receive_eof(&mut self, _: Instant) -> Effects {
        self.effects()
    }
    fn wake(&mut self, _: Instant, _: u64) -> Effects {
        self.effects()
    }
    fn shutdown(&mut self, _: Instant, _: ShutdownReason) -> Effects {
        self.effects()
    }
    fn lost(&mut self, _: Instant) {}
}

fn takeover(status: u16, final_bytes: &'static [u8], session: Bad) -> wasocket::Answer {
    wasocket::Answer::Takeover(Takeover {
        response: Some(ResponseHead {
            status,
            fields: Fields::new(),
        }),
        session: Box::new(session),
        final_bytes,
    })
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

#[test]
fn breaches_of_the_contract() {
    let kit = Kit::native(|request: &Request| match request.path() {
        "/status" => Response::text(99, "x").into(),
        "/field" => Response::text(200, "x").with_field("X", "a\r\nb").into(),
        "/length" => Response::text(200, "x")
            .with_field("Content-Length", "9")
            .into(),
        "/takeover" => takeover(200, b"", Bad::default()),
        "/final-bytes" => takeover(101, &[0; 1025], Bad::default()),
        "/no-handshake" => takeover(101, b"", Bad::default()),
        _ => takeover(
            101,
            b"",
            Bad {
                wake_at: Some(Instant::default()),
            },
        ),
    });
    for (path, what) in [
        (
            "/status",
            "its answer to GET /status is bad: status 99 is not possible here",
        ),
        ("/field", "the field \"X\" has a bad name or value"),
        (
            "/length",
            "the field \"Content-Length\" is for the host to set",
        ),
        ("/takeover", "status 200 is not possible here"),
        ("/final-bytes", "1025 final bytes, more than 1024"),
        ("/restless", "connection 0 wants to be called again at once"),
    ] {
        let told = failure(|| drop(kit.answer(get(path))));
        assert!(told.starts_with("the app breaks the contract: "), "{told}");
        assert!(told.contains(what), "{told}");
    }
    let kit = Kit::native(|_: &Request| takeover(101, b"", Bad::default()));
    let told = failure(|| drop(kit.connect(websocket("/"))));
    assert!(
        told.starts_with("the client refuses the app's 101: "),
        "{told}"
    );
}

#[test]
fn limits_of_the_app_hold() {
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
