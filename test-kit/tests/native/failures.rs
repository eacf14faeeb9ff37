//! Hosts that stop, apps that fail, and breaches of the contract.

use wasocket::topics::Publication;
use wasocket::{
    Closed, Disposition, Effects, Fields, Instant, Message, ReadyList, Request, Response,
    ResponseHead, Session, ShutdownReason, Takeover, Upgrade,
};
use wasocket_test::{Kit, get, websocket};

use super::{SECOND, echo, failure};

#[test]
fn shutdown_and_lost_sockets_end_connections() {
    let kit = Kit::native(echo);
    let ws = kit.connect(websocket("/"));
    ws.shutdown(ShutdownReason::ServiceRestart);
    ws.assert_closed(1012);
    // The app is told only once.
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
fn a_failed_app_closes_all_its_connections() {
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

/// A session that returns the same effects for every call.
#[derive(Clone, Copy, Default)]
struct Bad {
    wake_at: Option<Instant>,
}

impl Bad {
    fn effects(self) -> Effects {
        Effects {
            topics: Vec::new(),
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
    fn lost(&mut self, _: Instant) -> Vec<Publication> {
        Vec::new()
    }
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
fn breaches_of_the_contract_are_reported() {
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
