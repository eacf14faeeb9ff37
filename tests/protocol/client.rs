//! A client's connection from the request to the end, run natively, against our server and against servers
//! that violate the protocol.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use std::time::Duration;

use wasocket::extension::DeflateOptions;
use wasocket::{
    Answer, ClientEvent, ClientRequest, ClientSession, CloseCode, Closed, Connection, Disposition,
    Effects, Event, HttpVersion, Instant, Limits, Message, Request, Session, Upgrade,
    read_response_head,
};

const NOW: Instant = Instant::from_nanos(1);
const ENTROPY: [u8; 48] = [7; 48];

fn request(compression: Option<DeflateOptions>) -> ClientRequest {
    ClientRequest {
        host: "a.test".into(),
        target: "/echo".into(),
        subprotocols: vec!["superchat".into()],
        compression,
        ..ClientRequest::default()
    }
}

fn connect(compression: Option<DeflateOptions>) -> (ClientSession, Effects) {
    let request = request(compression);
    ClientSession::connect(NOW, request, Limits::default(), &ENTROPY).expect("a valid request")
}

/// Our server's side: its response to the client's request, and its session.
fn serve(head: &[u8]) -> (Vec<u8>, Box<dyn Session>) {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(head).expect("a well-formed head");
    let fields = parsed.headers.iter();
    let request = Request {
        method: parsed.method.expect("a method").into(),
        target: parsed.path.expect("a target").into(),
        version: HttpVersion::Http11,
        authority: None,
        protocol: None,
        fields: fields
            .map(|field| (field.name.into(), field.value.into()))
            .collect::<Vec<_>>()
            .into(),
        secure: false,
        ..Request::default()
    };
    let answer = Upgrade::new()
        .subprotocols(&["chat", "superchat"])
        .compression(DeflateOptions::default())
        .accept(&request, |ws: &mut Connection, message: Message| {
            ws.send(message)
        });
    let Answer::Takeover(takeover) = answer else {
        panic!("refused");
    };
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    for (name, value) in takeover.response.expect("a response").fields.iter() {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    (head, takeover.session)
}

/// Passes bytes to a session in pieces of this size, and collects its events.
fn receive(session: &mut ClientSession, bytes: &[u8], size: usize) -> Vec<ClientEvent> {
    bytes
        .chunks(size)
        .flat_map(|piece| {
            session.receive(NOW, piece.to_vec());
            session.take_events()
        })
        .collect()
}

#[test]
fn talks_with_our_own_server() {
    for (compression, size) in [
        (None, 1),
        (None, 65_536),
        (Some(DeflateOptions::default()), 1),
        (Some(DeflateOptions::default()), 65_536),
    ] {
        let (mut client, effects) = connect(compression);
        let (head, mut server) = serve(&effects.output);
        let mut bytes = head.clone();
        bytes.extend(server.open(NOW, 0, &Default::default(), vec![]).output);
        let opened = ClientEvent::Opened {
            subprotocol: Some("superchat".into()),
            compress: compression.is_some(),
            fields: read_response_head(&head)
                .expect("a head")
                .expect("all of it")
                .0
                .fields,
        };
        assert_eq!(receive(&mut client, &bytes, size), [opened]);

        let text = "to and fro ".repeat(1000);
        let connection = client.connection(NOW).expect("open");
        connection.send_text(&text).expect("open");
        let sent = client.effects().output;
        assert_eq!(sent.len() < text.len(), compression.is_some());
        let answer = server.receive(NOW, sent).output;
        let message = ClientEvent::Connection(Event::Message(text.as_str().into()));
        assert_eq!(receive(&mut client, &answer, size), [message]);

        let connection = client.connection(NOW).expect("open");
        connection.close(CloseCode::NORMAL, "bye").expect("open");
        let closing = server.receive(NOW, client.effects().output);
        assert_eq!(closing.next, Disposition::Close);
        let events = receive(&mut client, &closing.output, size);
        let [ClientEvent::Connection(Event::Closed(Closed::Handshake(Some(reason))))] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(reason.code, CloseCode::NORMAL);
        // The server closes the socket first.
        assert_eq!(client.effects().next, Disposition::Open);
        client.receive_eof(NOW);
        assert_eq!(client.effects().next, Disposition::Close);
        assert_eq!(client.take_events(), []);
        assert!(client.connection(NOW).is_none());
    }
}

#[test]
fn messages_that_arrive_with_the_end_can_be_answered() {
    let text = [0x81, 1, b'a'];
    let message = ClientEvent::Connection(Event::Message("a".into()));
    // A Close frame, and one that breaks the protocol.
    for (end, code) in [([0x88, 2, 3, 232], 1000), ([0x88, 2, 0, 0], 1002)] {
        let (mut client, effects) = connect(None);
        let (head, _) = serve(&effects.output);
        let bytes = [&head[..], &text, &end].concat();
        let events = receive(&mut client, &bytes, bytes.len());
        assert_eq!(&events[1..], std::slice::from_ref(&message));
        assert_eq!(client.effects().wake_at, Some(NOW));
        let connection = client.connection(NOW).expect("open");
        connection.send_text("b").expect("open");

        client.wake(NOW, 0);
        let events = client.take_events();
        let [ClientEvent::Connection(Event::Closed(_))] = &events[..] else {
            panic!("{events:?}");
        };
        let output = client.effects().output;
        // The answer, then the Close frame, both masked.
        assert_eq!((output[0], output[7]), (0x81, 0x88));
        let sent = [output[13] ^ output[9], output[14] ^ output[10]];
        assert_eq!(u16::from_be_bytes(sent), code);
        assert!(client.connection(NOW).is_none());
    }
}

fn assert_refused(response: &[u8], reason: &str, body: &[u8]) {
    for size in [1, response.len()] {
        let (mut client, _) = connect(None);
        let mut events = receive(&mut client, response, size);
        if events.is_empty() {
            client.receive_eof(NOW);
            events = client.take_events();
        }
        let [ClientEvent::Refused(refused)] = &events[..] else {
            panic!("{events:?}");
        };
        assert!(refused.reason.contains(reason), "{}", refused.reason);
        let received = refused.response.as_ref().map(|response| &response.body[..]);
        assert_eq!(received.unwrap_or_default(), body);
        assert_ne!(client.effects().next, Disposition::Open);
    }
}

#[test]
fn a_refusal_carries_its_body() {
    let head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n";
    assert_refused(&[&head[..], b"no!\n"].concat(), "403", b"no!\n");
    // Without a length, the body ends with the stream.
    assert_refused(b"HTTP/1.0 500 Oops\r\n\r\nsorry", "500", b"sorry");
    let long = [&b"HTTP/1.1 404 x\r\n\r\n"[..], &[b'a'; 10_000]].concat();
    assert_refused(&long, "404", &[b'a'; 4096]);
    assert_refused(
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        "302",
        b"",
    );
    let chunked = b"HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    assert_refused(chunked, "502", b"no");
}

/// RFC 9112 §6.3.
#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    for head in [
        &b"HTTP/1.1 204 No Content\r\n\r\n"[..],
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    ] {
        let (mut client, _) = connect(None);
        let events = receive(&mut client, head, head.len());
        assert!(
            matches!(&events[..], [ClientEvent::Refused(_)]),
            "{events:?}"
        );
    }
    // Neither a length nor an end.
    let (mut client, effects) = connect(None);
    let events = receive(&mut client, b"HTTP/1.1 404 x\r\n\r\nno", 1);
    assert_eq!(events, []);
    let deadline = client.effects().wake_at.expect("a deadline");
    assert!(Some(deadline) < effects.wake_at);
    client.wake(deadline, 0);
    let events = client.take_events();
    let [ClientEvent::Refused(refused)] = &events[..] else {
        panic!("{events:?}");
    };
    let response = refused.response.as_ref().expect("its head arrived");
    assert_eq!(response.body, b"no");
}

/// RFC 9110 §15.2.
#[test]
fn interim_responses_are_skipped() {
    const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!\n";
    assert_refused(&[HINTS, HINTS, refusal].concat(), "403", b"no!\n");
    assert_refused(&HINTS.repeat(17), "only interim responses", b"");
    for size in [1, 1000] {
        let (mut client, effects) = connect(None);
        let (head, _) = serve(&effects.output);
        let events = receive(&mut client, &[HINTS, &head].concat(), size);
        assert!(
            matches!(&events[..], [ClientEvent::Opened { .. }]),
            "{events:?}"
        );
    }
}

#[test]
fn an_invalid_response_is_refused() {
    assert_refused(b"SSH-2.0-OpenSSH\r\n", "not HTTP", b"");
    assert_refused(b"\x15\x03\x01\0\x02\x02\x46", "wss://", b"");
    // Frames are no body.
    assert_refused(
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
        "Connection",
        b"",
    );
    assert_refused(b"HTTP/1.1 101 x\r\n", "without an answer", b"");
}

#[test]
fn messages_come_in_pieces_if_asked_for() {
    let limits = Limits {
        max_streamed_size: Some(10_000),
        ..Limits::for_messages(100)
    };
    let (mut client, effects) =
        ClientSession::connect(NOW, request(None), limits, &ENTROPY).expect("a valid request");
    client.stream_messages(true);
    let (head, _) = serve(&effects.output);
    client.receive(NOW, head);
    assert_eq!(client.take_events().len(), 1);
    let frame = [&[0x82, 126, 0x27, 0x10][..], &[7; 10_000]].concat();
    let mut length = 0;
    for event in receive(&mut client, &frame, 1000) {
        let ClientEvent::Connection(Event::Piece(piece)) = event else {
            panic!("{event:?}");
        };
        length += piece.bytes.len();
        assert_eq!(piece.last, length == 10_000);
    }
    assert_eq!(length, 10_000);
}

#[test]
fn a_server_that_does_not_answer_times_out() {
    let (mut client, effects) = connect(None);
    let deadline = effects.wake_at.expect("a deadline");
    assert_eq!(deadline, NOW.after(Duration::from_secs(10)));
    client.wake(NOW, 0);
    assert_eq!(client.take_events(), []);
    client.wake(deadline, 0);
    assert!(matches!(
        &client.take_events()[..],
        [ClientEvent::Refused(_)]
    ));
    assert_eq!(client.effects().next, Disposition::Abort);
}
