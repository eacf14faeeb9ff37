//! An echo that does one thing wrong: the path of the request names it.

mod suspends;

use wasocket::topics::{
    Broadcast, Publication, Start, SubscriptionRequest, TopicAction, TopicEvent,
};
use wasocket::{
    Answer, App, Connection, Delivered, Disposition, Effects, Fields, Instant, Message,
    MessageLimits, ReadyList, Report, Request, Response, Resumer, Session, ShutdownReason,
    Suspended, Takeover, Upgrade, Verdict,
};

wasocket::export!(Breaches);

struct Breaches;

impl App for Breaches {
    fn handle(&self, request: Request) -> Verdict {
        if request.path().starts_with("/suspends") {
            suspends::handle(request)
        } else {
            handle(&request).into()
        }
    }

    fn resumer(&self, path: &str) -> Option<&dyn Resumer> {
        path.starts_with("/suspends").then_some(&suspends::Lossy)
    }
}

fn handle(request: &Request) -> Answer {
    let answer = Upgrade::new().accept(request, |ws: &mut Connection, message: Message| {
        ws.send(message)
    });
    let path = request.path().to_owned();
    if path == "/trap-in-handle" {
        panic!("a panic for the test");
    }
    match answer {
        Answer::Takeover(takeover) => Answer::Takeover(takeover_of(takeover, path)),
        // Does not check the key.
        Answer::Respond(refusal) if path == "/handshake" && refusal.head.status == 400 => {
            lenient(request, &refusal)
        }
        Answer::Respond(refusal) if path == "/response" => {
            refusal.with_field("Content-Length", "0").into()
        }
        Answer::Respond(refusal) => refusal.into(),
    }
}

fn takeover_of(mut takeover: Takeover, path: String) -> Takeover {
    if path == "/final-bytes" {
        takeover.final_bytes = b"\x88\x02\x03\xe8";
    }
    if let (Some(head), "/accept") = (&mut takeover.response, path.as_str()) {
        head.fields.append("Sec-WebSocket-Extensions", "x-unasked");
    }
    let inner = takeover.session;
    let held = Vec::new();
    let session = Box::new(Breaching { inner, path, held });
    Takeover {
        session,
        ..takeover
    }
}

/// Accepts a request that was refused with status 400, as if it had been valid.
fn lenient(request: &Request, refusal: &Response) -> Answer {
    let request = Request {
        fields: handshake(),
        ..request.clone()
    };
    match Upgrade::new().accept(&request, |_: &mut Connection, _: Message| Ok(())) {
        Answer::Takeover(takeover) => Answer::Takeover(takeover),
        Answer::Respond(_) => refusal.clone().into(),
    }
}

/// The fields of a valid opening handshake.
fn handshake() -> Fields {
    let fields = [
        ("Host", "a.test"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    fields.to_vec().into()
}

/// A correct session, with one exception.
struct Breaching {
    inner: Box<dyn Session>,
    path: String,
    /// A frame that is sent too late.
    held: Vec<u8>,
}

impl Session for Breaching {
    fn open(&mut self, now: Instant, id: u64, ready: &ReadyList, mut residual: Vec<u8>) -> Effects {
        if self.path == "/residual" {
            residual.clear();
        }
        let mut effects = self.inner.open(now, id, ready, residual);
        if self.path.starts_with("/topics") {
            effects
                .topics
                .push(TopicAction::Subscribe(SubscriptionRequest {
                    topic: "room".into(),
                    start: Start::Now,
                    keep: None,
                    member: None,
                    watch_members: false,
                    confirm: true,
                }));
        }
        effects
    }

    /// Sends every publication in a frame of its own.
    fn deliver(&mut self, now: Instant, broadcast: &Broadcast) -> Delivered {
        let text = broadcast.delivery().message.as_bytes();
        let mut frame = vec![0x81, text.len() as u8];
        frame.extend_from_slice(text);
        let mut effects = self.inner.wake(now, 0);
        match self.path.as_str() {
            "/topics-form" => return Delivered::Form(99),
            "/topics-cut" => frame.truncate(frame.len() - 1),
            "/topics-order" if self.held.is_empty() => self.held = std::mem::take(&mut frame),
            "/topics-order" => frame.append(&mut self.held),
            "/topics-several" if text == b"news" => {
                thread_local! { static COUNT: std::cell::Cell<u8> = const { std::cell::Cell::new(0) }; }
                COUNT.set(COUNT.get() + 1);
                frame.extend([0x81, 1, b'0' + COUNT.get() % 10]);
            }
            "/topics-ends" => effects.next = Disposition::Close,
            _ => {}
        }
        effects.output.extend(frame);
        Delivered::Effects(effects)
    }

    fn tell(&mut self, now: Instant, event: TopicEvent) -> Effects {
        match (self.path.as_str(), &event) {
            ("/topics-trap", TopicEvent::Gap(_)) => panic!("a panic for the test"),
            ("/topics-slow", _) | (_, TopicEvent::Subscribed(_)) => self.inner.wake(now, 0),
            (_, TopicEvent::TooSlow) => Effects {
                output: b"\x88\x02\x03\xf5".to_vec(),
                ..self.inner.wake(now, 0)
            },
            _ => self.inner.tell(now, event),
        }
    }

    fn set_limits(&mut self, limits: MessageLimits) {
        if self.path != "/limits" {
            self.inner.set_limits(limits);
        }
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        // Expects frames to arrive whole.
        if self.path == "/split" && bytes.len() == 1 {
            return self.inner.receive_eof(now);
        }
        let mut effects = self.inner.receive(now, bytes);
        match self.path.as_str() {
            "/after-close" if effects.next == Disposition::Close => {
                effects.output.extend(b"\x8a\0");
            }
            "/stays" if effects.next == Disposition::Close => effects.next = Disposition::Open,
            "/masked" => effects.output = effects.output.iter().map(|byte| byte | 0x80).collect(),
            _ => {}
        }
        effects
    }

    fn receive_eof(&mut self, now: Instant) -> Effects {
        if self.path == "/trap-at-the-end" {
            panic!("a panic for the test");
        }
        self.inner.receive_eof(now)
    }

    fn wake(&mut self, now: Instant, unsent: u64) -> Effects {
        match self.path.as_str() {
            "/unsent" => self.inner.wake(now, 0),
            "/wake" => Effects {
                output: b"\x89\0".to_vec(),
                ..self.inner.wake(now, unsent)
            },
            _ => self.inner.wake(now, unsent),
        }
    }

    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects {
        match self.path.as_str() {
            "/shutdown" => self.inner.shutdown(now, ShutdownReason::GoingAway),
            _ => self.inner.shutdown(now, reason),
        }
    }

    fn lost(&mut self, now: Instant) -> Vec<Publication> {
        if self.path == "/trap-when-lost" {
            panic!("a panic for the test");
        }
        self.inner.lost(now)
    }

    fn suspend(&self, now: Instant) -> Option<Suspended> {
        self.inner.suspend(now)
    }

    fn report(&self) -> Report {
        match self.path.as_str() {
            "/report" => Report::default(),
            _ => self.inner.report(),
        }
    }
}
