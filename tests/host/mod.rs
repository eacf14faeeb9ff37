//! A host of connections whose apps are functions, with the clients' sides of them.
#![allow(dead_code, reason = "each test that includes this module uses a part")]

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use wasocket::{
    Answer, Closed, Connection, Disposition, Effects, Event, Instant, Limits, MaskingKeys, Message,
    Outcome, ReadyList, Request, Session, Upgrade, WebSocket,
};

/// An instance: its connections share the list of those that are ready, and the clock.
#[derive(Default)]
pub struct Host {
    pub ready: ReadyList,
    pub now: u64,
    pub connections: Vec<Peer>,
}

/// One connection, with the client's side of it.
pub struct Peer {
    pub session: Box<dyn Session>,
    pub client: Connection,
    /// Sent by the app, and not taken by the host.
    pub stuck: usize,
    pub takes_output: bool,
    pub effects: Effects,
    pub received: Vec<Event>,
}

impl Host {
    pub fn open<F>(&mut self, converse: impl FnOnce(WebSocket) -> F) -> usize
    where
        F: Future<Output: Outcome> + 'static,
    {
        self.open_with(Limits::default(), converse)
    }

    pub fn open_with<F>(&mut self, limits: Limits, converse: impl FnOnce(WebSocket) -> F) -> usize
    where
        F: Future<Output: Outcome> + 'static,
    {
        self.open_answer(|request| {
            let upgrade = Upgrade::new().subprotocols(&["chat"]).limits(limits);
            upgrade.converse(request, converse)
        })
    }

    pub fn open_answer(&mut self, answer: impl FnOnce(&Request) -> Answer) -> usize {
        let Answer::Takeover(mut takeover) = handshake(answer) else {
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

    pub fn time(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// Has the client do something, and the app receive it.
    pub fn client(&mut self, id: usize, act: impl FnOnce(&mut Connection)) {
        let now = self.time();
        let peer = &mut self.connections[id];
        act(&mut peer.client);
        let bytes = peer.client.take_output();
        let effects = peer.session.receive(now, bytes);
        peer.take(now, effects);
        self.settle();
    }

    /// Has the client do something, and the app receive it in pieces of this size, as far as it takes
    /// them: how many bytes that is.
    pub fn client_in_pieces(
        &mut self,
        id: usize,
        size: usize,
        act: impl FnOnce(&mut Connection),
    ) -> usize {
        let now = self.time();
        act(&mut self.connections[id].client);
        let bytes = self.connections[id].client.take_output();
        let mut taken = 0;
        for piece in bytes.chunks(size) {
            let peer = &mut self.connections[id];
            if peer.effects.next != Disposition::Open {
                return taken;
            }
            let effects = peer.session.receive(now, piece.to_vec());
            peer.take(now, effects);
            self.settle();
            taken += piece.len();
        }
        taken
    }

    pub fn say(&mut self, id: usize, text: &str) {
        self.client(id, |client| client.send_text(text).expect("open"));
    }

    /// Calls those that are ready, and those that asked for this instant, until none does.
    pub fn settle(&mut self) {
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

    pub fn wake(&mut self, id: usize) {
        let now = self.time();
        let peer = &mut self.connections[id];
        if is_open(peer) {
            let effects = peer.session.wake(now, peer.stuck as u64);
            peer.take(now, effects);
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += u64::try_from(time.as_nanos()).expect("short");
        self.settle();
    }

    /// Time passes, and the client answers pings meanwhile.
    pub fn pass_by_seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            for id in 0..self.connections.len() {
                if self.connections[id].effects.next == Disposition::Open {
                    self.client(id, |_| {});
                }
            }
        }
    }

    /// The host can send again.
    pub fn unblock(&mut self, id: usize) {
        let peer = &mut self.connections[id];
        peer.takes_output = true;
        peer.stuck = 0;
        self.wake(id);
        self.settle();
    }

    pub fn received(&mut self, id: usize) -> Vec<Event> {
        std::mem::take(&mut self.connections[id].received)
    }

    pub fn texts(&mut self, id: usize) -> Vec<String> {
        let events = self.received(id);
        let text = |event| match event {
            Event::Message(Message::Text(text)) => text.to_string(),
            event => panic!("{event:?}"),
        };
        events.into_iter().map(text).collect()
    }

    /// What the Close frame said that the app's side sent.
    pub fn close_frame(&mut self, id: usize) -> (u16, String) {
        match self.received(id).pop() {
            Some(Event::Closed(Closed::Handshake(Some(reason)))) => {
                (reason.code.as_u16(), reason.reason)
            }
            event => panic!("{event:?}"),
        }
    }
}

/// What a client's opening handshake is answered with.
pub fn handshake(answer: impl FnOnce(&Request) -> Answer) -> Answer {
    answer(&request())
}

pub fn is_open(peer: &Peer) -> bool {
    matches!(peer.effects.next, Disposition::Open | Disposition::Pause)
}

fn request() -> Request {
    let fields = [
        ("Host", "a.test"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "superchat, chat"),
    ];
    let fields = fields.map(|(name, value)| (name.into(), value.into()));
    Request {
        method: "GET".into(),
        target: "/talk?room=1".into(),
        version: wasocket::HttpVersion::Http11,
        authority: None,
        protocol: None,
        fields: fields.to_vec().into(),
        secure: false,
        ..Request::default()
    }
}

impl Peer {
    pub fn take(&mut self, now: Instant, effects: Effects) {
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

/// Runs a function to its end, and returns what it made.
pub fn outcome<T: 'static, F>(
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
