//! Limits on sizes, rates, idle time and lifetime.

use std::time::Duration;

use super::echo;
use crate::host::Host;
use wasocket::{
    CloseCode, CloseReason, Closed, Connection, Disposition, Error, Event, Instant, Limits,
    MaskingKeys, MessageType, ProtocolError, WebSocket,
};

#[test]
fn the_app_may_raise_and_lower_the_message_limit() {
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

/// A message is held to the limit it started with, in fragments, too.
#[test]
fn a_new_limit_applies_to_the_next_message() {
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

#[test]
fn idle_and_old_connections_are_closed() {
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
    // The app's messages end when the client has answered.
    host.client(old, |_| {});
    assert_eq!(host.connections[old].effects.next, Disposition::Close);
}

#[test]
fn exceeding_the_message_rate_closes_the_connection() {
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

    // One message too many: those before it are answered.
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

/// Messages that wait for the app are not a flood.
#[test]
fn the_message_rate_allows_for_time_the_app_was_busy() {
    let mut host = Host::default();
    let limits = Limits {
        max_messages_per_second: Some(20),
        ..Limits::default()
    };
    let id = host.open_with(limits, |ws| async move {
        ws.sleep(Duration::from_secs(10)).await;
        echo(ws).await
    });
    // Fills the session's buffer; the rest is received once the app reads again.
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

/// While messages wait for the app, the peer is not idle.
#[test]
fn a_connection_with_a_busy_app_is_not_idle() {
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
