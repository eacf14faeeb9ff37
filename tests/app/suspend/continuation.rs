//! Conversations that go on in another instance.

use std::time::Duration;

use host::Host;
use proptest::prelude::*;
use wasocket::events::{Accept, Context, EventHandler, events};
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{
    App, Instant, Limits, MaskingKeys, Message, Request, Response, ResumeError, Router, resume,
    websocket,
};

use super::{
    Room, SECOND, answer, host, listens, move_over, open, refusal, replaced, state, suspended,
    try_resume,
};

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

/// The host keeps the subscription; the state says for whom it is.
#[test]
fn a_resumed_connection_is_sent_what_is_published() {
    let app = events(Room);
    let mut host = Host::default();
    let other = open(&mut host, &app);
    let id = open(&mut host, &app);
    let state = suspended(&host, &app, id).expect("it is at rest");
    let resumed = resume(&app, host.time(), 1, &host.ready, Duration::ZERO, &state);
    let resumed = resumed.expect("a state");
    assert_eq!(resumed.effects.topics, []);
    host.connections[id].session = resumed.session;
    host.say(other, "a");
    assert_eq!(
        (host.texts(id), host.topics.shared),
        (vec!["i a".into()], 2)
    );
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
fn message_counts_continue_without_overflow() {
    let app = events(Room);
    let state = state(&app);
    let counts = |count: u64| [1 << 20, count, count].map(u64::to_le_bytes).concat();
    let most = replaced(&state, &counts(1), &counts(u64::MAX / 2));
    let mut session = try_resume(&app, &most).expect("of the right form").session;
    session.receive(Instant::from_nanos(SECOND), b"\x81\x83\0\0\0\0who".to_vec());
    let report = session.report();
    assert_eq!(report.messages_received, 1 << 63);
    assert_eq!(report.messages_sent, 1 << 63);
    let more = replaced(&state, &counts(1), &counts((u64::MAX / 2) + 1));
    assert_eq!(refusal(&app, &more), ResumeError::Invalid);
}

proptest! {
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
