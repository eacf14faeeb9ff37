//! Messages read while they arrive.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::host::{Host, outcome};
use wasocket::{
    CloseCode, Closed, Connection, Disposition, Error, Limits, MaskingKeys, MessageType, UsageError,
};

#[test]
fn next_message_reads_a_message_while_it_arrives() {
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
    // Larger than the largest whole message.
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
fn a_message_the_app_does_not_read_pauses_input() {
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
    // The bytes that the app has read, and those buffered for it.
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

/// The rest of the first message that a client with these keys sends.
fn host_rest(message: &[u8], sent: usize) -> Vec<u8> {
    let keys = MaskingKeys::from_seed([7; 32]);
    let mut client = Connection::client(Limits::default(), keys);
    client.send_binary(message).expect("open");
    client.take_output().split_off(sent)
}

#[test]
fn buffered_pieces_are_limited_in_number() {
    let mut host = Host::default();
    let (id, _) = outcome(&mut host, |ws| async move {
        let reader = ws.next_message().await;
        ws.sleep(Duration::from_secs(10)).await;
        reader.is_ok()
    });
    let sent = host.client_in_pieces(id, 1, |client| {
        client.send_binary(&[0; 100]).expect("open");
    });
    // The header, the reader's own piece, and the buffered ones.
    assert_eq!(sent, 6 + 1 + 16);
}

#[test]
fn dropping_a_reader_skips_the_rest_of_its_message() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let first = ws.next_message().await?.expect("open");
        drop(first);
        let mut second = ws.next_message().await?.expect("open");
        let second_of = second.chunk().await?.expect("some");
        // Asking for the next message skips the rest of this one.
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
fn receive_takes_messages_that_arrive_in_pieces() {
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
fn a_message_cut_off_by_a_close_is_an_error() {
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
