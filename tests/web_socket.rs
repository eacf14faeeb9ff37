//! An app's function on a connection, natively, as a host would drive it.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod host;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use host::{Host, outcome};
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{
    CloseCode, CloseReason, Closed, CodecError, Connection, Disposition, Elapsed, Error, Event,
    Handler, Instant, Limits, MaskingKeys, Message, MessageType, Piece, Prepared, ProtocolError,
    Sender, ShutdownReason, TrySendError, Uncompressed, Upgrade, UsageError, WebSocket,
};

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
    assert!(closed.is_orderly());
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
fn ends_have_codes_even_where_none_came() {
    let reason = |code| {
        let code = CloseCode::new(code).expect("a code for the wire");
        let reason = String::new();
        Closed::Handshake(Some(CloseReason { code, reason }))
    };
    for (closed, code, is_orderly) in [
        (reason(1000), 1000, true),
        (reason(1001), 1001, true),
        (Closed::Handshake(None), Closed::NO_STATUS_RECEIVED, true),
        (reason(1011), 1011, false),
        (reason(4001), 4001, false),
        (Closed::EndOfStream, Closed::ABNORMAL_CLOSURE, false),
        (Closed::TimedOut, Closed::ABNORMAL_CLOSURE, false),
        (Closed::Aborted, Closed::ABNORMAL_CLOSURE, false),
        (Closed::Failed(ProtocolError::InvalidUtf8), 1007, false),
    ] {
        assert_eq!(closed.code(), code);
        assert_eq!(closed.is_orderly(), is_orderly, "{code}");
        // As in gorilla's chat.
        assert_eq!(
            closed.is_unexpected(&[1001, 1006]),
            !matches!(code, 1001 | 1006)
        );
        assert!(closed.is_unexpected(&[]));
    }
    for code in [Closed::NO_STATUS_RECEIVED, Closed::ABNORMAL_CLOSURE, 1015] {
        assert_eq!(
            CloseCode::new(code),
            Err(UsageError::InvalidCloseCode(code))
        );
    }
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
fn a_connection_is_given_up_without_a_word() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.receive::<Message>().await.expect("open");
        ws.send("lost").await.expect("open");
        ws.abort();
        ws.abort();
        let end = ws.receive::<Message>().await;
        (end, ws.closed(), ws.send("late").await)
    });
    host.client(id, |client| {
        client.send_text("one").expect("open");
        client.send_text("two").expect("open");
    });
    let effects = &host.connections[id].effects;
    assert_eq!(
        (&effects.output[..], effects.next),
        (&b""[..], Disposition::Abort)
    );
    let error = Error::Closed(Closed::Aborted);
    let expected = (Err(error.clone()), Some(Closed::Aborted), Err(error));
    assert_eq!(slot.take(), Some(expected));
}

/// By another one, while it takes nothing, and while it is closing.
#[test]
fn a_slow_connection_is_given_up() {
    for closes in [false, true] {
        let mut host = Host::default();
        let slow = Rc::new(RefCell::new(None::<Sender>));
        let join = Rc::clone(&slow);
        let (id, slot) = outcome(&mut host, |ws| async move {
            *join.borrow_mut() = Some(ws.sender());
            ws.receive::<Message>().await.expect("open");
            loop {
                let sent = ws.send(&[0; 1000][..]).await;
                sent?;
            }
        });
        host.connections[id].takes_output = false;
        host.say(id, "go");
        let slow: Sender = slow.take().expect("joined");
        if closes {
            assert_eq!(slow.start_close(CloseCode::NORMAL, ""), Ok(()));
        }
        slow.abort();
        host.settle();
        assert_eq!(host.connections[id].effects.next, Disposition::Abort);
        let end: Option<Result<(), Error>> = slot.take();
        assert_eq!(end, Some(Err(Error::Closed(Closed::Aborted))));
    }
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

/// Ticks each ten seconds, as (when it was due, when it came); is busy for as many seconds as a message is long.
async fn tick(ws: WebSocket, ticks: Rc<RefCell<Vec<(u64, u64)>>>) -> Result<(), Error> {
    let seconds = |instant: Instant| instant.as_nanos() / 1_000_000_000;
    let mut interval = ws.interval(Duration::from_secs(10));
    loop {
        let message = ws.receive::<String>();
        match ws.timeout_at(interval.due(), message).await {
            Ok(message) => {
                let length = message?.map_or(0, |text| text.len());
                ws.sleep(Duration::from_secs(length as u64)).await;
            }
            Err(Elapsed) => {
                let due = interval.tick().await;
                ticks.borrow_mut().push((seconds(due), seconds(ws.now())));
            }
        }
    }
}

#[test]
fn a_ticker() {
    let mut host = Host::default();
    let ticks = Rc::new(RefCell::new(vec![]));
    let seen = Rc::clone(&ticks);
    let id = host.open(|ws| tick(ws, seen));
    host.pass_by_seconds(21);
    assert_eq!(*ticks.borrow(), [(10, 10), (20, 20)]);
    host.say(id, "so much to do, for so long");
    host.pass_by_seconds(40);
    // The one at 40 is missed: nothing adds up, and nothing shifts.
    let expected = [(10, 10), (20, 20), (30, 47), (50, 50), (60, 60)];
    assert_eq!(*ticks.borrow(), expected);
}

#[test]
fn a_tick_that_is_not_waited_for_is_not_lost() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut interval = ws.interval(Duration::ZERO);
        let limit = Duration::from_micros(100);
        let early = ws.timeout(limit, interval.tick()).await.is_err();
        ws.receive::<Message>().await.expect("open");
        (early, interval.tick().await, interval.due())
    });
    host.pass(Duration::from_micros(100));
    host.pass(Duration::from_micros(4300));
    host.say(id, "now");
    let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    assert_eq!(slot.take(), Some((true, at(1), at(5))));
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
fn how_much_is_on_its_way() {
    let mut host = Host::default();
    let limits = Limits {
        max_buffered_amount: 100,
        ..Limits::default()
    };
    let slow = Rc::new(RefCell::new(None::<Sender>));
    let join = Rc::clone(&slow);
    let id = host.open_with(limits, |ws| async move {
        *join.borrow_mut() = Some(ws.sender());
        ws.receive::<Message>().await.map(drop)
    });
    let sender = slow.take().expect("joined");
    assert_eq!(sender.buffered_amount(), 0);
    host.connections[id].takes_output = false;
    // Two bytes of a header, and the text.
    let text = "x".repeat(47);
    for amount in [49, 98, 147] {
        assert_eq!(sender.try_send(&text[..]), Ok(()));
        assert_eq!(sender.buffered_amount(), amount);
        host.settle();
        assert_eq!(sender.buffered_amount(), amount);
    }
    let full = TrySendError::Full(text.as_str().into());
    assert_eq!(sender.try_send(&text[..]), Err(full));
    // Control frames do not wait, and count.
    assert_eq!(sender.send_ping(b"?"), Ok(()));
    assert_eq!(sender.buffered_amount(), 150);

    let (_, ready) = outcome(&mut host, |_| {
        let sender = sender.clone();
        async move { sender.ready().await.and(Ok(sender.try_send("new"))) }
    });
    let (_, flushed) = outcome(&mut host, |_| {
        let sender = sender.clone();
        async move { sender.flush().await.map(|()| sender.buffered_amount()) }
    });
    assert!(ready.borrow().is_none() && flushed.borrow().is_none());
    host.unblock(id);
    assert_eq!(ready.take(), Some(Ok(Ok(()))));
    assert_eq!(flushed.take(), Some(Ok(0)));
}

/// Nothing has to happen on a connection for others to learn that there is room again.
#[test]
fn a_message_beyond_the_limit_does_not_keep_others_waiting() {
    let mut host = Host::default();
    let limits = Limits {
        max_buffered_amount: 0,
        ..Limits::default()
    };
    let quiet = Rc::new(RefCell::new(None::<Sender>));
    let join = Rc::clone(&quiet);
    let id = host.open_with(limits, |ws| async move {
        *join.borrow_mut() = Some(ws.sender());
        ws.receive::<Message>().await.map(drop)
    });
    let sender = quiet.take().expect("joined");
    for _ in 0..3 {
        assert_eq!(sender.try_send("more than nothing"), Ok(()));
        host.settle();
    }
    assert_eq!(host.texts(id).len(), 3);
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

/// What the decoder says is for the app: it may name what the peer is not to know.
#[cfg(feature = "json")]
#[test]
fn what_is_wrong_with_a_value_is_not_told() {
    use wasocket::Json;

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Role {
        Secret,
    }

    let mut host = Host::default();
    let errors = Rc::new(RefCell::new(vec![]));
    let seen = Rc::clone(&errors);
    let id = host.open(|ws| async move {
        let role = ws.receive::<Json<Role>>().await;
        assert!(!matches!(role, Ok(Some(Json(Role::Secret)))));
        seen.borrow_mut().extend(role.as_ref().err().cloned());
        role.map(drop)
    });
    host.say(id, "\"guest\"");
    let reason = "the message cannot be read";
    assert_eq!(host.close_frame(id), (1007, reason.to_owned()));
    let [Error::Codec(CodecError::Decode(text))] = &errors.borrow()[..] else {
        panic!("{errors:?}");
    };
    assert!(text.contains("`secret`"), "{text}");
}

#[test]
fn who_has_logged_in_may_send_more() {
    async fn login(ws: WebSocket) -> Result<(), Error> {
        while let Some(text) = ws.receive::<String>().await? {
            match text.as_str() {
                "in" => ws.set_max_message_size(2 << 20),
                "out" => ws.set_max_message_size(10),
                _ => ws.send(text.len().to_string()).await?,
            }
        }
        Ok(())
    }

    let mut host = Host::default();
    let long = "x".repeat(2 << 20);
    let early = host.open_with(Limits::for_messages(10), login);
    host.say(early, "01234567890");
    assert_eq!(host.close_frame(early), (1009, "message too big".into()));
    let id = host.open_with(Limits::for_messages(10), login);
    for text in ["0123456789", "in", &long, "out", "0123456789"] {
        host.say(id, text);
    }
    assert_eq!(host.texts(id), ["10", "2097152", "10"]);
    host.say(id, "01234567890");
    assert_eq!(host.close_frame(id).0, 1009);
}

/// A message is held to the limit that it began with, in fragments, too.
#[test]
fn a_limit_is_set_for_the_next_message() {
    let next = |connection: &mut Connection, frame: &[u8]| {
        connection.receive_bytes(Instant::from_nanos(0), frame);
        connection.next_event()
    };
    let keys = MaskingKeys::from_seed([7; 32]);
    let mut client = Connection::client(Limits::for_messages(4), keys);
    assert_eq!(next(&mut client, b"\x01\x03abc"), None);
    client.set_max_message_size(1);
    let message = next(&mut client, b"\x80\x01d");
    assert_eq!(message, Some(Event::Message("abcd".into())));
    client.set_max_message_size(5);
    assert_eq!(next(&mut client, b"\x01\x05abcde"), None);
    client.set_max_message_size(100);
    let failed = Event::Closed(Closed::Failed(ProtocolError::MessageTooBig));
    assert_eq!(next(&mut client, b"\x80\x01f"), Some(failed));
}

/// The first bytes of messages that a function sends where compression was agreed on.
#[test]
fn secrets_are_not_compressed() {
    let mut host = Host::default();
    let options = DeflateOptions {
        server_no_context_takeover: false,
        ..DeflateOptions::default()
    };
    let id = host.open_answer(|request| {
        let mut request = request.clone();
        let offer = "permessage-deflate";
        request.fields.append("Sec-WebSocket-Extensions", offer);
        let upgrade = Upgrade::new().compression(options);
        upgrade.converse(&request, |ws| async move {
            let text = "over and over ".repeat(100);
            ws.receive::<String>().await?;
            ws.send(&text[..]).await?;
            ws.receive::<String>().await?;
            ws.send(Uncompressed(&text[..])).await?;
            ws.receive::<String>().await?;
            assert_eq!(ws.try_send(Uncompressed(&text[..])), Ok(()));
            ws.receive::<String>().await?;
            let prepared = Prepared::uncompressed(&text[..]);
            ws.send_prepared(&prepared).await?;
            ws.receive::<String>().await?;
            let mut writer = ws.uncompressed_message_writer(MessageType::Text).await?;
            writer.write(&text).await?;
            writer.finish()?;
            ws.receive::<String>().await?;
            let mut writer = ws.message_writer(MessageType::Text).await?;
            writer.write(&text).await?;
            writer.finish()
        })
    });
    let keys = MaskingKeys::from_seed([7; 32]);
    let agreed = Agreed::default();
    host.connections[id].client = Connection::client(Limits::default(), keys)
        .with_extensions(PermessageDeflate::client(agreed, &options).into());
    for (number, first) in [0xc1, 0x81, 0x81, 0x81, 0x01, 0x41].into_iter().enumerate() {
        host.say(id, "next");
        let output = &host.connections[id].effects.output;
        assert_eq!(output[0], first, "{number}");
        let texts = host.received(id);
        let expected = Event::Message("over and over ".repeat(100).into());
        assert_eq!(texts[0], expected);
    }
}

// Messages while they arrive, and while they are made.

#[test]
fn a_message_is_read_while_it_arrives() {
    let mut host = Host::default();
    let sizes = Rc::new(RefCell::new(vec![]));
    let seen = Rc::clone(&sizes);
    let limits = Limits {
        max_streamed_size: Some(1 << 30),
        ..Limits::default()
    };
    let id = host.open_with(limits, |ws| async move {
        while let Some(mut reader) = ws.next_message().await? {
            assert_eq!(reader.message_type(), MessageType::Binary);
            while let Some(chunk) = reader.chunk().await? {
                assert!(!chunk.is_empty());
                seen.borrow_mut().push(chunk.len());
            }
            ws.send("all").await?;
        }
        Ok::<(), Error>(())
    });
    // Beyond the largest whole message.
    let size = 3 << 20;
    let message = vec![0; size];
    host.client_in_pieces(id, 65_536, |client| {
        client.send_binary(&message).expect("open");
    });
    assert_eq!(host.texts(id), ["all"]);
    assert_eq!(sizes.borrow().iter().sum::<usize>(), size);
    assert_eq!(sizes.borrow().len(), size / 65_536 + 1);
    host.client(id, |client| client.send_binary(b"").expect("open"));
    assert_eq!(host.texts(id), ["all"]);
}

#[test]
fn a_message_that_is_not_taken_is_not_read() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut reader = ws.next_message().await?.expect("open");
        let first = reader.chunk().await?.expect("more");
        ws.sleep(Duration::from_secs(10)).await;
        let rest = reader.collect(1 << 20).await?;
        Ok::<_, Error>((first.len(), rest.as_bytes().len()))
    });
    let message = vec![7; 1 << 20];
    let sent = host.client_in_pieces(id, 65_536, |client| {
        client.send_binary(&message).expect("open");
    });
    assert_eq!(host.connections[id].effects.next, Disposition::Pause);
    // What it has taken, and what is kept for it.
    assert_eq!(sent, 65_536 * 5);
    host.pass(Duration::from_secs(10));
    assert_eq!(host.connections[id].effects.next, Disposition::Open);
    let now = host.time();
    let rest = host_rest(&message, sent);
    let peer = &mut host.connections[id];
    let effects = peer.session.receive(now, rest);
    peer.take(now, effects);
    let (first, rest) = slot.take().expect("ended").expect("open");
    assert_eq!(first + rest, 1 << 20);
}

/// What is left to send of a message that a client with these keys sends as its first.
fn host_rest(message: &[u8], sent: usize) -> Vec<u8> {
    let keys = MaskingKeys::from_seed([7; 32]);
    let mut client = Connection::client(Limits::default(), keys);
    client.send_binary(message).expect("open");
    client.take_output().split_off(sent)
}

#[test]
fn pieces_are_bounded_in_number_too() {
    let mut host = Host::default();
    let (id, _) = outcome(&mut host, |ws| async move {
        let reader = ws.next_message().await;
        ws.sleep(Duration::from_secs(10)).await;
        reader.is_ok()
    });
    let sent = host.client_in_pieces(id, 1, |client| {
        client.send_binary(&[0; 100]).expect("open");
    });
    // The header, the piece that the reader has, and those in wait.
    assert_eq!(sent, 6 + 1 + 16);
}

#[test]
fn a_reader_that_is_dropped_gives_the_rest_up() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let first = ws.next_message().await?.expect("open");
        drop(first);
        let mut second = ws.next_message().await?.expect("open");
        let second_of = second.chunk().await?.expect("some");
        // The next one is asked for: this one is given up as well.
        let third = ws.next_message().await?.expect("open");
        let stale = second.chunk().await;
        Ok::<_, Error>((second_of, stale, third.collect(100).await?))
    });
    host.client(id, |client| {
        for text in ["one", "two", "three"] {
            client.start_message(MessageType::Text).expect("open");
            client.send_fragment(text.as_bytes()).expect("open");
            client.send_fragment(b", and more").expect("open");
            client.ping(text.as_bytes()).expect("open");
            client.end_message().expect("open");
        }
    });
    let (second, stale, third) = slot.take().expect("ended").expect("open");
    assert_eq!(&second[..], b"two");
    assert_eq!(stale, Err(Error::Usage(UsageError::Superseded)));
    assert_eq!(third, "three, and more".into());
}

#[test]
fn whole_messages_are_received_between_those_in_pieces() {
    let mut host = Host::default();
    let limits = Limits {
        max_message_size: 10,
        max_streamed_size: Some(100),
        ..Limits::default()
    };
    let slot = Rc::new(RefCell::new(vec![]));
    let made = Rc::clone(&slot);
    let id = host.open_with(limits, |ws| async move {
        for _ in 0..4 {
            let received = ws.receive::<String>().await;
            made.borrow_mut().push(received);
        }
    });
    host.client_in_pieces(id, 7, |client| {
        client.send_text("0123456789").expect("open");
        client.send_text("0123456789a").expect("open");
        client.send_text("").expect("open");
    });
    host.client(id, |client| {
        client.send_text("too long in one piece").expect("open");
    });
    let text = |text: &str| Ok(Some(text.to_owned()));
    let too_big = Err(Error::MessageTooBig);
    let expected = [text("0123456789"), too_big.clone(), text(""), too_big];
    assert_eq!(*slot.borrow(), expected);
    assert_eq!(host.close_frame(id).0, 1000);
}

#[test]
fn a_message_that_is_cut_off_is_an_error() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut reader = ws.next_message().await?.expect("open");
        let first = reader.chunk().await?;
        Ok::<_, Error>((first, reader.chunk().await))
    });
    host.client(id, |client| {
        client.start_message(MessageType::Binary).expect("open");
        client.send_fragment(b"half").expect("open");
        client.close(CloseCode::NORMAL, "").expect("open");
    });
    let (first, end) = slot.take().expect("ended").expect("open");
    assert_eq!(first.as_deref(), Some(&b"half"[..]));
    assert!(matches!(end, Err(Error::Closed(Closed::Handshake(_)))));
}

#[test]
fn a_message_is_sent_while_it_is_made() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        let mut writer = ws.message_writer(MessageType::Text).await?;
        while let Some(text) = ws.receive::<String>().await? {
            if text == "end" {
                break;
            }
            // In between, nobody else gets in.
            let busy = ws.try_send("other");
            assert_eq!(busy, Err(TrySendError::Busy("other".into())));
            writer.write(&text).await?;
        }
        writer.finish()?;
        ws.send("behind").await
    });
    host.connections[id].client.stream_messages(true);
    for (text, last) in [("one", false), ("two", false)] {
        host.say(id, text);
        let events = host.received(id);
        let [Event::Piece(piece)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!((&piece.bytes[..], piece.last), (text.as_bytes(), last));
    }
    host.say(id, "end");
    let events = host.received(id);
    assert!(matches!(&events[0], Event::Piece(piece) if piece.last));
    assert_eq!(events[1], Event::Message("behind".into()));
}

#[test]
fn other_senders_wait_for_the_end_of_a_message() {
    let mut host = Host::default();
    let room = Rc::new(RefCell::new(None::<Sender>));
    let join = Rc::clone(&room);
    let writing = host.open(|ws| async move {
        *join.borrow_mut() = Some(ws.sender());
        let mut writer = ws.message_writer(MessageType::Text).await?;
        writer.write("a").await?;
        ws.receive::<String>().await?;
        writer.write("b").await?;
        writer.finish()?;
        ws.receive::<String>().await?;
        Ok::<(), Error>(())
    });
    let other = room.take().expect("joined");
    let waiting = host.open(|ws| async move {
        other.send("other").await?;
        ws.send("done").await
    });
    assert_eq!(host.received(waiting), []);
    host.say(writing, "go on");
    assert_eq!(host.texts(writing), ["ab", "other"]);
    let events = host.received(waiting);
    assert_eq!(events[0], Event::Message("done".into()));
}

#[test]
fn a_writer_waits_for_room() {
    let mut host = Host::default();
    let written = Rc::new(RefCell::new(0));
    let count = Rc::clone(&written);
    let id = host.open(|ws| async move {
        ws.receive::<Message>().await?;
        let mut writer = ws.message_writer(MessageType::Binary).await?;
        for _ in 0..1000 {
            writer.write([0; 1000]).await?;
            *count.borrow_mut() += 1;
        }
        writer.finish()
    });
    host.connections[id].takes_output = false;
    host.say(id, "go");
    assert_eq!(*written.borrow(), 66);
    host.unblock(id);
    assert_eq!(*written.borrow(), 1000);
}

#[test]
fn half_a_message_ends_the_connection() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        let mut writer = ws.message_writer(MessageType::Binary).await?;
        writer.write(b"half").await?;
        drop(writer);
        ws.send("late").await
    });
    assert_eq!(host.close_frame(id).0, 1011);
    assert!(host.received(id).is_empty());

    // The same without a byte, and where text ends inside a character.
    let id = host.open(|ws| async move {
        let _ = ws.message_writer(MessageType::Binary).await?;
        ws.receive::<Message>().await.map(drop)
    });
    assert_eq!(host.close_frame(id).0, 1011);
    let id = host.open(|ws| async move {
        let mut writer = ws.message_writer(MessageType::Text).await?;
        writer.write(b"\xc3").await?;
        let end = writer.finish();
        assert_eq!(end, Err(Error::Usage(UsageError::InvalidUtf8)));
        Ok::<(), Error>(())
    });
    assert_eq!(host.close_frame(id).0, 1011);
}

#[test]
fn a_prepared_message_is_sent_to_many() {
    let mut host = Host::default();
    let room = Rc::new(RefCell::new(Vec::<Sender>::new()));
    let join = |room: &Rc<RefCell<Vec<Sender>>>| {
        let room = Rc::clone(room);
        move |ws: WebSocket| async move {
            room.borrow_mut().push(ws.sender());
            while let Some(text) = ws.receive::<String>().await? {
                let prepared = Prepared::new(text);
                ws.send_prepared(&prepared).await?;
                for member in room.borrow().iter() {
                    assert_eq!(member.try_send_prepared(&prepared), Ok(()));
                }
                let long = Prepared::new(&[0; 70_000][..]);
                assert_eq!(ws.try_send_prepared(&long), Ok(()));
                let full = TrySendError::Full(long.message().clone());
                assert_eq!(ws.try_send_prepared(&long), Err(full));
            }
            Ok::<(), Error>(())
        }
    };
    let ids = [0; 3].map(|_| host.open(join(&room)));
    host.say(ids[2], "to all");
    assert_eq!(host.texts(ids[0]), ["to all"]);
    assert_eq!(host.texts(ids[1]), ["to all"]);
    assert_eq!(host.received(ids[2]).len(), 3);
}

// Pings and pongs of the app's own, and time.

/// An app in the form of events, which notes them.
struct Noting(Rc<RefCell<Vec<String>>>);

impl Noting {
    fn note(&self, kind: &str, bytes: &[u8]) {
        let note = format!("{kind} {}", String::from_utf8_lossy(bytes));
        self.0.borrow_mut().push(note);
    }
}

impl Handler for Noting {
    fn open(&mut self, connection: &mut Connection) -> Result<(), UsageError> {
        connection.stream_messages(true);
        connection.pong(b"unasked")
    }

    fn message(&mut self, _: &mut Connection, message: Message) -> Result<(), UsageError> {
        self.note("message", message.as_bytes());
        Ok(())
    }

    fn piece(&mut self, connection: &mut Connection, piece: Piece) -> Result<(), UsageError> {
        self.note("piece", &piece.bytes);
        if piece.last {
            connection.start_message(MessageType::Text)?;
            connection.send_fragment(b"thank ")?;
            connection.send_fragment(b"you")?;
            connection.end_message()?;
        }
        Ok(())
    }

    fn ping(&mut self, connection: &mut Connection, payload: &[u8]) -> Result<(), UsageError> {
        self.note("ping", payload);
        connection.ping(b"you?")
    }

    fn pong(&mut self, _: &mut Connection, payload: &[u8]) -> Result<(), UsageError> {
        self.note("pong", payload);
        Ok(())
    }

    fn closing(
        &mut self,
        connection: &mut Connection,
        reason: Option<&CloseReason>,
    ) -> Result<(), UsageError> {
        self.note(
            "closing",
            reason.map_or(&[], |reason| reason.reason.as_bytes()),
        );
        connection.close(CloseCode::TRY_AGAIN_LATER, "later")
    }
}

#[test]
fn a_handler_has_pieces_pings_and_pongs() {
    let mut host = Host::default();
    let notes = Rc::new(RefCell::new(vec![]));
    let handler = Noting(Rc::clone(&notes));
    let id = host.open_answer(|request| Upgrade::new().accept(request, handler));
    assert_eq!(host.received(id), [Event::Pong(b"unasked"[..].into())]);
    host.client_in_pieces(id, 9, |client| {
        client.send_text("abcde").expect("open");
        client.ping(b"?").expect("open");
        client.send_text("").expect("open");
    });
    host.client(id, |_| {});
    let expected = ["piece abc", "piece de", "ping ?", "message ", "pong you?"];
    assert_eq!(*notes.borrow(), expected);
    assert_eq!(host.received(id)[0], Event::Message("thank you".into()));
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "done").expect("open");
    });
    assert_eq!(
        notes.borrow().last().map(String::as_str),
        Some("closing done")
    );
    assert_eq!(host.close_frame(id), (1013, "later".into()));
}

#[test]
fn pings_and_pongs_are_seen() {
    let mut host = Host::default();
    let seen = Rc::new(RefCell::new(vec![]));
    let (pings, pongs) = (Rc::clone(&seen), Rc::clone(&seen));
    let id = host.open(|ws| async move {
        let sender = ws.sender();
        ws.on_ping(move |payload| {
            pings.borrow_mut().push(("ping", payload.to_vec()));
            // The connection can be used, and what it holds of itself is let go.
            let sent = sender.try_send("pinged");
            assert_eq!(sent, Ok(()));
        });
        ws.on_pong(move |payload| pongs.borrow_mut().push(("pong", payload.to_vec())));
        ws.send_ping(b"own")?;
        ws.send_pong(b"unasked")?;
        let too_long = Err(Error::Usage(UsageError::PingTooLong));
        assert_eq!(ws.send_ping(&[0; 126]), too_long);
        assert_eq!(ws.send_pong(&[0; 126]), too_long);
        ws.receive::<Message>().await.map(drop)
    });
    let events = host.received(id);
    let [Event::Ping(own), Event::Pong(unasked)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((&own[..], &unasked[..]), (&b"own"[..], &b"unasked"[..]));
    host.client(id, |client| client.ping(b"?").expect("open"));
    let expected = [("pong", b"own".to_vec()), ("ping", b"?".to_vec())];
    assert_eq!(*seen.borrow(), expected);
    let events = host.received(id);
    assert_eq!(events[0], Event::Pong(b"?"[..].into()));
    assert_eq!(events[1], Event::Message("pinged".into()));
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open")
    });
    assert_eq!(Rc::strong_count(&seen), 1);
}

#[test]
fn the_app_chooses_the_answer_to_a_close() {
    let private = CloseCode::new(4000).expect("private");
    let answer = move |reason: Option<&CloseReason>| {
        let reason = reason.map_or("nothing", |reason| &reason.reason);
        let reason = (reason != "echo").then(|| reason.repeat(30));
        reason.map(|reason| CloseReason {
            code: private,
            reason,
        })
    };
    for (reason, expected) in [
        ("bye", (4000, "bye".repeat(30))),
        // At most 123 bytes are sent.
        ("a reason", (4000, "a reason".repeat(30)[..123].to_owned())),
        ("echo", (1001, String::new())),
    ] {
        let mut host = Host::default();
        let (id, slot) = outcome(&mut host, move |ws| async move {
            ws.on_close(answer);
            (ws.receive::<Message>().await, ws.closed())
        });
        host.client(id, |client| {
            client.close(CloseCode::GOING_AWAY, reason).expect("open");
        });
        assert_eq!(host.close_frame(id), expected);
        assert_eq!(host.connections[id].effects.next, Disposition::Close);
        // What the peer has said is how the connection was closed.
        let (end, closed) = slot.take().expect("ended");
        assert_eq!(
            (end, closed.map(|closed| closed.code())),
            (Ok(None), Some(1001))
        );
    }
}

#[test]
fn a_close_that_breaks_the_protocol_is_not_the_apps_to_answer() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        ws.on_close(|_| panic!("asked"));
        ws.receive::<Message>().await.map(drop)
    });
    let now = host.time();
    let peer = &mut host.connections[id];
    let effects = peer
        .session
        .receive(now, b"\x88\x82\0\0\0\0\x03\xed".to_vec());
    peer.take(now, effects);
    assert_eq!(host.close_frame(id).0, 1002);
    // Nor is one that answers the app's own.
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.on_close(|_| panic!("asked"));
        ws.close(CloseCode::NORMAL, "")
            .await
            .map(|closed| closed.code())
    });
    host.client(id, |_| {});
    assert_eq!(slot.take(), Some(Ok(1000)));
}

/// A pong with a number of the app's own is not taken for the answer to a ping.
#[test]
fn pongs_of_others_are_told_from_answers() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move { ws.ping().await });
    let pong = host.connections[id].client.take_output();
    host.client(id, |client| {
        client.pong(&1_u64.to_be_bytes()).expect("open")
    });
    assert!(slot.borrow().is_none());
    let now = host.time();
    let peer = &mut host.connections[id];
    let effects = peer.session.receive(now, pong);
    peer.take(now, effects);
    assert_eq!(slot.take().expect("ended"), Ok(Duration::ZERO));
}

#[test]
fn an_idle_connection_is_closed_and_so_is_an_old_one() {
    let mut host = Host::default();
    let limits = Limits {
        idle_timeout: Some(Duration::from_secs(60)),
        max_lifetime: Some(Duration::from_secs(100)),
        ..Limits::default()
    };
    let idle = host.open_with(limits, echo);
    host.pass_by_seconds(59);
    assert!(
        host.received(idle)
            .iter()
            .all(|event| matches!(event, Event::Ping(_)))
    );
    host.pass_by_seconds(1);
    assert_eq!(
        host.close_frame(idle),
        (1001, "no message for too long".into())
    );

    let old = host.open_with(limits, echo);
    for _ in 0..11 {
        host.say(old, "x");
        host.pass_by_seconds(9);
    }
    assert_eq!(host.received(old).len(), 11);
    host.pass_by_seconds(1);
    assert_eq!(host.close_frame(old), (1012, "open for too long".into()));
    // What the app's function sees is the end of the messages, when the client has answered.
    host.client(old, |_| {});
    assert_eq!(host.connections[old].effects.next, Disposition::Close);
}

#[test]
fn a_peer_that_sends_too_many_messages_is_closed() {
    let mut host = Host::default();
    let limits = Limits {
        max_messages_per_second: Some(10),
        ..Limits::default()
    };
    let steady = host.open_with(limits, echo);
    for _ in 0..100 {
        host.say(steady, "x");
        host.pass_by_seconds(1);
    }
    assert_eq!(host.texts(steady).len(), 100);

    // One too many: those before it are answered.
    let fast = host.open_with(limits, echo);
    host.client(fast, |client| {
        for _ in 0..11 {
            client.send_text("x").expect("open");
        }
    });
    let events = host.received(fast);
    let messages = events.iter().filter(|it| matches!(it, Event::Message(_)));
    assert_eq!(messages.count(), 10);
    let reason = CloseReason {
        code: CloseCode::POLICY_VIOLATION,
        reason: "too many messages in a second".into(),
    };
    let closed = Closed::Handshake(Some(reason));
    assert_eq!(events.last(), Some(&Event::Closed(closed)));

    // Pings count; further fragments do not.
    let pings = host.open_with(limits, echo);
    host.client(pings, |client| {
        for _ in 0..11 {
            client.ping(b"").expect("open");
        }
    });
    assert_eq!(host.close_frame(pings).0, 1008);
    let fragments = host.open_with(limits, echo);
    host.client(fragments, |client| {
        client.start_message(MessageType::Text).expect("open");
        for _ in 0..100 {
            client.send_fragment(b"x").expect("open");
        }
        client.end_message().expect("open");
    });
    assert!(host.texts(fragments)[0].ends_with(&"x".repeat(100)));
}

/// What waits for the app is no flood of the peer's.
#[test]
fn a_peer_that_waits_for_the_app_may_send_as_in_all_that_time() {
    let mut host = Host::default();
    let limits = Limits {
        max_messages_per_second: Some(20),
        ..Limits::default()
    };
    let id = host.open_with(limits, |ws| async move {
        ws.sleep(Duration::from_secs(10)).await;
        echo(ws).await
    });
    // Fills what the session keeps; the rest comes when it is read again.
    for _ in 0..2 {
        host.client(id, |client| {
            for _ in 0..16 {
                client.send_text("x").expect("open");
            }
        });
        host.pass_by_seconds(1);
    }
    host.pass_by_seconds(9);
    host.client(id, |client| {
        for _ in 0..150 {
            client.send_text("x").expect("open");
        }
    });
    assert_eq!(host.texts(id).len(), 32 + 150);
}

/// What waits for the app is no idleness of the peer's.
#[test]
fn a_connection_whose_app_is_busy_is_not_idle() {
    let mut host = Host::default();
    let limits = Limits {
        idle_timeout: Some(Duration::from_secs(10)),
        ..Limits::default()
    };
    let id = host.open_with(limits, |ws| async move {
        ws.sleep(Duration::from_secs(30)).await;
        echo(ws).await
    });
    host.client(id, |client| {
        for _ in 0..20 {
            client.send_text("x").expect("open");
        }
    });
    host.pass_by_seconds(31);
    assert_eq!(host.texts(id).len(), 20);
}
