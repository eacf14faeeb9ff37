//! Connections saved as bytes and restored from them: `suspend` and `resume`.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

#[path = "../host/mod.rs"]
mod host;

use std::time::Duration;

use host::Host;
use proptest::prelude::*;
use wasocket::events::{Accept, Context, EventHandler, events};
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{
    Answer, App, Handler, Instant, Limits, MaskingKeys, Message, RawError, RawStream, ReadyList,
    Request, Response, ResumeError, Resumed, Router, ShutdownReason, Upgrade, Verdict, WebSocket,
    resume, suspend, takeover, websocket,
};

/// Numbers the messages of each connection, and publishes them to everyone in the room.
struct Room;

impl EventHandler for Room {
    type State = String;

    fn open(&self, _: &Request, cx: &mut Context<'_, String>) -> Result<Accept, Response> {
        cx.subscribe("room");
        Ok(Accept::default())
    }

    fn message(&self, message: Message, cx: &mut Context<'_, String>) {
        cx.state.push('i');
        let said = String::from_utf8_lossy(message.as_bytes()).into_owned();
        let name = cx.connection().to_owned();
        match &*said {
            "who" => cx.send(name),
            _ => cx.publish("room", format!("{} {said}", cx.state)),
        }
    }
}

fn open(host: &mut Host, app: &dyn App) -> usize {
    host.open_answer(|request| answer(app, request.clone()))
}

fn answer(app: &dyn App, request: Request) -> Answer {
    match app.handle(request) {
        Verdict::Answer(answer) => answer,
        verdict => panic!("{verdict:?}"),
    }
}

fn suspended(host: &Host, app: &dyn App, id: usize) -> Option<Vec<u8>> {
    suspend(app, &*host.connections[id].session, host.time())
}

/// Moves the first connection of one instance to another instance.
fn move_over(from: &mut Host, old: &dyn App, to: &mut Host, new: &dyn App) -> usize {
    let state = suspended(from, old, 0).expect("it is at rest");
    let peer = from.connections.remove(0);
    let id = to.connections.len();
    let resumed = resume(new, to.time(), id as u64, &to.ready, Duration::ZERO, &state);
    let resumed = resumed.expect("a state");
    let mut peer = host::Peer {
        session: resumed.session,
        ..peer
    };
    peer.take(to.time(), resumed.effects);
    to.connections.push(peer);
    to.settle();
    id
}

#[test]
fn a_conversation_continues_in_another_instance() {
    let (old, new) = (events(Room), events(Room));
    let (mut from, mut to) = (Host::default(), Host::default());
    let other = open(&mut to, &new);
    to.now = 7;
    open(&mut from, &old);
    from.say(0, "a");
    from.say(0, "who");
    let before = from.texts(0);
    let id = move_over(&mut from, &old, &mut to, &new);
    to.say(id, "who");
    let after = to.texts(id);
    assert_eq!(before[0], "i a");
    assert_eq!(before[1..], after, "the name is the same");
    // Its state is kept, and so is its channel, which others are in, too.
    to.say(id, "b");
    assert_eq!(to.texts(id), ["iiii b"]);
    assert_eq!(to.texts(other), ["iiii b"]);
    to.say(other, "c");
    assert_eq!(to.texts(id), ["i c"]);
    // The counts continue: "a", "who", "who", "b", and their answers, and "c".
    to.client(id, |client| client.ping(b"").expect("open"));
    let report = to.connections[id].session.report();
    assert_eq!((report.messages_received, report.messages_sent), (4, 5));
}

#[test]
fn connection_names_are_unique_across_instances() {
    let (old, new) = (events(Room), events(Room));
    let name = |host: &mut Host, app, key: &str| {
        let id = host.open_answer(|request| {
            let mut request = request.clone();
            request.fields.set("Sec-WebSocket-Key", key);
            answer(app, request)
        });
        host.say(id, "who");
        host.texts(id).pop().expect("a name")
    };
    let (mut from, mut to) = (Host::default(), Host::default());
    let one = name(&mut from, &old, "dGhlIHNhbXBsZSBub25jZQ==");
    let other = name(&mut to, &new, "AQIDBAUGBwgJCgsMDQ4PEA==");
    assert_ne!(one, other);
    assert!(one.len() <= 64 && one.bytes().all(|byte| byte.is_ascii_graphic()));
}

/// Messages published meanwhile do not reach it.
#[test]
fn a_suspended_connection_is_in_no_channel() {
    let app = events(Room);
    let mut host = Host::default();
    let other = open(&mut host, &app);
    open(&mut host, &app);
    let state = suspended(&host, &app, 1).expect("it is at rest");
    drop(host.connections.pop());
    host.say(other, "a");
    let resumed = resume(&app, host.time(), 1, &host.ready, Duration::ZERO, &state);
    let mut session = resumed.expect("a state").session;
    assert_eq!(session.wake(host.time(), 0).output, b"");
    let effects = host.connections[other]
        .session
        .receive(Instant::from_nanos(0), b"\x81\x81\0\0\0\0b".to_vec());
    assert!(!effects.output.is_empty());
    // It is reported as ready under its new number.
    assert_eq!(host.ready.take(), [1]);
    assert_eq!(session.wake(host.time(), 0).output, b"\x81\x04ii b");
}

#[test]
fn suspending_changes_nothing() {
    let app = events(Room);
    let mut host = Host::default();
    open(&mut host, &app);
    host.say(0, "a");
    let state = suspended(&host, &app, 0);
    assert!(state.is_some());
    assert_eq!(suspended(&host, &app, 0), state);
    host.say(0, "b");
    assert_eq!(host.texts(0), ["i a", "ii b"]);
    assert_ne!(suspended(&host, &app, 0), state);
}

const SECOND: u64 = 1_000_000_000;

/// The connection is pinged after 20 seconds of silence, and ends 20 seconds later.
#[test]
fn an_unanswered_ping_is_not_forgotten() {
    for (suspended_for, left) in [(0, 15), (10, 5), (15, 0), (3600, 0)] {
        let app = events(Room);
        let mut host = Host {
            now: 5_000_000 * SECOND,
            ..Host::default()
        };
        open(&mut host, &app);
        host.connections[0].takes_output = false;
        host.now += 20 * SECOND;
        // The host's system takes the ping, but the peer is gone.
        let now = host.time();
        let effects = host.connections[0].session.wake(now, 0);
        assert_eq!(effects.output, [0x89, 0]);
        host.now += 5 * SECOND;
        let state = suspended(&host, &app, 0).expect("it is at rest");
        let now = Instant::from_nanos(1_000_000 * SECOND);
        let passed = Duration::from_secs(suspended_for);
        let resumed = resume(&app, now, 1, &ReadyList::default(), passed, &state);
        let mut resumed = resumed.expect("a state");
        if left > 0 {
            let due = now.after(Duration::from_secs(left));
            assert_eq!(resumed.effects.wake_at, Some(due));
            assert_eq!(resumed.effects.next, wasocket::Disposition::Open);
            let mut answered = resume(&app, now, 2, &ReadyList::default(), passed, &state)
                .expect("a state")
                .session;
            answered.receive(now, vec![0x8a, 0x80, 0, 0, 0, 0]);
            let next = answered.wake(due, 0).next;
            assert_eq!(next, wasocket::Disposition::Open);
            resumed.effects = resumed.session.wake(due, 0);
        }
        assert_eq!(resumed.effects.next, wasocket::Disposition::Abort);
    }
}

/// A clock that has run for a shorter time than the connection was suspended.
#[test]
fn a_clock_younger_than_the_suspension_gives_more_time() {
    let app = events(Room);
    let mut host = Host::default();
    open(&mut host, &app);
    let state = suspended(&host, &app, 0).expect("it is at rest");
    let passed = Duration::from_secs(3600);
    let now = Instant::from_nanos(1);
    let resumed = resume(&app, now, 1, &ReadyList::default(), passed, &state);
    let effects = resumed.expect("a state").effects;
    let due = Instant::from_nanos(20 * SECOND);
    assert_eq!((effects.output, effects.wake_at), (vec![], Some(due)));
}

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
    // Before `open`; with a published message it has not been called for; closing; closed.
    let Answer::Takeover(takeover) = host::handshake(|request| answer(&app, request.clone()))
    else {
        panic!("refused");
    };
    let now = Instant::from_nanos(0);
    assert_eq!(suspend(&app, &*takeover.session, now), None);
    let mut host = Host::default();
    open(&mut host, &app);
    open(&mut host, &app);
    host.connections[0]
        .session
        .receive(now, b"\x81\x81\0\0\0\0a".to_vec());
    assert_eq!(suspended(&host, &app, 1), None);
    host.settle();
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

async fn listens(ws: WebSocket) {
    while let Ok(Some(Message::Text(_))) = ws.receive().await {}
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

/// The state of a connection that has sent a message and is in a channel.
fn state(app: &dyn App) -> Vec<u8> {
    let mut host = Host::default();
    open(&mut host, app);
    host.say(0, "a");
    suspended(&host, app, 0).expect("it is at rest")
}

fn try_resume(app: &dyn App, state: &[u8]) -> Result<Resumed, ResumeError> {
    let now = Instant::from_nanos(SECOND);
    resume(app, now, 1, &ReadyList::default(), Duration::ZERO, state)
}

fn refusal(app: &dyn App, state: &[u8]) -> ResumeError {
    try_resume(app, state).expect_err("not a state")
}

#[test]
fn a_router_resumes_the_right_app() {
    let inner = || Router::new().websocket("/talk", events(Room));
    for app in [
        Router::new().websocket("/talk", events(Room)),
        Router::new().get("/{any}", events(Room)),
        Router::new().any("/talk", events(Room)),
        Router::new().get("/", inner()).fallback(inner()),
        Router::new().websocket("/talk", Box::new(events(Room)) as Box<dyn App>),
    ] {
        let (mut from, mut to) = (Host::default(), Host::default());
        open(&mut from, &app);
        from.say(0, "a");
        let id = move_over(&mut from, &app, &mut to, &app);
        to.say(id, "b");
        assert_eq!(to.texts(id), ["i a", "ii b"]);
    }
    let state = state(&inner());
    let elsewhere = Router::new().websocket("/elsewhere", events(Room));
    assert_eq!(refusal(&elsewhere, &state), ResumeError::Unsupported);
    let of_another_kind = Router::new().websocket("/talk", websocket(listens));
    assert_eq!(refusal(&of_another_kind, &state), ResumeError::Unsupported);
}

#[test]
fn an_invalid_state_is_refused() {
    let app = events(Room);
    let state = state(&app);
    assert!(try_resume(&app, &state).is_ok());
    for len in 0..state.len() {
        assert_eq!(refusal(&app, &state[..len]), ResumeError::Invalid, "{len}");
    }
    let longer = [&state[..], &[0]].concat();
    assert_eq!(refusal(&app, &longer), ResumeError::Invalid);
    let too_long = [&state[..], &[0; 64 << 10]].concat();
    assert_eq!(refusal(&app, &too_long), ResumeError::Invalid);
    for version in [0, 2, 255] {
        let foreign = [&[version], &state[1..]].concat();
        assert_eq!(refusal(&app, &foreign), ResumeError::UnknownVersion);
    }
}

/// The state, with one part of it replaced by another.
fn with(state: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = state.windows(old.len()).position(|part| part == old);
    let at = at.expect("it is there");
    [&state[..at], new, &state[at + old.len()..]].concat()
}

#[test]
fn a_state_that_breaks_a_limit_is_refused() {
    let app = events(Room);
    let state = state(&app);
    for (old, new) in [
        // A name that is not printable, and one that is not text.
        (&b"1-s3p"[..], &b"1 s3p"[..]),
        (b"1-s3p", b"\xff-s3p"),
        // Two channels, one without a name; more channels than allowed.
        (
            b"\x01\0\0\0\0\0\0\0\x04\0room",
            b"\x02\0\0\0\0\0\0\0\0\0\x02\0xx",
        ),
        (
            b"\x01\0\0\0\0\0\0\0\x04\0room",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\x04\0room",
        ),
        // A length beyond the end and over the limit.
        (b"\x04\0room", b"\xff\xffroom"),
    ] {
        assert_eq!(refusal(&app, &with(&state, old, new)), ResumeError::Invalid);
    }
}

/// Messages are held to the limit of the crate, whatever the state says.
#[test]
fn a_state_cannot_raise_the_message_limit() {
    let app = events(Room);
    let most = (1_u64 << 20).to_le_bytes();
    let state = with(&state(&app), &most, &u64::MAX.to_le_bytes());
    let mut session = try_resume(&app, &state).expect("of the right form").session;
    let now = Instant::from_nanos(SECOND);
    let header = [&[0x82, 0xff][..], &(5_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    let effects = session.receive(now, header);
    assert_eq!(effects.output[2..4], 1009_u16.to_be_bytes());
}

#[test]
fn message_counts_continue_without_overflow() {
    let app = events(Room);
    let state = state(&app);
    let counts = |count: u64| [1 << 20, count, count].map(u64::to_le_bytes).concat();
    let most = with(&state, &counts(1), &counts(u64::MAX / 2));
    let mut session = try_resume(&app, &most).expect("of the right form").session;
    session.receive(Instant::from_nanos(SECOND), b"\x81\x81\0\0\0\0a".to_vec());
    let report = session.report();
    assert_eq!(report.messages_received, 1 << 63);
    assert_eq!(report.messages_sent, 1 << 63);
    let more = with(&state, &counts(1), &counts((u64::MAX / 2) + 1));
    assert_eq!(refusal(&app, &more), ResumeError::Invalid);
}

proptest! {
    /// An altered state is resumed or refused; if resumed, its connection can be called like any other.
    #[test]
    fn altered_states_do_no_harm(changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..8)) {
        let app = events(Room);
        let mut state = state(&app);
        for (at, byte) in changes {
            let at = 1 + at % (state.len() - 1);
            state[at] = byte;
        }
        if let Ok(mut resumed) = try_resume(&app, &state) {
            let now = Instant::from_nanos(2 * SECOND);
            resumed.session.receive(now, b"\x81\x81\0\0\0\0a".to_vec());
            resumed.session.wake(Instant::from_nanos(u64::MAX), 0);
            resumed.session.lost(Instant::from_nanos(u64::MAX));
        }
    }

    #[test]
    fn any_bytes_do_no_harm(rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let state = [&b"\x01\0\0"[..], &rest].concat();
        let _ = try_resume(&events(Room), &state);
    }

    /// A conversation continues unchanged, however often it moves.
    #[test]
    fn moving_a_connection_does_not_change_the_conversation(moves in prop::collection::vec(any::<bool>(), 1..20), compress: bool) {
        let (here, there) = (events(Echo { compress }), events(Echo { compress }));
        let mut host = Host::default();
        host.open_answer(|request| {
            let mut request = request.clone();
            request.fields.append("Sec-WebSocket-Extensions", "permessage-deflate");
            answer(&here, request)
        });
        host.connections[0].client = client(compress);
        for (i, moves) in moves.into_iter().enumerate() {
            let text = format!("{i}, and what is longer is compressed ").repeat(20);
            host.say(0, &text);
            prop_assert_eq!(host.texts(0), [format!("{}{text}", i + 1)]);
            if moves {
                let mut other = Host::default();
                let (old, new) = if i % 2 == 0 { (&here, &there) } else { (&there, &here) };
                move_over(&mut host, old, &mut other, new);
                host = other;
            }
        }
    }
}

/// Echoes each message, with its number in front.
struct Echo {
    compress: bool,
}

impl EventHandler for Echo {
    type State = Vec<u8>;

    fn open(&self, _: &Request, _: &mut Context<'_, Vec<u8>>) -> Result<Accept, Response> {
        let mut accept = Accept::default();
        accept.settings.compress = self.compress;
        Ok(accept)
    }

    fn message(&self, message: Message, cx: &mut Context<'_, Vec<u8>>) {
        cx.state.push(0);
        let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
        cx.send(format!("{}{text}", cx.state.len()));
    }
}

fn client(compress: bool) -> wasocket::Connection {
    let keys = MaskingKeys::from_seed([7; 32]);
    let client = wasocket::Connection::client(Limits::default(), keys);
    let options = DeflateOptions::default();
    let agreed = Agreed {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..Agreed::default()
    };
    if compress {
        client.with_extensions(PermessageDeflate::client(agreed, &options).into())
    } else {
        client
    }
}
