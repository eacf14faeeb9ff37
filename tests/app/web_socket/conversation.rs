//! Receiving and sending messages, on one connection and on others.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::echo;
use crate::host::{Host, outcome};
use wasocket::{
    CloseCode, Closed, CodecError, Disposition, Error, Event, Prepared, Sender, TrySendError,
    WebSocket,
};

#[test]
fn a_function_answers_messages_in_order() {
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
fn an_app_sees_its_request_and_what_was_negotiated() {
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
fn the_functions_result_is_the_close_code() {
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
fn a_message_is_answered_before_a_violation_that_follows_it() {
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
fn a_sender_reaches_other_connections() {
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
fn input_pauses_while_the_app_does_not_receive() {
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
    // The peer is not heard while input is paused, but must not be disconnected for that.
    host.pass(Duration::from_secs(50));
    assert_eq!(host.connections[id].effects.next, Disposition::Pause);
    host.pass(Duration::from_secs(10));
    assert_eq!(host.connections[id].effects.next, Disposition::Open);
    assert_eq!(host.texts(id).len(), 20);
}

#[test]
fn a_message_of_the_wrong_type_does_not_spoil_the_next_one() {
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

/// The decoder's message is for the app: it may name things the peer must not know.
#[cfg(feature = "json")]
#[test]
fn decoding_errors_are_not_sent_to_the_peer() {
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
fn a_prepared_message_reaches_every_connection() {
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
