//! The app's own Pings and Pongs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::host::{Host, outcome};
use wasocket::{
    CloseCode, CloseReason, Connection, Error, Event, Handler, Message, MessageType, Piece,
    Upgrade, UsageError,
};

#[test]
fn a_ping_measures_the_round_trip() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move { ws.ping().await });
    assert!(slot.borrow().is_none());
    host.now += 3_000_000;
    // The client's Pong arrives now.
    host.client(id, |_| {});
    assert_eq!(slot.take().expect("ended"), Ok(Duration::from_millis(3)));
}

/// A handler that records what it is called with.
struct Noting(Rc<RefCell<Vec<String>>>);

impl Noting {
    fn note(&self, kind: &str, bytes: &[u8]) {
        let note = format!("{kind} {}", String::from_utf8_lossy(bytes));
        self.0.borrow_mut().push(note);
    }
}

impl Handler for Noting {
    fn open(&mut self, connection: &mut Connection) -> Result<(), UsageError> {
        connection.stream_messages(true);
        connection.pong(b"unasked")
    }

    fn message(&mut self, _: &mut Connection, message: Message) -> Result<(), UsageError> {
        self.note("message", message.as_bytes());
        Ok(())
    }

    fn piece(&mut self, connection: &mut Connection, piece: Piece) -> Result<(), UsageError> {
        self.note("piece", &piece.bytes);
        if piece.last {
            connection.start_message(MessageType::Text)?;
            connection.send_fragment(b"thank ")?;
            connection.send_fragment(b"you")?;
            connection.end_message()?;
        }
        Ok(())
    }

    fn ping(&mut self, connection: &mut Connection, payload: &[u8]) -> Result<(), UsageError> {
        self.note("ping", payload);
        connection.ping(b"you?")
    }

    fn pong(&mut self, _: &mut Connection, payload: &[u8]) -> Result<(), UsageError> {
        self.note("pong", payload);
        Ok(())
    }

    fn closing(
        &mut self,
        connection: &mut Connection,
        reason: Option<&CloseReason>,
    ) -> Result<(), UsageError> {
        self.note(
            "closing",
            reason.map_or(&[], |reason| reason.reason.as_bytes()),
        );
        connection.close(CloseCode::TRY_AGAIN_LATER, "later")
    }
}

#[test]
fn a_handler_sees_pieces_pings_and_pongs() {
    let mut host = Host::default();
    let notes = Rc::new(RefCell::new(vec![]));
    let handler = Noting(Rc::clone(&notes));
    let id = host.open_answer(|request| Upgrade::new().accept(request, handler));
    assert_eq!(host.received(id), [Event::Pong(b"unasked"[..].into())]);
    host.client_in_pieces(id, 9, |client| {
        client.send_text("abcde").expect("open");
        client.ping(b"?").expect("open");
        client.send_text("").expect("open");
    });
    host.client(id, |_| {});
    let expected = ["piece abc", "piece de", "ping ?", "message ", "pong you?"];
    assert_eq!(*notes.borrow(), expected);
    assert_eq!(host.received(id)[0], Event::Message("thank you".into()));
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "done").expect("open");
    });
    assert_eq!(
        notes.borrow().last().map(String::as_str),
        Some("closing done")
    );
    assert_eq!(host.close_frame(id), (1013, "later".into()));
}

#[test]
fn on_ping_and_on_pong_see_payloads() {
    let mut host = Host::default();
    let seen = Rc::new(RefCell::new(vec![]));
    let (pings, pongs) = (Rc::clone(&seen), Rc::clone(&seen));
    let id = host.open(|ws| async move {
        let sender = ws.sender();
        ws.on_ping(move |payload| {
            pings.borrow_mut().push(("ping", payload.to_vec()));
            // The connection can be used here, and its reference to itself does not keep it alive.
            let sent = sender.try_send("pinged");
            assert_eq!(sent, Ok(()));
        });
        ws.on_pong(move |payload| pongs.borrow_mut().push(("pong", payload.to_vec())));
        ws.send_ping(b"own")?;
        ws.send_pong(b"unasked")?;
        let too_long = Err(Error::Usage(UsageError::PingTooLong));
        assert_eq!(ws.send_ping(&[0; 126]), too_long);
        assert_eq!(ws.send_pong(&[0; 126]), too_long);
        ws.receive::<Message>().await.map(drop)
    });
    let events = host.received(id);
    let [Event::Ping(own), Event::Pong(unasked)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((&own[..], &unasked[..]), (&b"own"[..], &b"unasked"[..]));
    host.client(id, |client| client.ping(b"?").expect("open"));
    let expected = [("pong", b"own".to_vec()), ("ping", b"?".to_vec())];
    assert_eq!(*seen.borrow(), expected);
    let events = host.received(id);
    assert_eq!(events[0], Event::Pong(b"?"[..].into()));
    assert_eq!(events[1], Event::Message("pinged".into()));
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open")
    });
    assert_eq!(Rc::strong_count(&seen), 1);
}

/// A Pong with a number of the app's own does not count as the answer to a Ping.
#[test]
fn an_unsolicited_pong_does_not_answer_a_ping() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move { ws.ping().await });
    let pong = host.connections[id].client.take_output();
    host.client(id, |client| {
        client.pong(&1_u64.to_be_bytes()).expect("open")
    });
    assert!(slot.borrow().is_none());
    let now = host.time();
    let peer = &mut host.connections[id];
    let effects = peer.session.receive(now, pong);
    peer.take(now, effects);
    assert_eq!(slot.take().expect("ended"), Ok(Duration::ZERO));
}
