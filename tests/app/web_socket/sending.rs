//! Sending to peers that read slowly, and messages written in parts.

use std::cell::RefCell;
use std::rc::Rc;

use crate::host::{Host, outcome};
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate};
use wasocket::{
    Connection, Error, Event, Limits, MaskingKeys, Message, MessageType, Prepared, Sender,
    TrySendError, Uncompressed, Upgrade, UsageError,
};

#[test]
fn a_slow_reader_holds_up_sends() {
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
    // 64 KiB, and the message that exceeded them.
    assert_eq!(*sent.borrow(), 66);
    host.unblock(id);
    assert_eq!(*sent.borrow(), 1000);
}

#[test]
fn try_send_returns_the_message_if_the_buffer_is_full() {
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
fn buffered_amount_counts_unsent_bytes() {
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
    // Control frames do not wait, but are counted.
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

/// The last byte counts as unsent until the peer has acknowledged it, for which neither `send` nor `flush` waits.
#[test]
fn what_the_system_has_taken_leaves_room() {
    let mut host = Host::default();
    let limits = Limits {
        max_buffered_amount: 0,
        ..Limits::default()
    };
    let flushed = Rc::new(RefCell::new(0));
    let count = Rc::clone(&flushed);
    let id = host.open_with(limits, |ws| async move {
        ws.receive::<Message>().await?;
        for _ in 0..3 {
            ws.send(&[0; 1000][..]).await?;
            ws.flush().await?;
            *count.borrow_mut() += 1;
        }
        ws.receive::<Message>().await.map(drop)
    });
    host.connections[id].stuck = 1;
    host.say(id, "go");
    assert_eq!(*flushed.borrow(), 3);
    // Its pong cannot be here yet.
    host.pass(std::time::Duration::from_secs(20));
    host.pass(std::time::Duration::from_secs(60));
    assert!(host.connections[id].turn.is_open());
    // Its time begins when the ping is acknowledged.
    host.connections[id].stuck = 0;
    host.pass(std::time::Duration::from_secs(60));
    assert!(host.connections[id].turn.is_open());
    host.pass(std::time::Duration::from_secs(60));
    assert!(!host.connections[id].turn.is_open());
}

/// No further input is needed on a connection for others to find that it has room again.
#[test]
fn sends_continue_as_soon_as_an_oversized_message_is_taken() {
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

/// Looks at the first byte of each frame, with compression negotiated.
#[test]
fn messages_marked_uncompressed_are_not_compressed() {
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

#[test]
fn message_writer_sends_a_message_while_it_is_written() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        let mut writer = ws.message_writer(MessageType::Text).await?;
        while let Some(text) = ws.receive::<String>().await? {
            if text == "end" {
                break;
            }
            // No other message can be sent in between.
            let busy = ws.try_send("other");
            assert_eq!(busy, Err(TrySendError::Busy("other".into())));
            writer.write(&text).await?;
        }
        writer.finish()?;
        ws.send("after").await
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
    assert_eq!(events[1], Event::Message("after".into()));
}

#[test]
fn other_senders_wait_until_a_written_message_ends() {
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
fn a_writer_waits_for_buffer_space() {
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
fn an_unfinished_message_ends_the_connection() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        let mut writer = ws.message_writer(MessageType::Binary).await?;
        writer.write(b"half").await?;
        drop(writer);
        ws.send("late").await
    });
    assert_eq!(host.close_frame(id).0, 1011);
    assert!(host.received(id).is_empty());

    // Also without a byte, and where text ends inside a character.
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
