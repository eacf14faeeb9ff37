//! A host that runs apps natively, together with the clients of their connections.
#![allow(dead_code, reason = "each test that includes this module uses a part")]

mod topics;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use wasocket::topics::TopicAction;
use wasocket::{
    Answer, App, Closed, Connection, Disposition, Effects, Event, Instant, Limits, MaskingKeys,
    Message, Outcome, ReadyList, Request, Response, Session, Upgrade, Verdict, WebSocket,
};
use wasocket_host_core::turn::{Call, Next, Turn};

/// An instance: its connections share the list of those that are ready, and the clock.
#[derive(Default)]
pub struct Host {
    pub ready: ReadyList,
    pub now: u64,
    pub connections: Vec<Peer>,
    pub topics: topics::Topics,
}

/// One connection, with the client's side of it.
pub struct Peer {
    pub session: Box<dyn Session>,
    pub client: Connection,
    /// Which call into the session may come next.
    pub turn: Turn,
    /// Sent by the client, and not yet received by the app.
    pub input: Vec<u8>,
    /// The number of bytes sent by the app and not yet taken by the client.
    pub stuck: usize,
    /// These bytes.
    pub unsent: Vec<u8>,
    pub takes_output: bool,
    /// The effects of the latest call.
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
            turn: Turn::new(),
            input: vec![],
            stuck: 0,
            unsent: vec![],
            takes_output: true,
            effects: effects.clone(),
            received: vec![],
        };
        let actions = peer.take(self.time(), effects);
        self.connections.push(peer);
        self.want(id, actions);
        self.settle();
        id
    }

    pub fn time(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// Has the client do something, and the app receive it once it may.
    pub fn client(&mut self, id: usize, act: impl FnOnce(&mut Connection)) {
        let peer = &mut self.connections[id];
        act(&mut peer.client);
        peer.input.extend(peer.client.take_output());
        self.settle();
    }

    /// Has the client do something, and the app receive it in pieces of this size, as long as it may. Returns
    /// the number of bytes received.
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
            if !peer.turn.may_receive() {
                return taken;
            }
            let effects = peer.session.receive(now, piece.to_vec());
            self.take(id, effects);
            self.settle();
            taken += piece.len();
        }
        taken
    }

    pub fn say(&mut self, id: usize, text: &str) {
        self.client(id, |client| client.send_text(text).expect("open"));
    }

    /// Calls the connections that have input, are ready, or asked for this instant, until none is left.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let now = self.time();
            let mut is_done = true;
            for id in 0..self.connections.len() {
                if let Some(effects) = self.connections[id].receive(now) {
                    is_done = false;
                    self.take(id, effects);
                }
            }
            is_done &= !self.carry_out_topics();
            for id in self.ready.take() {
                is_done = false;
                self.wake(id as usize);
            }
            for id in 0..self.connections.len() {
                let due = self.connections[id].turn.on_time(self.now);
                is_done &= due.is_none();
                self.wake_if(id, due);
            }
            if is_done {
                return;
            }
        }
        panic!("the app never rests");
    }

    pub fn wake(&mut self, id: usize) {
        let call = self.connections[id].turn.on_woken();
        self.wake_if(id, call);
    }

    /// Wakes a connection if the turn says so.
    fn wake_if(&mut self, id: usize, call: Option<Call>) {
        if call.is_some() {
            let now = self.time();
            let peer = &mut self.connections[id];
            let effects = peer.session.wake(now, peer.stuck as u64);
            self.take(id, effects);
        }
    }

    /// Acts on the effects of a call.
    pub fn take(&mut self, id: usize, effects: Effects) {
        let now = self.time();
        let actions = self.connections[id].take(now, effects);
        self.want(id, actions);
    }

    fn want(&mut self, id: usize, actions: Vec<TopicAction>) {
        let actions = actions.into_iter().map(|action| (Some(id), action));
        self.topics.actions.extend(actions);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += u64::try_from(time.as_nanos()).expect("short");
        self.settle();
    }

    /// Lets time pass, while the client answers pings.
    pub fn pass_by_seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            for id in 0..self.connections.len() {
                self.client(id, |_| {});
            }
        }
    }

    /// Has the client receive all unsent output.
    pub fn let_through(&mut self, id: usize) {
        let now = self.time();
        let peer = &mut self.connections[id];
        peer.takes_output = true;
        let unsent = std::mem::take(&mut peer.unsent);
        peer.send(now, &unsent);
        self.unblock(id);
    }

    /// Has the client take all unsent output, which is lost.
    pub fn unblock(&mut self, id: usize) {
        let peer = &mut self.connections[id];
        peer.takes_output = true;
        peer.stuck = 0;
        peer.unsent.clear();
        let call = peer.turn.on_sent(0);
        self.wake_if(id, call);
        self.deliver_waiting(id);
        self.settle();
    }

    pub fn received(&mut self, id: usize) -> Vec<Event> {
        std::mem::take(&mut self.connections[id].received)
    }

    /// The texts received. The pings of an idle connection, which are empty, do not count.
    pub fn texts(&mut self, id: usize) -> Vec<String> {
        let events = self.received(id);
        let text = |event| match event {
            Event::Message(Message::Text(text)) => Some(text.to_string()),
            Event::Ping(payload) if payload.is_empty() => None,
            event => panic!("{event:?}"),
        };
        events.into_iter().filter_map(text).collect()
    }

    /// The code and the reason of the Close frame that the app's side sent.
    pub fn close_frame(&mut self, id: usize) -> (u16, String) {
        match self.received(id).pop() {
            Some(Event::Closed(Closed::Handshake(Some(reason)))) => {
                (reason.code.as_u16(), reason.reason)
            }
            event => panic!("{event:?}"),
        }
    }
}

/// The app's answer to a request, which it must not put off. A fault is a 500. What is published with it does not matter.
pub fn answer(app: &dyn App, request: Request) -> Answer {
    match app.handle(request).into_parts().1 {
        Verdict::Answer(answer) => answer,
        Verdict::Failed(_) => Response::text(500, "").into(),
        verdict => panic!("there is something else to do: {verdict:?}"),
    }
}

/// The answer to a client's opening handshake.
pub fn handshake(answer: impl FnOnce(&Request) -> Answer) -> Answer {
    answer(&request())
}

pub fn is_open(peer: &Peer) -> bool {
    peer.turn.is_open()
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
    /// Passes the input to the app if it may receive.
    fn receive(&mut self, now: Instant) -> Option<Effects> {
        if self.input.is_empty() || !self.turn.may_receive() {
            return None;
        }
        let input = std::mem::take(&mut self.input);
        Some(self.session.receive(now, input))
    }

    /// Acts on the effects of a call, and returns what is wanted of topics.
    pub fn take(&mut self, now: Instant, effects: Effects) -> Vec<TopicAction> {
        let next = match effects.next {
            Disposition::Open => Next::Open,
            Disposition::Pause => Next::Pause,
            Disposition::Close => Next::Close,
            Disposition::Abort => Next::Abort,
        };
        let wake_at = effects.wake_at.map(Instant::as_nanos);
        let _ = self.turn.on_effects(next, wake_at);
        self.send(now, &effects.output);
        let actions = effects.topics.clone();
        self.effects = effects;
        actions
    }

    pub fn send(&mut self, now: Instant, bytes: &[u8]) {
        if self.takes_output {
            self.client.receive_bytes(now, bytes);
            self.received
                .extend(std::iter::from_fn(|| self.client.next_event()));
        } else {
            self.stuck += bytes.len();
            self.unsent.extend_from_slice(bytes);
            let _ = self.turn.on_sent(self.stuck);
        }
    }
}

/// Runs a function to its end, and returns its result.
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
