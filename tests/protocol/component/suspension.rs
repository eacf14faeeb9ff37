//! Connections that move to another instance.

use std::time::Duration;

use wasmtime::component::ResourceAny;
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{Connection, Event, MaskingKeys, Message};
use wasocket_host::bindings::{
    Answer, Delivery, Effects, Next, Publication, ResumeError, Suspended, Suspension, TopicAction,
    TopicMessage,
};
use wasocket_host::component::Component;
use wasocket_host::engine::engine;
use wasocket_host::guest::{Guest, Limits, finish};
use wasocket_vectors as vectors;

use super::{answer, default_app, open_echo, request};

fn guest_of(package: &str) -> (Component, Guest) {
    let engine = engine().expect("an engine");
    let file = std::fs::read(support::build_guest(package, "")).expect("the component");
    let component = Component::from_bytes(&engine, &file).expect("a component");
    let guest = finish(Guest::new(&component, Limits::default())).expect("an instance");
    (component, guest)
}

fn join(guest: &mut Guest, now: u64, id: u64, name: &str) -> ResourceAny {
    let mut request = request(&vectors::handshakes()[0]);
    request.target = format!("/rooms/blue?{name}");
    let Answer::Takeover(takeover) = answer(guest, &request) else {
        panic!("refused");
    };
    let connection = takeover.connection;
    finish(guest.open(connection, now, id, &[])).expect("no fault");
    connection
}

/// Sends a message of up to 125 bytes; returns the effects.
fn say(guest: &mut Guest, connection: ResourceAny, now: u64, text: &str) -> Effects {
    let length = 0x80 | u8::try_from(text.len()).expect("short");
    let frame = [&[0x81, length, 0, 0, 0, 0], text.as_bytes()].concat();
    finish(guest.receive(connection, now, &frame)).expect("no fault")
}

fn text_frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    [&[0x81, length], text.as_bytes()].concat()
}

/// The texts that a call publishes in the room.
fn published(effects: &Effects) -> Vec<&str> {
    let topics = effects.topics.iter();
    let text = |action| match action {
        &TopicAction::Publish(Publication {
            ref topic,
            message: TopicMessage::Text(ref text),
            ..
        }) if topic == "blue" => Some(&**text),
        _ => None,
    };
    topics.filter_map(text).collect()
}

#[test]
fn a_chat_member_continues_in_another_instance() {
    let (component, mut old) = guest_of("portable-chat");
    let ann = join(&mut old, 0, 1, "ann");
    let first = say(&mut old, ann, 0, "hi");
    assert_eq!(published(&first), ["ann (1): hi"]);
    let suspended = finish(old.suspend(ann, 0))
        .expect("no fault")
        .expect("at rest");
    let state = suspended.state;
    drop(old);

    let mut new = finish(Guest::new(&component, Limits::default())).expect("an instance");
    // Another clock.
    let now = 1 << 50;
    let bob = join(&mut new, now, 1, "bob");
    let resumed = finish(new.resume(now, 2, Duration::from_secs(5), &state));
    let resumed = resumed.expect("no fault").expect("a state");
    let ann = resumed.connection;
    assert_eq!(resumed.final_bytes, [0x88, 2, 0x03, 0xf3]);
    // Of the 20 seconds of silence after which it is pinged, 5 have passed.
    let due = now + 15_000_000_000;
    assert_eq!(resumed.effects.wake_at, Some(due));
    // Its subscription is the host's, which delivers to it as to others.
    let second = say(&mut new, ann, now, "back");
    assert_eq!(published(&second), ["ann (2): back"]);
    let delivery = Delivery {
        topic: "blue".into(),
        message: TopicMessage::Text("ann (2): back".into()),
        position: None,
    };
    let deliveries = finish(new.deliver(now, &delivery, &[], &[bob, ann])).expect("no fault");
    assert!(deliveries.exceptions.is_empty() && deliveries.forms.len() == 1);
    let form = &deliveries.forms[0];
    assert_eq!(deliveries.shared, Some(form.number));
    assert_eq!(form.bytes, text_frame("ann (2): back"));

    // It is not suspended inside a frame, and the frame then continues.
    finish(new.receive(ann, now, b"\x81\x81\0\0")).expect("no fault");
    let suspended = finish(new.suspend(ann, now)).expect("no fault");
    assert!(suspended.is_none());
    let third = finish(new.receive(ann, now, b"\0\0!")).expect("no fault");
    assert_eq!(published(&third), ["ann (3): !"]);
    let report = finish(new.report(ann)).expect("no fault");
    assert_eq!((report.messages_received, report.messages_sent), (3, 1));
}

/// What the host says of its pings counts as if the connection had sent them.
#[test]
fn a_member_is_kept_alive_by_its_host() {
    const SECOND: u64 = 1_000_000_000;
    let (_, mut guest) = guest_of("portable-chat");
    let ann = join(&mut guest, 0, 1, "ann");
    say(&mut guest, ann, SECOND, "hi");
    let suspended = finish(guest.suspend(ann, 2 * SECOND)).expect("no fault");
    let Suspended { state, keepalive } = suspended.expect("at rest");
    let keepalive = keepalive.expect("it is pinged");
    assert_eq!(keepalive.ping_at, 21 * SECOND);
    assert_eq!(
        (keepalive.interval, keepalive.timeout),
        (20 * SECOND, 20 * SECOND)
    );
    assert_eq!(keepalive.ping, [0x89, 0]);
    assert_eq!(keepalive.answer, [0x8a, 0x80, 0, 0, 0, 0]);
    assert_eq!(keepalive.answer_mask, [0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(keepalive.wake_at, None);
    let mut resume = |answered: Option<u64>, pinged: Option<u64>| {
        let suspension = Suspension {
            suspended_for: 100 * SECOND,
            answered: answered.map(|ago| ago * SECOND),
            pinged: pinged.map(|ago| ago * SECOND),
        };
        let now = 102 * SECOND;
        let resumed = finish(guest.resume(now, 2, suspension, &state)).expect("no fault");
        let effects = resumed.expect("a state").effects;
        let due = effects.wake_at.map(|at| (at - now) / SECOND);
        (effects.output, due, effects.next)
    };
    // As far as is known, it has been silent for a long time.
    assert_eq!(resume(None, None), (vec![0x89, 0], Some(20), Next::Open));
    assert_eq!(resume(Some(5), None), (vec![], Some(15), Next::Open));
    assert_eq!(resume(Some(25), Some(5)), (vec![], Some(15), Next::Open));
    assert_eq!(resume(None, Some(5)), (vec![], Some(15), Next::Open));
    assert_eq!(resume(Some(40), Some(20)), (vec![], None, Next::Abort));
    // From another time than it was suspended in.
    assert_eq!(resume(Some(1000), Some(1000)), (vec![], None, Next::Abort));
}

/// The client's side of a connection with compression, as negotiated with default options.
fn compressing_client() -> Connection {
    let agreed = Agreed {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        ..Agreed::default()
    };
    let extension = PermessageDeflate::client(agreed, &DeflateOptions::default());
    let keys = MaskingKeys::from_seed([7; 32]);
    Connection::client(wasocket::Limits::default(), keys).with_extensions(extension.into())
}

#[test]
fn a_compressed_conversation_continues_in_another_instance() {
    let (component, mut guest) = guest_of("compresses");
    let mut request = request(&vectors::handshakes()[0]);
    let offer = (
        "Sec-WebSocket-Extensions".into(),
        b"permessage-deflate".to_vec(),
    );
    request.fields.push(offer);
    let Answer::Takeover(takeover) = answer(&mut guest, &request) else {
        panic!("refused");
    };
    let mut connection = takeover.connection;
    finish(guest.open(connection, 0, 1, &[])).expect("no fault");
    let mut client = compressing_client();
    for number in 1..=5 {
        let text = format!("{number}, and what is longer is compressed ").repeat(20);
        client.send_text(&text).expect("open");
        let sent = client.take_output();
        let received = finish(guest.receive(connection, 0, &sent)).expect("no fault");
        // FIN, RSV1 and text (RFC 7692 §6): compressed in both directions.
        assert_eq!((sent[0], received.output[0]), (0xc1, 0xc1));
        client.receive_bytes(wasocket::Instant::from_nanos(0), &received.output[..]);
        let expected = Message::from(format!("{number}: {text}"));
        assert_eq!(client.next_event(), Some(Event::Message(expected)));

        let state = finish(guest.suspend(connection, 0)).expect("no fault");
        let state = state.expect("it is at rest").state;
        guest = finish(Guest::new(&component, Limits::default())).expect("an instance");
        let resumed = finish(guest.resume(0, number, Duration::ZERO, &state)).expect("no fault");
        connection = resumed.expect("a state").connection;
    }
}

/// The state of a connection that has been used.
fn state_of(guest: &mut Guest) -> Vec<u8> {
    let ann = join(guest, 0, 1, "ann");
    say(guest, ann, 0, "hi");
    let state = finish(guest.suspend(ann, 0)).expect("no fault");
    finish(guest.drop_resource(ann)).expect("no fault");
    state.expect("at rest").state
}

/// Resumes a connection from an untrusted state, and uses it like any other until its end.
fn try_out(guest: &mut Guest, state: &[u8]) -> Result<(), ResumeError> {
    const LATER: u64 = 1 << 50;
    let resumed = finish(guest.resume(0, 2, Duration::ZERO, state)).expect("no fault")?;
    let connection = resumed.connection;
    let mut next = resumed.effects.next;
    if next == Next::Open {
        next = say(guest, connection, 0, "hi").next;
    }
    if next == Next::Open {
        next = finish(guest.wake(connection, LATER, 0))
            .expect("no fault")
            .next;
    }
    if next == Next::Open {
        finish(guest.lost(connection, LATER)).expect("no fault");
    }
    finish(guest.drop_resource(connection)).expect("no fault");
    Ok(())
}

#[test]
fn an_invalid_state_is_an_error_not_a_trap() {
    for package in ["portable-chat", "portable-json", "compresses"] {
        let (_, mut guest) = guest_of(package);
        let state = state_of(&mut guest);
        assert_eq!(try_out(&mut guest, &state), Ok(()));
        for len in 0..state.len() {
            let cut = try_out(&mut guest, &state[..len]);
            assert_eq!(cut, Err(ResumeError::Invalid), "{package} {len}");
        }
        for at in 0..state.len() {
            for value in [0, 1, 0x7f, 0xff]
                .into_iter()
                .chain((0..8).map(|bit| state[at] ^ 1 << bit))
            {
                let mut changed = state.clone();
                changed[at] = value;
                let _ = try_out(&mut guest, &changed);
            }
        }
        let foreign = [&[1], &state[1..]].concat();
        let refused = try_out(&mut guest, &foreign);
        assert_eq!(refused, Err(ResumeError::UnknownVersion));
    }
    let (_, mut guest) = guest_of("portable-chat");
    let state = state_of(&mut guest);

    // The echo is a function: there is no telling where it waits.
    let mut echo = default_app();
    let connection = open_echo(&mut echo, false);
    finish(echo.open(connection, 0, 1, &[])).expect("no fault");
    let suspended = finish(echo.suspend(connection, 0)).expect("no fault");
    assert!(suspended.is_none());
    let refused = finish(echo.resume(0, 2, Duration::ZERO, &state)).expect("no fault");
    assert_eq!(refused.err(), Some(ResumeError::Unsupported));
}
