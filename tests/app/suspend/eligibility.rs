//! Connections that can be suspended, and those that cannot.

use host::Host;
use wasocket::events::events;
use wasocket::{
    Answer, App, Handler, Instant, Message, RawError, RawStream, Request, ResumeError,
    ShutdownReason, Upgrade, suspend, takeover, websocket,
};

use super::{Room, answer, host, listens, open, refusal, state, suspended};

#[test]
fn only_a_connection_at_rest_is_suspended() {
    let app = events(Room);
    // Part of a header, of payloads, and of a control frame; fragments of a message.
    for bytes in [
        &b"\x81"[..],
        b"\x81\x85\0\0\0\0ab",
        b"\x81\x85\0\0\0\0",
        b"\x89\x84\0\0\0\0p",
        b"\x01\x81\0\0\0\0a",
        b"\x01\x80\0\0\0\0",
    ] {
        let mut host = Host::default();
        open(&mut host, &app);
        assert!(suspended(&host, &app, 0).is_some());
        let now = host.time();
        host.connections[0].session.receive(now, bytes.to_vec());
        assert_eq!(suspended(&host, &app, 0), None, "{bytes:x?}");
    }
    // Before `open`; closing; closed.
    let Answer::Takeover(takeover) = host::handshake(|request| answer(&app, request.clone()))
    else {
        panic!("refused");
    };
    let now = Instant::from_nanos(0);
    assert_eq!(suspend(&app, &*takeover.session, now), None);
    let mut host = Host::default();
    open(&mut host, &app);
    open(&mut host, &app);
    assert!(suspended(&host, &app, 1).is_some());
    host.connections[0]
        .session
        .shutdown(now, ShutdownReason::GoingAway);
    assert_eq!(suspended(&host, &app, 0), None);
    host.connections[1].session.lost(now);
    assert_eq!(suspended(&host, &app, 1), None);
}

struct Says;

impl Handler for Says {
    fn message(
        &mut self,
        connection: &mut wasocket::Connection,
        message: Message,
    ) -> Result<(), wasocket::UsageError> {
        connection.send(message)
    }
}

async fn raw(stream: RawStream) -> Result<(), RawError> {
    stream.read().await.map(drop)
}

/// Their state is not known, nor where they wait.
#[test]
fn functions_handlers_and_raw_sockets_are_not_suspended() {
    let function = websocket(listens);
    let handler = Upgrade::new().serve_handler(|_: &Request| Says);
    for app in [&function as &dyn App, &handler, &takeover(raw)] {
        let mut host = Host::default();
        open(&mut host, app);
        assert_eq!(suspended(&host, app, 0), None);
        assert_eq!(
            refusal(app, &state(&events(Room))),
            ResumeError::Unsupported
        );
    }
}
