//! Properties that hold for any input: however a stream is split, whatever two peers send each other.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate, WindowBits};
use wasocket::{CloseCode, Closed, Connection, Event, Fields, Instant, Limits, MaskingKeys};

const NOW: Instant = Instant::from_nanos(1);

/// Something a peer sends.
#[derive(Clone, Debug)]
enum Action {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        ".{0,200}".prop_map(Action::Text),
        vec(any::<u8>(), 0..300).prop_map(Action::Binary),
        vec(any::<u8>(), 65_530..65_540).prop_map(Action::Binary),
        vec(any::<u8>(), 0..=125).prop_map(Action::Ping),
    ]
}

fn act(connection: &mut Connection, action: &Action) {
    match action {
        Action::Text(text) => connection.send_text(text),
        Action::Binary(bytes) => connection.send_binary(bytes),
        Action::Ping(payload) => connection.ping(payload),
    }
    .expect("open");
}

/// The event that the other side must see.
fn event(action: &Action) -> Event {
    match action {
        Action::Text(text) => Event::Message(text.as_str().into()),
        Action::Binary(bytes) => Event::Message(bytes.as_slice().into()),
        Action::Ping(payload) => Event::Ping(payload.clone().into()),
    }
}

/// Passes bytes to a connection, split at these places, and collects its events.
fn receive(connection: &mut Connection, bytes: &[u8], cuts: &[Index]) -> Vec<Event> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut events = vec![];
    for pair in cuts.windows(2) {
        connection.receive_bytes(NOW, &bytes[pair[0]..pair[1]]);
        events.extend(std::iter::from_fn(|| connection.next_event()));
    }
    events
}

fn peers(seed: [u8; 32], agreed: Option<Agreed>) -> (Connection, Connection) {
    let client = Connection::client(Limits::default(), MaskingKeys::from_seed(seed));
    let server = Connection::server(Limits::default());
    let Some(agreed) = agreed else {
        return (client, server);
    };
    let options = DeflateOptions {
        threshold: 0,
        ..DeflateOptions::default()
    };
    (
        client.with_extensions(PermessageDeflate::client(agreed, &options).into()),
        server.with_extensions(PermessageDeflate::server(agreed, &options).into()),
    )
}

/// Anything the two sides can agree on: no compression, or any windows with and without context takeover.
fn agreed() -> impl Strategy<Value = Option<Agreed>> {
    let bits = || (8..=15u8).prop_map(|bits| WindowBits::new(bits).expect("8 to 15"));
    let some = (any::<bool>(), any::<bool>(), bits(), bits()).prop_map(|agreed| Agreed {
        server_no_context_takeover: agreed.0,
        client_no_context_takeover: agreed.1,
        server_max_window_bits: agreed.2,
        client_max_window_bits: agreed.3,
    });
    prop::option::of(some)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Each side receives what the other sends, however the bytes are split, and the closing handshake ends
    /// both connections.
    #[test]
    fn both_roles_understand_each_other(
        seed: [u8; 32],
        agreed in agreed(),
        actions in vec(action(), 0..12),
        cuts in vec(any::<Index>(), 0..20),
        reason in "[a-z]{0,123}",
    ) {
        let (mut client, mut server) = peers(seed, agreed);
        let expected: Vec<Event> = actions.iter().map(event).collect();

        actions.iter().for_each(|action| act(&mut client, action));
        let sent = client.take_output();
        prop_assert_eq!(receive(&mut server, &sent, &cuts), expected.clone());
        let pongs = server.take_output();
        let events = receive(&mut client, &pongs, &cuts);
        prop_assert!(events.iter().all(|event| matches!(event, Event::Pong(_))));

        actions.iter().for_each(|action| act(&mut server, action));
        let sent = server.take_output();
        prop_assert_eq!(receive(&mut client, &sent, &cuts), expected);
        let pongs = client.take_output();
        let events = receive(&mut server, &pongs, &cuts);
        prop_assert!(events.iter().all(|event| matches!(event, Event::Pong(_))));

        client.close(CloseCode::NORMAL, &reason).expect("open");
        let close = client.take_output();
        let events = receive(&mut server, &close, &cuts);
        let [Event::Closed(Closed::Handshake(Some(received)))] = &events[..] else {
            panic!("{events:?}");
        };
        prop_assert_eq!(&received.reason, &reason);
        let answer = server.take_output();
        let events = receive(&mut client, &answer, &cuts);
        prop_assert!(matches!(&events[..], [Event::Closed(Closed::Handshake(Some(_)))]));
        prop_assert_eq!(client.take_output(), b"");
    }

    /// Arbitrary bytes yield the same events and the same output however they are split, and at most one end.
    /// Each frame starts with a plausible byte, so that more than the first frame is reached.
    #[test]
    fn any_input_has_the_same_effect_however_it_is_split(
        frames in vec((prop::sample::select(&[0x81u8, 0x01, 0x80, 0x00, 0x82, 0x89, 0x8a, 0x88, 0xff][..]),
                       prop::sample::select(&[0x80u8, 0x81, 0x82, 0x85, 0xfe, 0x05][..]),
                       vec(any::<u8>(), 4..12)), 1..20),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let bytes: Vec<u8> = frames
            .into_iter()
            .flat_map(|(first, second, rest)| [first, second].into_iter().chain(rest))
            .collect();
        let mut whole = Connection::server(Limits::default());
        let mut cut = Connection::server(Limits::default());
        let events = receive(&mut whole, &bytes, &[]);
        prop_assert_eq!(&receive(&mut cut, &bytes, &cuts), &events);
        prop_assert_eq!(cut.take_output(), whole.take_output());
        let is_end = |event: &&Event| matches!(event, Event::Closed(_));
        prop_assert!(events.iter().filter(is_end).count() <= 1);
    }

    /// Masking keys differ from frame to frame and from connection to connection.
    #[test]
    fn masking_keys_are_fresh(seed: [u8; 32]) {
        let (mut client, _) = peers(seed, None);
        let mut keys = std::collections::HashSet::new();
        for _ in 0..64 {
            client.send_text("").expect("open");
            keys.insert(client.take_output()[2..6].to_vec());
        }
        // Two of 64 random keys are the same once in two million runs.
        prop_assert!(keys.len() >= 63);
    }

    /// No field makes the parser of lists panic, and each element it returns is part of a field line.
    #[test]
    fn list_elements_are_parts_of_their_field_lines(lines in vec(vec(any::<u8>(), 0..40), 0..5)) {
        let mut fields = Fields::new();
        for line in &lines {
            fields.append("A", line.clone());
        }
        for element in fields.list("a") {
            prop_assert!(!element.is_empty() && !element.contains(&b','));
            prop_assert!(lines.iter().any(|line| line.windows(element.len()).any(|part| part == element)));
        }
    }
}

#[test]
fn a_client_waits_for_the_server_to_close_the_socket() {
    let (mut client, mut server) = peers([7; 32], None);
    server.receive_bytes(NOW, &[][..]);
    server.close(CloseCode::NORMAL, "").expect("open");
    client.receive_bytes(NOW, &server.take_output()[..]);
    let Some(Event::Closed(Closed::Handshake(Some(_)))) = client.next_event() else {
        panic!("not closed");
    };
    // RFC 6455 §7.1.1: the server closes first.
    assert_eq!(client.disposition(), wasocket::Disposition::Open);
    let deadline = client.deadline().expect("a deadline");
    client.handle_timeout(deadline, 0);
    assert_eq!(client.disposition(), wasocket::Disposition::Close);
    assert_eq!(client.next_event(), None);
}
