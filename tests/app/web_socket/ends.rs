//! The ends of connections, and what the app learns of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::host::{Host, outcome};
use wasocket::{
    CloseCode, CloseReason, Closed, Disposition, Error, Event, Message, ProtocolError, Sender,
    ShutdownReason, UsageError, WebSocket,
};
use wasocket_host_core::turn::Call;

#[test]
fn the_peers_close_ends_the_messages() {
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
fn a_lost_connection_is_an_error() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move { ws.receive::<Message>().await });
    let now = host.time();
    host.connections[id].session.lost(now);
    let end = slot.take().expect("ended");
    assert_eq!(end, Err(Error::Closed(Closed::EndOfStream)));
}

#[test]
fn every_end_has_a_close_code() {
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
fn closing_waits_for_the_peers_close() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.close(CloseCode::new(4001).expect("private"), "enough")
            .await
    });
    assert!(slot.borrow().is_none());
    // The client's Close is seen although messages were sent before it.
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
fn abort_sends_nothing() {
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

/// While its client reads nothing, and while it is closing.
#[test]
fn another_connection_aborts_a_slow_one() {
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
fn a_stopping_host_ends_the_messages() {
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
fn on_close_chooses_the_answer_to_a_close() {
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
        // `closed` is the peer's reason, not the app's answer.
        let (end, closed) = slot.take().expect("ended");
        assert_eq!(
            (end, closed.map(|closed| closed.code())),
            (Ok(None), Some(1001))
        );
    }
}

#[test]
fn on_close_is_not_asked_about_an_invalid_close() {
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
    // Nor about a Close that answers the app's own.
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.on_close(|_| panic!("asked"));
        ws.close(CloseCode::NORMAL, "")
            .await
            .map(|closed| closed.code())
    });
    host.client(id, |_| {});
    assert_eq!(slot.take(), Some(Ok(1000)));
}

async fn tick(ws: WebSocket) -> Result<(), Error> {
    loop {
        ws.send("tick").await?;
        ws.sleep(Duration::from_secs(60)).await;
    }
}

async fn echo(ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.receive::<Message>().await? {
        ws.send(message).await?;
    }
    Ok(())
}

/// Has the client send these messages, and a Close frame right after them.
fn send_and_close(host: &mut Host, id: usize, messages: &[&[u8]]) {
    host.client(id, |client| {
        for message in messages {
            client.send_binary(message).expect("open");
        }
        client.close(CloseCode::NORMAL, "").expect("open");
    });
}

/// The lengths of the messages received, and the code of the Close frame after them, if there is one.
fn lengths(events: &[Event]) -> (Vec<usize>, Option<u16>) {
    let mut lengths = vec![];
    for event in events {
        match event {
            Event::Message(message) => lengths.push(message.as_bytes().len()),
            Event::Closed(closed) => return (lengths, Some(closed.code())),
            event => panic!("{event:?}"),
        }
    }
    (lengths, None)
}

#[test]
fn messages_ahead_of_a_close_are_answered_first() {
    let long = [0; 70_000];
    let messages = [&b"x"[..], &long, b"x", &long, &long, b"x"];
    let all = messages.map(<[u8]>::len).to_vec();
    let mut host = Host::default();
    let id = host.open(echo);
    send_and_close(&mut host, id, &messages);
    assert_eq!(lengths(&host.received(id)), (all.clone(), Some(1000)));

    // The same for a client that is slow to take them: the time for the last answers has not begun.
    let id = host.open(echo);
    host.connections[id].takes_output = false;
    send_and_close(&mut host, id, &messages);
    host.pass(Duration::from_secs(60));
    let mut taken = vec![];
    while host.connections[id].turn.is_open() {
        taken.push(std::mem::take(&mut host.connections[id].stuck));
        assert_eq!(host.connections[id].turn.on_sent(0), Some(Call::Wake));
        host.wake(id);
        host.pass(Duration::from_secs(60));
    }
    taken.push(host.connections[id].stuck);
    assert!(taken.len() > 2, "{taken:?}");
    assert!(taken.iter().sum::<usize>() > all.iter().sum(), "{taken:?}");
}

#[test]
fn a_close_waits_for_an_answer_that_takes_time() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        while let Some(message) = ws.receive::<Message>().await? {
            ws.sleep(Duration::from_secs(1)).await;
            ws.send(message).await?;
        }
        Ok::<(), Error>(())
    });
    send_and_close(&mut host, id, &[b"x", b"xx"]);
    host.pass(Duration::from_secs(1));
    assert_eq!(lengths(&host.received(id)), (vec![1], None));
    host.pass(Duration::from_secs(1));
    assert_eq!(lengths(&host.received(id)), (vec![2], Some(1000)));
}

#[test]
fn a_close_does_not_wait_for_an_app_without_an_answer() {
    // An app that only sends, and one that takes a message and never answers it.
    let mut host = Host::default();
    let id = host.open(tick);
    host.received(id);
    send_and_close(&mut host, id, &[]);
    assert_eq!(lengths(&host.received(id)), (vec![], Some(1000)));

    let id = host.open(|ws| async move {
        ws.receive::<Message>().await?;
        ws.sleep(Duration::from_secs(60)).await;
        ws.send("late").await
    });
    send_and_close(&mut host, id, &[b"x"]);
    host.pass(Duration::from_secs(4));
    assert_eq!(lengths(&host.received(id)), (vec![], None));
    host.pass(Duration::from_secs(1));
    assert_eq!(lengths(&host.received(id)), (vec![], Some(1000)));
}
