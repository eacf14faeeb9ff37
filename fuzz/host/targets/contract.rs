//! The WIT boundary. Calls in any order that the contract allows, with any arguments, into both
//! embedded components must not fault, and must have the effects of the native protocol. And any answer that
//! a component could give is either refused, or sent as it is.
//!
//! The instances live as long as the process, so anything that a connection leaves behind ends the run as well.
#![no_main]

use std::cell::RefCell;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wasmtime::component::ResourceAny;
use wasocket::extension::DeflateOptions;
use wasocket::{
    Answer, ClientSession, CloseCode, Connection, Deliver, Delivered, Disposition, Initiator,
    Instant, Message, MessageLimits, ReadyList, Session, Upgrade,
};
use wasocket_host::bindings::{self, Arrival, Field, HttpVersion, Next};
use wasocket_host::client::{CLIENT_COMPONENT, Client};
use wasocket_host::component::{Component, World};
use wasocket_host::default_app::DEFAULT_APP;
use wasocket_host::engine::engine;
use wasocket_host::guest::{Guest, Limits, finish};
use wasocket_host_core::answer;
use wasocket_host_core::http1::switching_protocols;
use wasocket_host_core::turn::Turn;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Serve {
        deflate: bool,
        events: Vec<Event<'a>>,
    },
    Handle(Request<'a>),
    Connect {
        deflate: bool,
        events: Vec<Event<'a>>,
    },
    Answer {
        status: u16,
        fields: Vec<(&'a str, &'a [u8])>,
    },
    Together {
        deflate: bool,
        rounds: Vec<Round<'a>>,
    },
}

/// Arrivals on several connections at once, each named by its number, after a pause in milliseconds.
#[derive(Arbitrary, Debug)]
struct Round<'a>(u16, Vec<(u8, &'a [u8])>, Option<Published<'a>>);

/// A publication, the forms that are known, and the connections that it is given to.
#[derive(Arbitrary, Debug)]
struct Published<'a> {
    topic: &'a str,
    text: &'a str,
    position: Option<&'a str>,
    known: Vec<u32>,
    to: [bool; 3],
}

/// An event on a connection, after a pause in milliseconds.
#[derive(Arbitrary, Debug)]
struct Event<'a>(u16, What<'a>);

#[derive(Arbitrary, Debug)]
enum What<'a> {
    Receive(&'a [u8]),
    EndOfStream,
    Wake(u32),
    Shutdown(bool),
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Close(u16, &'a str),
    SetLimits(Option<u16>, Option<u8>),
    Tell(&'a str, bool),
}

#[derive(Arbitrary, Debug)]
struct Request<'a> {
    method: Option<&'a str>,
    query: &'a str,
    version: u8,
    fields: Vec<(&'a str, &'a [u8])>,
    handshake: bool,
    secure: bool,
}

thread_local! {
    static GUESTS: RefCell<(Guest, Client)> = RefCell::new(guests());
}

/// A machine that is busy with fuzzing is slow.
const LIMITS: Limits = Limits {
    memory: 64 << 20,
    call_time: Duration::from_secs(10),
    file_time: Duration::from_secs(10),
    start_time: Duration::from_secs(10),
    message_limits: None,
};

fn guests() -> (Guest, Client) {
    let engine = engine().expect("an engine");
    let app = Component::from_bytes(&engine, DEFAULT_APP).expect("the default app");
    let client = Component::of_world(World::Client, &engine, CLIENT_COMPONENT).expect("the client");
    let app = finish(Guest::new(&app, LIMITS)).expect("an instance");
    (app, Client::new(&client, LIMITS).expect("an instance"))
}

fuzz_target!(|input: Input| {
    GUESTS.with_borrow_mut(|(guest, client)| match input {
        Input::Serve { deflate, events } => serve(guest, deflate, &events),
        Input::Handle(request) => handle(guest, &request),
        Input::Connect { deflate, events } => connect(client, deflate, &events),
        Input::Answer { status, fields } => check_answer(status, &fields),
        Input::Together { deflate, rounds } => together(guest, deflate, &rounds),
    });
});

fn serve(guest: &mut Guest, deflate: bool, events: &[Event]) {
    let mut pair = Pair::new(guest, deflate);
    let residual = match events.first() {
        Some(Event(_, What::Receive(residual))) => residual,
        _ => &[][..],
    };
    pair.open(guest, 1, residual);
    for event in events.iter().skip(1).take(64) {
        if !pair.turn.is_open() {
            break;
        }
        pair.step(guest, event);
    }
    pair.end(guest);
}

/// Connections of one instance, whose bytes arrive in one call.
fn together(guest: &mut Guest, deflate: bool, rounds: &[Round]) {
    let mut pairs = [1, 2, 3].map(|id| {
        let mut pair = Pair::new(guest, deflate);
        pair.open(guest, id, &[]);
        pair
    });
    let mut now = 0;
    for Round(pause, arrivals, published) in rounds.iter().take(32) {
        now += u64::from(*pause) * 1_000_000;
        receive_many(guest, now, &mut pairs, arrivals);
        if let Some(published) = published {
            deliver(guest, now, &mut pairs, published);
        }
    }
    for pair in pairs {
        pair.end(guest);
    }
}

/// Keeps to the contract: each connection is named once at most, with at least one byte, and only while it
/// may receive.
fn receive_many(guest: &mut Guest, now: u64, pairs: &mut [Pair], inputs: &[(u8, &[u8])]) {
    let (mut named, mut arrivals, mut all, mut expected) = (vec![], vec![], vec![], vec![]);
    for (number, bytes) in inputs {
        let number = usize::from(*number) % pairs.len();
        let pair = &mut pairs[number];
        if pair.turn.may_receive() && !bytes.is_empty() && !named.contains(&number) {
            named.push(number);
            arrivals.push(Arrival {
                connection: pair.connection,
                length: bytes.len().try_into().expect("it is short"),
            });
            all.extend_from_slice(bytes);
            let now = Instant::from_nanos(now);
            expected.push(pair.native.receive(now, bytes.to_vec()));
        }
    }
    let outcomes = finish(guest.receive_many(now, &arrivals, &all)).expect("no fault");
    assert_eq!(outcomes.results.len(), named.len());
    assert!(outcomes.wake_others.is_empty());
    let mut output = &outcomes.output[..];
    for ((number, outcome), expected) in named.into_iter().zip(outcomes.results).zip(expected) {
        let (own, rest) = output.split_at(outcome.output_length as usize);
        output = rest;
        let effects = bindings::Effects {
            output: own.to_vec(),
            wake_at: outcome.wake_at,
            wake_others: vec![],
            next: outcome.next,
            topics: vec![],
        };
        pairs[number].take(effects, expected);
    }
    assert!(output.is_empty());
}

/// Connections that do not subscribe are sent nothing, and both agree on what they do.
fn deliver(guest: &mut Guest, now: u64, pairs: &mut [Pair], published: &Published) {
    let delivery = wasocket::topics::Delivery {
        topic: published.topic.into(),
        message: published.text.into(),
        position: published.position.map(Into::into),
    };
    let mut native = Deliver::new(Instant::from_nanos(now), delivery, published.known.clone());
    let (mut named, mut connections) = (vec![], vec![]);
    for (number, pair) in pairs.iter_mut().enumerate() {
        if published.to[number] && pair.turn.is_open() {
            named.push(number);
            connections.push(pair.connection);
            native.to(&mut *pair.native);
        }
    }
    let delivery = bindings::Delivery {
        topic: published.topic.into(),
        message: bindings::TopicMessage::Text(published.text.into()),
        position: published.position.map(Into::into),
    };
    let deliveries = finish(guest.deliver(now, &delivery, &published.known, &connections));
    let (deliveries, expected) = (deliveries.expect("no fault"), native.finish());
    assert!(deliveries.forms.is_empty() && expected.forms.is_empty());
    assert_eq!(deliveries.shared, expected.shared);
    assert_eq!(deliveries.exceptions.len(), expected.exceptions.len());
    let mut output = &deliveries.output[..];
    for (exception, (index, expected)) in deliveries.exceptions.into_iter().zip(expected.exceptions)
    {
        assert_eq!(exception.index as usize, index);
        let (bindings::ExceptionEffect::Outcome(outcome), Delivered::Effects(expected)) =
            (exception.effect, expected)
        else {
            panic!("a form");
        };
        let (own, rest) = output.split_at(outcome.output_length as usize);
        output = rest;
        let effects = bindings::Effects {
            output: own.to_vec(),
            wake_at: outcome.wake_at,
            wake_others: vec![],
            next: outcome.next,
            topics: outcome.topics,
        };
        pairs[named[index]].take(effects, expected);
    }
    assert!(output.is_empty());
}

/// A connection of the component, and its native twin.
struct Pair {
    connection: ResourceAny,
    native: Box<dyn Session>,
    now: u64,
    turn: Turn,
}

impl Pair {
    fn new(guest: &mut Guest, deflate: bool) -> Self {
        let request = opening_handshake(deflate);
        let bindings::Answer::Takeover(takeover) = guest_handle(guest, &request) else {
            panic!("refused");
        };
        let Answer::Takeover(native) = native_handle(request) else {
            panic!("refused");
        };
        Self {
            connection: takeover.connection,
            native: native.session,
            now: 0,
            turn: Turn::new(),
        }
    }

    /// Both have the same effects.
    fn take(&mut self, effects: bindings::Effects, expected: wasocket::Effects) {
        take(&mut self.turn, effects, expected);
    }

    /// The socket is lost, unless the connection has ended, and both say what became of it.
    fn end(mut self, guest: &mut Guest) {
        if self.turn.on_lost().is_some() {
            let others = finish(guest.lost(self.connection, u64::MAX)).expect("no fault");
            assert!(others.wake_others.is_empty());
            self.native.lost(Instant::from_nanos(u64::MAX));
        }
        let report = finish(guest.report(self.connection)).expect("no fault");
        let expected = self.native.report();
        assert_eq!(report.messages_received, expected.messages_received);
        assert_eq!(report.messages_sent, expected.messages_sent);
        assert_eq!(report.fault, expected.fault);
        let (closing, expected) = (
            report.closing.expect("an end"),
            expected.closing.expect("an end"),
        );
        assert_eq!(initiator(closing.initiator), expected.initiator);
        assert_eq!(
            (closing.code, closing.reason),
            (expected.code, expected.reason)
        );
        finish(guest.drop_resource(self.connection)).expect("no fault");
    }

    fn open(&mut self, guest: &mut Guest, id: u64, residual: &[u8]) {
        let effects = finish(guest.open(self.connection, self.now, id, residual));
        let now = Instant::from_nanos(self.now);
        let ready = ReadyList::default();
        let expected = self.native.open(now, id, &ready, residual.to_vec());
        self.take(effects.expect("no fault"), expected);
    }

    fn set_limits(&mut self, guest: &mut Guest, size: Option<u16>, rate: Option<u8>) {
        let limits = bindings::MessageLimits {
            max_message_size: size.map(Into::into),
            max_messages_per_second: rate.map(Into::into),
        };
        finish(guest.set_limits(self.connection, limits)).expect("no fault");
        self.native.set_limits(MessageLimits {
            max_message_size: limits.max_message_size,
            max_messages_per_second: limits.max_messages_per_second,
        });
    }

    fn step(&mut self, guest: &mut Guest, event: &Event) {
        self.now += u64::from(event.0) * 1_000_000;
        let now = Instant::from_nanos(self.now);
        let (connection, native) = (self.connection, &mut self.native);
        let (effects, expected) = match event.1 {
            What::Receive(bytes) if self.turn.may_receive() && !bytes.is_empty() => (
                finish(guest.receive(connection, self.now, bytes)),
                native.receive(now, bytes.to_vec()),
            ),
            What::EndOfStream if self.turn.on_eof().is_some() => (
                finish(guest.receive_eof(connection, self.now)),
                native.receive_eof(now),
            ),
            What::Wake(unsent) if self.turn.on_woken().is_some() => {
                let effects = finish(guest.wake(connection, self.now, unsent as usize));
                (effects, native.wake(now, unsent.into()))
            }
            What::Shutdown(restart) if self.turn.on_stop().is_some() => {
                let (reason, expected) = if restart {
                    (
                        bindings::ShutdownReason::ServiceRestart,
                        wasocket::ShutdownReason::ServiceRestart,
                    )
                } else {
                    (
                        bindings::ShutdownReason::GoingAway,
                        wasocket::ShutdownReason::GoingAway,
                    )
                };
                let effects = finish(guest.shutdown(connection, self.now, reason));
                (effects, native.shutdown(now, expected))
            }
            What::Tell(topic, true) => {
                let gap = bindings::TopicEvent::Gap(bindings::Gap {
                    topic: topic.into(),
                    position: None,
                });
                let expected = wasocket::topics::TopicEvent::Gap(wasocket::topics::Gap {
                    topic: topic.into(),
                    position: None,
                });
                let effects = finish(guest.tell(connection, self.now, &gap));
                (effects, native.tell(now, expected))
            }
            What::Tell(_, false) => {
                let event = bindings::TopicEvent::TooSlow;
                let effects = finish(guest.tell(connection, self.now, &event));
                (
                    effects,
                    native.tell(now, wasocket::topics::TopicEvent::TooSlow),
                )
            }
            What::SetLimits(size, rate) => return self.set_limits(guest, size, rate),
            _ => return,
        };
        self.take(effects.expect("no fault"), expected);
    }
}

fn initiator(initiator: bindings::Initiator) -> Initiator {
    match initiator {
        bindings::Initiator::Peer => Initiator::Peer,
        bindings::Initiator::App => Initiator::App,
        bindings::Initiator::Protocol => Initiator::Protocol,
        bindings::Initiator::Host => Initiator::Host,
    }
}

/// Notes the effects of a call, which must be the same of both.
fn take(turn: &mut Turn, effects: bindings::Effects, expected: wasocket::Effects) {
    let next = match effects.next {
        Next::Open => Disposition::Open,
        Next::Pause => Disposition::Pause,
        Next::Close => Disposition::Close,
        Next::Abort => Disposition::Abort,
    };
    assert_eq!(effects.output, expected.output);
    assert_eq!(effects.wake_at, expected.wake_at.map(Instant::as_nanos));
    assert_eq!(next, expected.next);
    let _ = turn.on_effects(effects.next.into(), effects.wake_at);
}

fn handle(guest: &mut Guest, request: &Request) {
    let mut head = opening_handshake(false);
    if !request.handshake {
        head.fields.clear();
    }
    let own = |(name, value): &(&str, &[u8])| (name.to_string(), value.to_vec());
    head.fields.extend(request.fields.iter().map(own));
    head.method = request.method.unwrap_or("GET").to_owned();
    head.target = format!("/echo?{}", request.query);
    head.secure = request.secure;
    head.version = match request.version {
        0 => HttpVersion::Http10,
        1 => HttpVersion::Http2,
        2 => HttpVersion::Http3,
        _ => HttpVersion::Http11,
    };
    let fields = |head: wasocket::ResponseHead| -> Vec<Field> { head.fields.into() };
    match (guest_handle(guest, &head), native_handle(head)) {
        (bindings::Answer::Takeover(takeover), Answer::Takeover(expected)) => {
            finish(guest.drop_resource(takeover.connection)).expect("no fault");
            let head = takeover.response.expect("a WebSocket has a response");
            let expected_head = expected.response.expect("a WebSocket has a response");
            assert_eq!(head.status, expected_head.status);
            assert_eq!(head.fields, fields(expected_head));
            assert_eq!(takeover.final_bytes, expected.final_bytes);
        }
        (bindings::Answer::Respond(response), Answer::Respond(expected)) => {
            assert_eq!(response.head.status, expected.head.status);
            assert_eq!(response.head.fields, fields(expected.head));
            assert_eq!(response.body, expected.body);
            let bindings::ResponseHead { status, fields } = response.head;
            answer::response(status, fields, response.body).expect("a refusal can be sent");
        }
        _ => panic!("the component and its twin disagree"),
    }
}

fn opening_handshake(deflate: bool) -> bindings::Request {
    let mut fields = vec![
        ("Host", "a.test"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    if deflate {
        fields.push(("Sec-WebSocket-Extensions", "permessage-deflate"));
    }
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()));
    bindings::Request {
        method: "GET".into(),
        target: "/echo".into(),
        version: HttpVersion::Http11,
        authority: None,
        protocol: None,
        fields: fields.collect(),
        secure: false,
        remote: None,
    }
}

/// The default app's answer to a request for `/echo`.
fn guest_handle(guest: &mut Guest, request: &bindings::Request) -> bindings::Answer {
    match finish(guest.handle(request)).expect("no fault").verdict {
        bindings::Verdict::Answer(answer) => answer,
        bindings::Verdict::Pending(_) => panic!("an echo has nothing to wait for"),
    }
}

fn native_handle(request: bindings::Request) -> Answer {
    let request = wasocket::Request {
        method: request.method,
        target: request.target,
        version: match request.version {
            HttpVersion::Http10 => wasocket::HttpVersion::Http10,
            HttpVersion::Http11 => wasocket::HttpVersion::Http11,
            HttpVersion::Http2 => wasocket::HttpVersion::Http2,
            HttpVersion::Http3 => wasocket::HttpVersion::Http3,
        },
        authority: request.authority,
        protocol: request.protocol,
        fields: request.fields.into(),
        secure: request.secure,
        remote: request.remote,
        params: vec![],
    };
    Upgrade::new()
        .subprotocols(&["chat", "superchat"])
        .compression(DeflateOptions::default())
        .accept(&request, |ws: &mut Connection, message: Message| {
            ws.send(message)
        })
}

/// The answer to the nonce that the entropy begins with.
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: ";

fn connect(client: &mut Client, deflate: bool, events: &[Event]) {
    let in_pieces = events.len().is_multiple_of(2);
    const MAX_MESSAGE_SIZE: u16 = 4096;
    const PING_INTERVAL: Duration = Duration::from_secs(20);
    let entropy = [7; 48];
    let request = bindings::ClientRequest {
        host: "a.test".into(),
        target: "/".into(),
        subprotocols: vec![],
        fields: vec![],
        compress: deflate,
        max_message_size: MAX_MESSAGE_SIZE.into(),
        in_pieces,
        ping_interval: u64::try_from(PING_INTERVAL.as_nanos()).ok(),
    };
    let begun = client
        .connect(0, &request, &entropy)
        .expect("no fault")
        .expect("valid");
    let limits = wasocket::Limits {
        max_message_size: MAX_MESSAGE_SIZE.into(),
        max_frame_size: MAX_MESSAGE_SIZE.into(),
        max_streamed_size: in_pieces.then_some(MAX_MESSAGE_SIZE.into()),
        ping_interval: Some(PING_INTERVAL),
        ..wasocket::Limits::default()
    };
    let expected = wasocket::ClientRequest {
        host: "a.test".into(),
        target: "/".into(),
        compression: deflate.then(DeflateOptions::default),
        ..wasocket::ClientRequest::default()
    };
    let start = Instant::from_nanos(0);
    let (mut native, expected) =
        ClientSession::connect(start, expected, limits, &entropy).expect("valid");
    native.stream_messages(in_pieces);
    let mut turn = Turn::new();
    take(&mut turn, begun.effects, expected);
    let connection = begun.connection;
    let mut pair = ClientPair {
        client,
        connection,
        native,
        now: 0,
        turn,
    };
    // Without an answer no input would get past the handshake.
    let key = "BwcHBwcHBwcHBwcHBwcHBw==";
    let extension = if deflate {
        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    } else {
        ""
    };
    let accepted = format!(
        "{ACCEPTED}{}\r\n{extension}\r\n",
        wasocket::accept_key(key.as_bytes())
    );
    let answered = !matches!(events.first(), Some(Event(0, What::Wake(_))));
    if answered {
        pair.step(&Event(1, What::Receive(accepted.as_bytes())));
    }
    for event in events.iter().take(64) {
        if !pair.turn.is_open() {
            break;
        }
        pair.step(event);
    }
    client.drop_connection(connection).expect("no fault");
}

struct ClientPair<'a> {
    client: &'a mut Client,
    connection: ResourceAny,
    native: ClientSession,
    now: u64,
    turn: Turn,
}

impl ClientPair<'_> {
    fn step(&mut self, event: &Event) {
        self.now += u64::from(event.0) * 1_000_000;
        let now = Instant::from_nanos(self.now);
        let (client, connection) = (&mut *self.client, self.connection);
        let progress = match event.1 {
            What::Receive(bytes) if self.turn.may_receive() && !bytes.is_empty() => {
                self.native.receive(now, bytes.to_vec());
                client.receive(connection, self.now, bytes)
            }
            What::EndOfStream if self.turn.on_eof().is_some() => {
                self.native.receive_eof(now);
                client.receive_eof(connection, self.now)
            }
            What::Wake(unsent) => {
                self.native.wake(now, unsent.into());
                client.wake(connection, self.now, unsent as usize)
            }
            _ => return self.act(&event.1, now),
        };
        let progress = progress.expect("no fault");
        assert_eq!(progress.events.len(), self.native.take_events().len());
        take(&mut self.turn, progress.effects, self.native.effects());
    }

    fn act(&mut self, what: &What, now: Instant) {
        let (client, connection) = (&mut *self.client, self.connection);
        let native = self.native.connection(now);
        let (effects, expected) = match *what {
            What::Text(text) => (
                client.send(connection, self.now, &bindings::Message::Text(text.into())),
                native.map(|native| native.send_text(text)),
            ),
            What::Binary(bytes) => (
                client.send(
                    connection,
                    self.now,
                    &bindings::Message::Binary(bytes.into()),
                ),
                native.map(|native| native.send_binary(bytes)),
            ),
            What::Ping(payload) => (
                client.ping(connection, self.now, payload),
                native.map(|native| native.ping(payload)),
            ),
            What::Close(code, reason) => (
                client.close(connection, self.now, code, reason),
                native.map(|native| native.close(CloseCode::new(code)?, reason)),
            ),
            _ => return,
        };
        match (effects.expect("no fault"), expected) {
            (Ok(effects), Some(Ok(()))) => take(&mut self.turn, effects, self.native.effects()),
            (Err(_), Some(Err(_)) | None) => {}
            (effects, expected) => panic!("{effects:?} and natively {expected:?}"),
        }
    }
}

/// Another parser reads back exactly what is let through.
fn check_answer(status: u16, fields: &[(&str, &[u8])]) {
    let own = |(name, value): &(&str, &[u8])| (name.to_string(), value.to_vec());
    let fields: Vec<Field> = fields.iter().take(50).map(own).collect();
    if let Ok(response) = answer::response(status, fields.clone(), vec![]) {
        assert!((200..=599).contains(&status));
        assert_eq!(response.headers().len(), fields.len());
    }
    let Ok(bytes) = switching_protocols(status, &fields) else {
        return;
    };
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    let end = parsed.parse(&bytes).expect("well-formed");
    assert_eq!(end, httparse::Status::Complete(bytes.len()));
    assert_eq!(parsed.code, Some(101));
    assert_eq!(parsed.headers.len(), fields.len());
    for (line, (name, value)) in parsed.headers.iter().zip(&fields) {
        assert_eq!(line.name, name);
        assert_eq!(line.value, value.trim_ascii());
    }
}
