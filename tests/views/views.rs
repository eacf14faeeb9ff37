//! A connection as the traits of the crates `futures-*`.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

#[path = "../app/host/mod.rs"]
mod host;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use futures_util::{AsyncReadExt, AsyncWriteExt, SinkExt, StreamExt, TryStreamExt};
use host::{Host, outcome};
use wasocket::{CloseCode, Closed, Error, Event, Limits, Message, MessageType};

#[test]
fn a_stream_can_be_forwarded_to_a_sink() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let (sender, receiver) = ws.split();
        let loud = receiver.map_ok(|message| match message {
            Message::Text(text) => text.to_uppercase().into(),
            binary => binary,
        });
        loud.forward(sender).await
    });
    host.say(id, "one");
    host.say(id, "two");
    assert_eq!(host.texts(id), ["ONE", "TWO"]);
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open");
    });
    assert_eq!(slot.take(), Some(Ok(())));
}

#[test]
fn a_stream_ends_once() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let (_sender, mut receiver) = ws.split();
        let first = receiver.next().await;
        (first, receiver.next().await, receiver.next().await)
    });
    host.say(id, "only");
    let now = host.time();
    host.connections[id].session.lost(now);
    let (first, second, third) = slot.take().expect("ended");
    assert_eq!(first, Some(Ok("only".into())));
    let end = Error::Closed(Closed::EndOfStream);
    assert_eq!((second, third), (Some(Err(end)), None));
}

/// Between pieces there is no message yet, and after the last one there is.
#[test]
fn a_stream_assembles_messages_from_pieces() {
    let mut host = Host::default();
    let limits = Limits {
        max_message_size: 10,
        max_streamed_size: Some(100),
        ..Limits::default()
    };
    let received = Rc::new(RefCell::new(vec![]));
    let seen = Rc::clone(&received);
    let id = host.open_with(limits, |ws| async move {
        let (_sender, mut receiver) = ws.split();
        while let Some(message) = receiver.next().await {
            seen.borrow_mut().push(message);
        }
    });
    host.client_in_pieces(id, 3, |client| {
        client.send_text("0123456789").expect("open");
        client.send_text("0123456789a").expect("open");
        client.send_text("b").expect("open");
    });
    let expected = [
        Ok("0123456789".into()),
        Err(Error::MessageTooBig),
        Ok("b".into()),
    ];
    assert_eq!(*received.borrow(), expected);
}

#[test]
fn a_flushed_sink_has_sent_everything() {
    let mut host = Host::default();
    let flushed = Rc::new(RefCell::new(0));
    let count = Rc::clone(&flushed);
    let id = host.open(|ws| async move {
        let (mut sender, mut receiver) = ws.split();
        receiver.receive::<Message>().await.expect("open");
        for _ in 0..3 {
            SinkExt::send(&mut sender, "x".into()).await.expect("open");
            *count.borrow_mut() += 1;
        }
        receiver.receive::<Message>().await.expect("open");
        SinkExt::<Message>::close(&mut sender).await.expect("open");
        assert!(SinkExt::send(&mut sender, "late".into()).await.is_err());
    });
    host.connections[id].takes_output = false;
    host.say(id, "go");
    assert_eq!(*flushed.borrow(), 0);
    host.unblock(id);
    assert_eq!(*flushed.borrow(), 3);
    host.received(id);
    host.say(id, "close");
    assert!(matches!(host.close_frame(id), (1000, _)));
}

#[test]
fn bytes_travel_in_binary_messages() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut stream = ws.into_byte_stream();
        let mut start = [0; 5];
        stream.read_exact(&mut start).await.expect("more");
        stream.write_all(b"one").await.expect("open");
        stream.write_all(b"two").await.expect("open");
        stream.flush().await.expect("open");
        let mut rest = vec![];
        let end = stream.read_to_end(&mut rest).await;
        (start, rest, end.map_err(|error| error.kind()))
    });
    host.client_in_pieces(id, 2, |client| {
        client.send_binary(b"abc").expect("open");
        client.send_binary(b"").expect("open");
        client.send_binary(b"defg").expect("open");
    });
    let sent = [&b"one"[..], b"two"].map(|bytes| Event::Message(bytes.into()));
    assert_eq!(host.received(id), sent);
    host.client(id, |client| {
        client.start_message(MessageType::Binary).expect("open");
        client.send_fragment(b"hi").expect("open");
        client.end_message().expect("open");
        client.close(CloseCode::GOING_AWAY, "").expect("open");
    });
    let expected = (*b"abcde", b"fghi".to_vec(), Ok(4));
    assert_eq!(slot.take(), Some(expected));
}

/// The error of reading to the end, on a connection to which this happens.
fn failure(act: impl FnOnce(&mut Host, usize)) -> ErrorKind {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut stream = ws.into_byte_stream();
        stream.read_to_end(&mut vec![]).await
    });
    act(&mut host, id);
    let end = slot.take().expect("ended");
    end.expect_err("no end of the stream").kind()
}

#[test]
fn an_abnormal_close_is_a_read_error() {
    let lost = failure(|host, id| {
        let now = host.time();
        host.connections[id].session.lost(now);
    });
    assert_eq!(lost, ErrorKind::UnexpectedEof);
    let closed = failure(|host, id| {
        host.client(id, |client| {
            client.close(CloseCode::INTERNAL_ERROR, "").expect("open");
        });
    });
    assert_eq!(closed, ErrorKind::ConnectionAborted);
    let cut_off = failure(|host, id| {
        host.client(id, |client| {
            client.start_message(MessageType::Binary).expect("open");
            client.send_fragment(b"half").expect("open");
            client.close(CloseCode::NORMAL, "").expect("open");
        });
    });
    assert_eq!(cut_off, ErrorKind::ConnectionAborted);
}

/// x/net's `io.Copy(ws, ws)`, with clients that send text, as in its own example, or bytes.
#[test]
fn bytes_are_copied_back_however_they_were_split() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let (reader, mut writer) = ws.into_byte_stream().split();
        futures_util::io::copy(reader, &mut writer).await
    });
    host.say(id, "hello, world!\n");
    host.client(id, |client| client.send_binary(b"\xff").expect("open"));
    let copies = [&b"hello, world!\n"[..], b"\xff"];
    let copies = copies.map(|bytes| Event::Message(bytes.into()));
    assert_eq!(host.received(id), copies);
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open");
    });
    let copied = slot.take().expect("ended").expect("a good end");
    assert_eq!(copied, 15);
}

#[test]
fn text_is_cut_between_characters() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut stream = ws.into_byte_stream().message_type(MessageType::Text);
        for piece in [&b"caf\xc3"[..], b"\xa9 \xf0\x9f", b"\x98", b"\x80"] {
            stream.write_all(piece).await.expect("the start of text");
        }
        let bad = stream.write_all(b"a\xff").await;
        stream.write_all(b"b\xc3").await.expect("open");
        let inside = stream.write_all(b"c").await;
        let end = stream.close().await;
        [bad, inside, end].map(|result| result.map_err(|error| error.kind()))
    });
    let events = host.received(id);
    let texts = ["caf", "é ", "😀", "b"].map(|text| Event::Message(text.into()));
    assert_eq!(events[..4], texts);
    assert_eq!(events.len(), 5, "{events:?}");
    host.client(id, |_| {});
    let expected = [Err(ErrorKind::InvalidData); 3];
    assert_eq!(slot.take(), Some(expected));
}

/// gorilla's `JoinMessages`.
#[test]
fn messages_end_with_the_terminator() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut joined = vec![];
        let mut stream = ws.into_byte_stream().terminator("\r\n");
        stream.read_to_end(&mut joined).await.expect("a good end");
        joined
    });
    host.client_in_pieces(id, 3, |client| {
        client.send_text("one").expect("open");
        client.send_text("").expect("open");
        client.send_binary(b"two").expect("open");
    });
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open");
    });
    assert_eq!(slot.take().as_deref(), Some(&b"one\r\n\r\ntwo\r\n"[..]));
}

#[test]
fn closing_the_byte_stream_closes_the_connection() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut stream = ws.into_byte_stream();
        stream.close().await.expect("open");
        stream
            .write_all(b"late")
            .await
            .map_err(|error| error.kind())
    });
    assert_eq!(host.close_frame(id), (1000, String::new()));
    host.client(id, |_| {});
    assert_eq!(slot.take(), Some(Err(ErrorKind::ConnectionAborted)));
}

#[test]
fn answers_are_sent_when_they_are_ready() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let (sender, messages) = ws.split();
        let answer = |message: Message| async {
            let length = message.as_bytes().len() as u64;
            sender.sleep(Duration::from_secs(length)).await;
            sender.send(message).await
        };
        messages.try_for_each_concurrent(2, answer).await
    });
    for text in ["333", "1", "1: waits for one of the two"] {
        host.say(id, text);
    }
    host.pass_by_seconds(2);
    assert_eq!(host.texts(id), ["1"]);
    host.pass_by_seconds(1);
    assert_eq!(host.texts(id), ["333"]);
    host.say(id, "");
    assert_eq!(host.texts(id), [""]);
    // The function waits for the end of the messages, then for the last answers.
    assert!(slot.borrow().is_none());
    host.pass_by_seconds(28);
    assert_eq!(host.texts(id)[0], "1: waits for one of the two");
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open");
    });
    assert_eq!(slot.take(), Some(Ok(())));
}

#[test]
fn the_first_of_two_loops_to_end_ends_both() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let listening = pin!(async {
            while ws.receive::<Message>().await?.is_some() {}
            Ok::<_, Error>(())
        });
        let ticking = pin!(async {
            let mut ticks = ws.interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                ws.send("tick").await?;
            }
        });
        select(listening, ticking).await.factor_first().0
    });
    host.pass_by_seconds(1);
    host.say(id, "still here");
    host.pass_by_seconds(1);
    assert_eq!(host.texts(id), ["tick", "tick"]);
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open");
    });
    assert_eq!(slot.take(), Some(Ok(())));
}
