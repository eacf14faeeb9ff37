//! An app's function on a connection, natively, as a host would drive it.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use wasocket::{
    Answer, CloseCode, Closed, CodecError, Connection, Disposition, Effects, Error, Event, Instant,
    Limits, MaskingKeys, Message, Outcome, ReadyList, Request, Sender, Session, ShutdownReason,
    TrySendError, Upgrade, WebSocket,
};

/// An instance: its connections share the list of those that are ready, and the clock.
#[derive(Default)]
struct Host {
    ready: ReadyList,
    now: u64,
    connections: Vec<Peer>,
}

/// One connection, with the client's side of it.
struct Peer {
    session: Box<dyn Session>,
    client: Connection,
    /// Sent by the app, and not taken by the host.
    stuck: usize,
    takes_output: bool,
    effects: Effects,
    received: Vec<Event>,
}

impl Host {
    fn open<F>(&mut self, converse: impl FnOnce(WebSocket) -> F) -> usize
    where
        F: Future<Output: Outcome> + 'static,
    {
        let fields = vec![
            ("Host", "a.test"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "superchat, chat"),
        ];
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let request = Request {
            method: "GET".into(),
            target: "/talk?room=1".into(),
            version: wasocket::HttpVersion::Http11,
            authority: None,
            fields: fields.collect::<Vec<_>>().into(),
            secure: false,
            ..Request::default()
        };
        let upgrade = Upgrade::new().subprotocols(&["chat"]);
        let Answer::Takeover(mut takeover) = upgrade.converse(&request, converse) else {
            panic!("refused");
        };
        let id = self.connections.len();
        let effects = takeover
            .session
            .open(self.time(), id as u64, &self.ready, vec![]);
        let keys = MaskingKeys::from_seed([7; 32]);
        let mut peer = Peer {
            session: takeover.session,
            client: Connection::client(Limits::default(), keys),
            stuck: 0,
            takes_output: true,
            effects: effects.clone(),
            received: vec![],
        };
        peer.take(self.time(), effects);
        self.connections.push(peer);
        self.settle();
        id
    }

    fn time(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// Has the client do something, and the app receive it.
    fn client(&mut self, id: usize, act: impl FnOnce(&mut Connection)) {
        let now = self.time();
        let peer = &mut self.connections[id];
        act(&mut peer.client);
        let bytes = peer.client.take_output();
        let effects = peer.session.receive(now, bytes);
        peer.take(now, effects);
        self.settle();
    }

    fn say(&mut self, id: usize, text: &str) {
        self.client(id, |client| client.send_text(text).expect("open"));
    }

    /// Calls those that are ready, and those that asked for this instant, until none does.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let now = self.time();
            let mut ready = self.ready.take();
            for (id, peer) in self.connections.iter().enumerate() {
                let is_due = peer.effects.wake_at.is_some_and(|at| at <= now);
                if is_due && is_open(peer) {
                    ready.push(id as u64);
                }
            }
            if ready.is_empty() {
                return;
            }
            for id in ready {
                self.wake(id as usize);
            }
        }
        panic!("the app never rests");
    }

    fn wake(&mut self, id: usize) {
        let now = self.time();
        let peer = &mut self.connections[id];
        if is_open(peer) {
            let effects = peer.session.wake(now, peer.stuck as u64);
            peer.take(now, effects);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += u64::try_from(time.as_nanos()).expect("short");
        self.settle();
    }

    /// The host can send again.
    fn unblock(&mut self, id: usize) {
        let peer = &mut self.connections[id];
        peer.takes_output = true;
        peer.stuck = 0;
        self.wake(id);
        self.settle();
    }

    fn received(&mut self, id: usize) -> Vec<Event> {
        std::mem::take(&mut self.connections[id].received)
    }

    fn texts(&mut self, id: usize) -> Vec<String> {
        let events = self.received(id);
        let text = |event| match event {
            Event::Message(Message::Text(text)) => text.to_string(),
            event => panic!("{event:?}"),
        };
        events.into_iter().map(text).collect()
    }

    /// What the Close frame said that the app's side sent.
    fn close_frame(&mut self, id: usize) -> (u16, String) {
        match self.received(id).pop() {
            Some(Event::Closed(Closed::Handshake(Some(reason)))) => {
                (reason.code.as_u16(), reason.reason)
            }
            event => panic!("{event:?}"),
        }
    }
}

fn is_open(peer: &Peer) -> bool {
    matches!(peer.effects.next, Disposition::Open | Disposition::Pause)
}

impl Peer {
    fn take(&mut self, now: Instant, effects: Effects) {
        if self.takes_output {
            self.client.receive_bytes(now, &effects.output[..]);
            self.received
                .extend(std::iter::from_fn(|| self.client.next_event()));
        } else {
            self.stuck += effects.output.len();
        }
        self.effects = effects;
    }
}

async fn echo(ws: WebSocket) -> Result<(), Error> {
    while let Some(text) = ws.receive::<String>().await? {
        ws.send(format!("Received:  {text}")).await?;
    }
    Ok(())
}

#[test]
fn a_loop_over_messages() {
    let mut host = Host::default();
    let id = host.open(echo);
    host.say(id, "one");
    host.client(id, |client| {
        client.send_text("two").expect("open");
        client.ping(b"?").expect("open");
        client.send_text("three").expect("open");
    });
    let events = host.received(id);
    let [one, two, pong, three] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(*one, Event::Message("Received:  one".into()));
    assert_eq!(*two, Event::Message("Received:  two".into()));
    assert_eq!(*pong, Event::Pong(b"?"[..].into()));
    assert_eq!(*three, Event::Message("Received:  three".into()));
    host.client(id, |client| {
        client.close(CloseCode::GOING_AWAY, "").expect("open")
    });
    assert_eq!(host.close_frame(id).0, 1001);
    assert_eq!(host.connections[id].effects.next, Disposition::Close);
}

#[test]
fn what_is_known_of_a_connection() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        assert_eq!(ws.request().target, "/talk?room=1");
        assert_eq!(ws.subprotocol(), Some("chat"));
        assert!(!ws.is_compressed());
        assert_eq!(ws.closed(), None);
        ws.send("known").await
    });
    assert_eq!(host.received(id)[0], Event::Message("known".into()));
}

#[test]
fn the_end_of_the_function_closes() {
    let mut host = Host::default();
    let id = host.open(|_| async {});
    assert_eq!(host.close_frame(id), (1000, String::new()));

    let id = host.open(|_| async { Err::<(), Box<dyn std::error::Error>>("secret".into()) });
    assert_eq!(host.close_frame(id), (1011, String::new()));

    let id = host.open(echo);
    host.client(id, |client| client.send_binary(b"x").expect("open"));
    assert_eq!(
        host.close_frame(id),
        (1003, "expected a text message".into())
    );
}

#[test]
fn the_answer_to_a_message_goes_out_before_a_violation_behind_it_is_seen_to() {
    let mut host = Host::default();
    let id = host.open(echo);
    let now = host.time();
    let peer = &mut host.connections[id];
    let effects = peer
        .session
        .receive(now, b"\x81\x81\0\0\0\0a\x81\x01b".to_vec());
    peer.take(now, effects);
    let events = host.received(id);
    let [answer, Event::Closed(Closed::Handshake(Some(reason)))] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(*answer, Event::Message("Received:  a".into()));
    assert_eq!(reason.code, CloseCode::PROTOCOL_ERROR);
}

/// Runs a function to its end, and returns what it made.
fn outcome<T: 'static, F>(
    host: &mut Host,
    converse: impl FnOnce(WebSocket) -> F,
) -> (usize, Rc<RefCell<Option<T>>>)
where
    F: Future<Output = T> + 'static,
{
    let slot = Rc::new(RefCell::new(None));
    let made = Rc::clone(&slot);
    let id = host.open(|ws| {
        let future = converse(ws);
        async move {
            let value = future.await;
            *made.borrow_mut() = Some(value);
        }
    });
    (id, slot)
}

#[test]
fn the_peers_close_is_the_end_of_the_messages() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let end = ws.receive::<Message>().await;
        (end, ws.closed(), ws.send("late").await)
    });
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "bye").expect("open");
    });
    let (end, closed, late) = slot.take().expect("ended");
    assert_eq!(end, Ok(None));
    let closed = closed.expect("closed");
    assert_eq!(closed.code(), 1000);
    assert!(!closed.is_unexpected(&[CloseCode::NORMAL]));
    assert!(closed.is_unexpected(&[CloseCode::GOING_AWAY]));
    assert_eq!(late, Err(Error::Closed(closed)));
}

#[test]
fn a_connection_that_breaks_is_an_error() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move { ws.receive::<Message>().await });
    let now = host.time();
    host.connections[id].session.lost(now);
    let end = slot.take().expect("ended");
    assert_eq!(end, Err(Error::Closed(Closed::EndOfStream)));
}

#[test]
fn closing_waits_for_the_peer() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.close(CloseCode::new(4001).expect("private"), "enough")
            .await
    });
    assert!(slot.borrow().is_none());
    // What the client has sent before does not keep its Close from being seen.
    let close = host.connections[id].client.take_output();
    host.client(id, |_| {});
    assert!(!close.is_empty());
    let now = host.time();
    let peer = &mut host.connections[id];
    let mut bytes = b"\x81\x81\0\0\0\0a".repeat(100);
    bytes.extend(close);
    let effects = peer.session.receive(now, bytes);
    peer.take(now, effects);
    let closed = slot.take().expect("ended").expect("closed");
    assert_eq!(closed.code(), 4001);
}

#[test]
fn a_ping_tells_the_round_trip() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move { ws.ping().await });
    assert!(slot.borrow().is_none());
    host.now += 3_000_000;
    // The client has answered already; its pong arrives now.
    host.client(id, |_| {});
    assert_eq!(slot.take().expect("ended"), Ok(Duration::from_millis(3)));
}

#[test]
fn timers() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.sleep(Duration::from_secs(2)).await;
        ws.timeout(Duration::from_secs(3), ws.receive::<String>())
            .await
    });
    host.pass(Duration::from_secs(4));
    assert!(slot.borrow().is_none());
    host.say(id, "in time");
    let received = slot.take().expect("ended").expect("in time");
    assert_eq!(received, Ok(Some("in time".to_owned())));

    let (_, slot) = outcome(&mut host, |ws| async move {
        ws.timeout(Duration::from_secs(3), ws.receive::<String>())
            .await
            .is_err()
    });
    host.pass(Duration::from_secs(3));
    assert_eq!(slot.take(), Some(true));
}

#[test]
fn another_connection_is_sent_to() {
    let mut host = Host::default();
    let room = Rc::new(RefCell::new(Vec::<Sender>::new()));
    let join = |room: &Rc<RefCell<Vec<Sender>>>| {
        let room = Rc::clone(room);
        move |ws: WebSocket| async move {
            room.borrow_mut().push(ws.sender());
            while let Some(text) = ws.receive::<String>().await? {
                for member in room.borrow().iter() {
                    let _ = member.try_send(text.as_str());
                }
            }
            Ok::<(), Error>(())
        }
    };
    let ids = [0; 3].map(|_| host.open(join(&room)));
    host.say(ids[1], "hello");
    for id in ids {
        assert_eq!(host.texts(id), ["hello"]);
    }
}

#[test]
fn a_slow_reader_slows_the_app_down() {
    let mut host = Host::default();
    let sent = Rc::new(RefCell::new(0));
    let count = Rc::clone(&sent);
    let id = host.open(|ws| async move {
        ws.receive::<Message>().await?;
        loop {
            ws.send(&[0; 1000][..]).await?;
            *count.borrow_mut() += 1;
            if *count.borrow() == 1000 {
                return Ok::<(), Error>(());
            }
        }
    });
    host.connections[id].takes_output = false;
    host.say(id, "go");
    // 64 KiB, and the message that went beyond.
    assert_eq!(*sent.borrow(), 66);
    host.unblock(id);
    assert_eq!(*sent.borrow(), 1000);
}

#[test]
fn a_full_buffer_gives_the_message_back() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.receive::<Message>().await.expect("open");
        let first = ws.try_send(&[0; 70_000][..]);
        (first, ws.try_send("more"))
    });
    host.say(id, "go");
    let (first, second) = slot.take().expect("ended");
    assert_eq!(first, Ok(()));
    assert_eq!(second, Err(TrySendError::Full("more".into())));
}

#[test]
fn an_app_that_does_not_receive_is_not_sent_more() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        ws.sleep(Duration::from_secs(60)).await;
        echo(ws).await
    });
    host.client(id, |client| {
        for _ in 0..20 {
            client.send_text("x").expect("open");
        }
    });
    assert_eq!(host.connections[id].effects.next, Disposition::Pause);
    // Nothing is heard while nothing is read: that is no reason to give the peer up.
    host.pass(Duration::from_secs(50));
    assert_eq!(host.connections[id].effects.next, Disposition::Pause);
    host.pass(Duration::from_secs(10));
    assert_eq!(host.connections[id].effects.next, Disposition::Open);
    assert_eq!(host.texts(id).len(), 20);
}

#[test]
fn a_host_that_stops_ends_the_conversation() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move { ws.receive::<Message>().await });
    let now = host.time();
    let peer = &mut host.connections[id];
    let effects = peer.session.shutdown(now, ShutdownReason::ServiceRestart);
    peer.take(now, effects);
    host.client(id, |_| {});
    assert_eq!(slot.take(), Some(Ok(None)));
    assert_eq!(host.close_frame(id).0, 1012);
}

#[test]
fn messages_of_the_wrong_kind_are_lost_and_no_more() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let wrong = ws.receive::<String>().await;
        (wrong, ws.receive::<Vec<u8>>().await)
    });
    host.client(id, |client| {
        client.send_binary(b"x").expect("open");
        client.send_text("y").expect("open");
    });
    let (wrong, right) = slot.take().expect("ended");
    assert_eq!(wrong, Err(Error::Codec(CodecError::ExpectedText)));
    assert_eq!(right, Ok(Some(b"y".to_vec())));
}
