//! The operator's limits on messages, which hold for apps of every form, whatever limits the app sets itself.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod host;

use std::time::Duration;

use host::{Host, answer};
use wasocket::events::{Context, EventHandler, events};
use wasocket::{
    Answer, CloseCode, Connection, Disposition, Error, Handler, Limits, Message, MessageLimits,
    MessageType, RawError, RawStream, Request, Upgrade, UsageError, WebSocket,
};

struct Echo;

impl Handler for Echo {
    fn message(&mut self, connection: &mut Connection, message: Message) -> Result<(), UsageError> {
        connection.send(message)
    }
}

impl EventHandler for Echo {
    type State = ();

    fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
        cx.send(message);
    }
}

async fn echo(ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.receive::<Message>().await? {
        ws.send(message).await?;
    }
    Ok(())
}

/// Reads messages of any length while they arrive.
async fn count(ws: WebSocket) -> Result<(), Error> {
    while let Some(mut message) = ws.next_message().await? {
        let mut size = 0;
        while let Some(piece) = message.chunk().await? {
            size += piece.len();
        }
        ws.send(size.to_string()).await?;
    }
    Ok(())
}

const FORMS: [fn(&Request) -> Answer; 4] = [
    |request| Upgrade::new().accept(request, Echo),
    |request| Upgrade::new().converse(request, echo),
    |request| {
        let limits = Limits {
            max_streamed_size: Some(1 << 30),
            ..Limits::default()
        };
        Upgrade::new().limits(limits).converse(request, count)
    },
    |request| answer(&events(Echo), request.clone()),
];

fn size(bytes: u64) -> MessageLimits {
    MessageLimits {
        max_message_size: Some(bytes),
        ..MessageLimits::default()
    }
}

fn rate(messages: u32) -> MessageLimits {
    MessageLimits {
        max_messages_per_second: Some(messages),
        ..MessageLimits::default()
    }
}

/// A connection of an app of this form, with these limits.
fn open(form: fn(&Request) -> Answer, limits: MessageLimits) -> Host {
    let mut host = Host::default();
    host.open_answer(form);
    host.connections[0].session.set_limits(limits);
    host
}

fn is_open(host: &Host) -> bool {
    host.connections[0].effects.next == Disposition::Open
}

#[test]
fn a_message_over_the_operators_limit_ends_the_connection() {
    for form in FORMS {
        let mut host = open(form, size(10));
        host.say(0, "0123456789");
        assert_eq!(host.received(0).len(), 1);
        host.say(0, "0123456789a");
        assert_eq!(host.close_frame(0).0, 1009);
    }
}

#[test]
fn a_message_rate_over_the_operators_limit_ends_the_connection() {
    for form in FORMS {
        let mut host = open(form, rate(3));
        for _ in 0..3 {
            host.say(0, "a");
        }
        assert_eq!(host.received(0).len(), 3);
        host.pass(Duration::from_secs(1));
        host.say(0, "b");
        assert!(is_open(&host));
        for _ in 0..3 {
            host.say(0, "c");
        }
        assert_eq!(host.close_frame(0).0, 1008);
    }
}

#[test]
fn the_apps_lower_limit_is_kept() {
    let limited: fn(&Request) -> Answer = |request| {
        let limits = Limits {
            max_messages_per_second: Some(2),
            ..Limits::for_messages(5)
        };
        Upgrade::new().limits(limits).accept(request, Echo)
    };
    for (says, code) in [(["123456", "", ""], 1009), (["a", "b", "c"], 1008)] {
        let mut host = open(limited, size(10));
        host.connections[0].session.set_limits(rate(100));
        for text in says {
            if is_open(&host) {
                host.say(0, text);
            }
        }
        assert_eq!(host.close_frame(0).0, code);
    }
}

#[test]
fn a_later_call_never_raises_a_limit() {
    for form in FORMS {
        let mut host = open(form, size(10));
        host.connections[0].session.set_limits(size(1000));
        host.connections[0]
            .session
            .set_limits(MessageLimits::default());
        host.say(0, "0123456789a");
        assert_eq!(host.close_frame(0).0, 1009);
    }
}

#[test]
fn the_app_cannot_raise_its_limit_over_the_operators() {
    let mut connection = Connection::server(Limits::default());
    connection.set_limits(size(100));
    connection.set_max_message_size(50);
    assert_eq!(connection.limits().max_message_size, 50);
    connection.set_max_message_size(1 << 20);
    assert_eq!(connection.limits().max_message_size, 100);
    assert_eq!(connection.limits().max_frame_size, 100);
}

#[test]
fn a_message_in_progress_keeps_its_limit() {
    let mut host = open(FORMS[0], MessageLimits::default());
    let frame = |connection: &mut Connection| {
        let begun = connection.start_message(MessageType::Text);
        begun.expect("open");
        connection.send_fragment(b"0123456789").expect("begun");
    };
    host.client(0, frame);
    host.connections[0].session.set_limits(size(10));
    host.client(0, |client| {
        client.send_fragment(b"0123456789").expect("begun");
        client.end_message().expect("begun");
    });
    assert_eq!(host.texts(0), ["01234567890123456789"]);
    host.say(0, "0123456789a");
    assert_eq!(host.close_frame(0).0, CloseCode::MESSAGE_TOO_BIG.as_u16());
}

#[test]
fn message_limits_do_not_apply_to_raw_sockets() {
    async fn repeat(stream: RawStream) -> Result<(), RawError> {
        while let Some(line) = stream.read_line(1000).await? {
            stream.write(line).await?;
        }
        Ok(())
    }
    let mut host = open(|request| Answer::converse_raw(request, repeat), size(1));
    host.connections[0].session.set_limits(rate(1));
    for _ in 0..10 {
        let now = host.time();
        let session = &mut host.connections[0].session;
        let effects = session.receive(now, b"a line\n".to_vec());
        assert!(!effects.output.is_empty());
        assert_eq!(effects.next, Disposition::Open);
    }
}
