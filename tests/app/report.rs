//! The report to the host at the end of a connection: counts, who ended it, and what the app did wrong.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod host;

use std::future::pending;
use std::time::Duration;

use host::Host;
use wasocket::events::{Accept, Action, Event, EventApp, MAX_ACTIONS, events};
use wasocket::{
    Answer, CloseCode, CodecError, Connection, Disposition, Error, Initiator, Limits, Message,
    MessageType, Outcome, Prepared, RawError, RawStream, Report, Request, ShutdownReason, Upgrade,
    WebSocket,
};

async fn echo(ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.receive::<Message>().await? {
        ws.send(message).await?;
    }
    Ok(())
}

fn report(host: &Host, id: usize) -> Report {
    host.connections[id].session.report()
}

/// This side ended it, with this code and reason.
#[track_caller]
fn assert_closing(host: &Host, id: usize, initiator: Initiator, code: u16, reason: &str) {
    let closing = report(host, id).closing.expect("an end");
    assert_eq!(
        (closing.initiator, closing.code, &*closing.reason),
        (initiator, code, reason)
    );
}

fn fault<O: Outcome + 'static>(make: impl Fn() -> O + 'static) -> Option<String> {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        let _ = ws.receive::<Message>().await;
        make()
    });
    host.say(id, "end");
    report(&host, id).fault
}

#[test]
fn only_whole_messages_are_counted() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        ws.send("1").await?;
        ws.send_prepared(&Prepared::new("2")).await?;
        let mut writer = ws.message_writer(MessageType::Binary).await?;
        writer.write(b"in").await?;
        writer.write(b"pieces").await?;
        writer.finish()?;
        ws.send_ping(b"")?;
        // Reads from the second message on, which comes in fragments.
        while let Some(mut message) = ws.next_message().await? {
            while message.chunk().await?.is_some() {}
        }
        Ok::<(), Error>(())
    });
    assert_eq!(report(&host, id).closing, None);
    host.say(id, "1");
    let fragments: [&[u8]; 3] = [
        b"\x01\x81\0\0\0\0a",
        b"\x89\x80\0\0\0\0\x00\x81\0\0\0\0b",
        b"\x80\x80\0\0\0\0",
    ];
    for (i, fragment) in fragments.into_iter().enumerate() {
        let now = host.time();
        let peer = &mut host.connections[id];
        let effects = peer.session.receive(now, fragment.to_vec());
        peer.take(now, effects);
        let received = report(&host, id).messages_received;
        assert_eq!(received, if i == 2 { 2 } else { 1 });
    }
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open")
    });
    let report = report(&host, id);
    assert_eq!((report.messages_received, report.messages_sent), (2, 3));
    assert_eq!(report.fault, None);
}

#[test]
fn reports_an_end_by_the_peer() {
    for (code, reason) in [(1000, ""), (4001, "bye\x1b[31m")] {
        let mut host = Host::default();
        let id = host.open(|ws| async move {
            // Answering the peer's Close does not make the app the one that ended it.
            ws.on_close(|_| {
                let code = CloseCode::GOING_AWAY;
                let reason = "mine".into();
                Some(wasocket::CloseReason { code, reason })
            });
            echo(ws).await
        });
        host.client(id, |client| {
            let code = CloseCode::new(code).expect("a code");
            client.close(code, reason).expect("open");
        });
        assert_closing(&host, id, Initiator::Peer, code, reason);
    }
    let mut host = Host::default();
    let ids = [host.open(echo), host.open(echo), host.open(echo)];
    let now = host.time();
    let empty_close = b"\x88\x80\0\0\0\0".to_vec();
    let _ = host.connections[0].session.receive(now, empty_close);
    let _ = host.connections[1].session.receive_eof(now);
    host.connections[2].session.lost(now);
    assert_closing(&host, ids[0], Initiator::Peer, 1005, "");
    let gone = "the peer has gone without a Close frame";
    assert_closing(&host, ids[1], Initiator::Peer, 1006, gone);
    assert_closing(&host, ids[2], Initiator::Peer, 1006, gone);
}

#[test]
fn reports_an_end_by_the_app() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        let _ = ws.receive::<Message>().await;
        ws.close(CloseCode::NORMAL, "enough").await.map(drop)
    });
    host.say(id, "end");
    // The peer's answer comes later and changes nothing.
    host.client(id, |_| {});
    assert_eq!(host.connections[id].effects.next, Disposition::Close);
    assert_closing(&host, id, Initiator::App, 1000, "enough");
    assert_eq!(report(&host, id).fault, None);

    let id = host.open(|ws| async move { ws.abort() });
    assert_closing(&host, id, Initiator::App, 1006, "given up by the app");
    let id = host.open(|_| async {});
    assert_closing(&host, id, Initiator::App, 1000, "");
}

#[test]
fn reports_an_end_by_a_rule_or_a_limit() {
    let mut host = Host::default();
    let id = host.open(echo);
    let now = host.time();
    let peer = &mut host.connections[id];
    let unmasked = peer.session.receive(now, b"\x81\0".to_vec());
    assert_eq!(unmasked.next, Disposition::Close);
    let reason = "frame without a masking key";
    assert_closing(&host, id, Initiator::Protocol, 1002, reason);

    let idle = Limits {
        idle_timeout: Some(Duration::from_secs(5)),
        ..Limits::default()
    };
    let id = host.open_with(idle, echo);
    host.pass_by_seconds(5);
    assert_closing(
        &host,
        id,
        Initiator::Protocol,
        1001,
        "no message for too long",
    );

    let id = host.open(echo);
    host.pass(Duration::from_secs(60));
    host.pass(Duration::from_secs(60));
    let reason = "the peer did not answer in time";
    assert_closing(&host, id, Initiator::Protocol, 1006, reason);
}

#[test]
fn reports_an_end_by_the_host() {
    for (reason, code) in [
        (ShutdownReason::GoingAway, 1001),
        (ShutdownReason::ServiceRestart, 1012),
    ] {
        let mut host = Host::default();
        let function = host.open(echo);
        let handler = host.open_answer(|request| {
            let echo = |ws: &mut Connection, message: Message| ws.send(message);
            Upgrade::new().accept(request, echo)
        });
        let event = host.open_answer(|request| answer(request, vec![]));
        for id in [function, handler, event] {
            let now = host.time();
            let peer = &mut host.connections[id];
            let effects = peer.session.shutdown(now, reason);
            peer.take(now, effects);
            assert_closing(&host, id, Initiator::Host, code, "");
        }
    }
}

#[test]
fn a_failed_function_is_a_fault() {
    let failed = || Err::<(), Box<dyn std::error::Error>>("no such room".into());
    assert_eq!(fault(failed).as_deref(), Some("no such room"));
    let long = || Err::<(), Box<dyn std::error::Error>>("ä".repeat(4000).into());
    assert_eq!(fault(long), Some("ä".repeat(2048)));
    // A message of the wrong type is the peer's fault.
    let codec = || Err::<(), _>(Error::from(CodecError::ExpectedText));
    assert_eq!(fault(codec), None);
    assert_eq!(fault(|| ()), None);
}

#[test]
fn an_error_caused_by_the_end_is_not_a_fault() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        let _ = ws.receive::<Message>().await;
        let mut sent = Ok(());
        while sent.is_ok() {
            sent = ws.send("more").await;
            ws.sleep(Duration::from_secs(1)).await;
        }
        sent
    });
    host.say(id, "go");
    host.client(id, |client| {
        client.close(CloseCode::NORMAL, "").expect("open")
    });
    assert_eq!(report(&host, id).fault, None);
    let id = host.open(|ws| async move { ws.receive::<Message>().await.map(drop) });
    let now = host.time();
    host.connections[id].session.lost(now);
    assert_eq!(report(&host, id).fault, None);
}

#[test]
fn an_unfinished_message_is_a_fault() {
    let mut host = Host::default();
    let id = host.open(|ws| async move {
        drop(ws.message_writer(MessageType::Binary).await?);
        pending::<Result<(), Error>>().await
    });
    assert_closing(&host, id, Initiator::App, 1011, "");
    let fault = report(&host, id).fault.expect("a fault");
    assert_eq!(fault, "a message that was begun has been given up");
}

#[test]
fn a_handlers_mistake_is_a_fault() {
    let mut host = Host::default();
    let id = host.open_answer(|request| {
        Upgrade::new().accept(request, |ws: &mut Connection, _: Message| {
            ws.ping(&[0; 126])
        })
    });
    host.say(id, "go wrong");
    assert_closing(&host, id, Initiator::App, 1011, "");
    let fault = report(&host, id).fault.expect("a fault");
    assert_eq!(fault, "a ping or pong carries at most 125 bytes");
}

/// Accepts every WebSocket, and answers every message with these actions.
struct Answering(Vec<Action>);

impl EventApp for Answering {
    fn handle(&self, _: &str, _: &[u8], events: Vec<Event>) -> Vec<Action> {
        match &events[..] {
            [Event::Open(_)] => vec![Action::Accept(Accept::default())],
            [Event::Message(_)] => self.0.clone(),
            // A second fault: only the first is reported.
            _ => vec![Action::Accept(Accept::default())],
        }
    }
}

fn answer(request: &Request, actions: Vec<Action>) -> Answer {
    host::answer(&events(Answering(actions)), request.clone())
}

#[test]
fn an_answer_that_breaks_a_rule_is_a_fault() {
    let mut host = Host::default();
    let flood = vec![Action::Send("".into()); MAX_ACTIONS + 1];
    let id = host.open_answer(|request| answer(request, flood));
    host.say(id, "go wrong");
    assert_eq!(host.close_frame(id), (1011, String::new()));
    host.client(id, |_| {});
    let report = report(&host, id);
    let fault = report.fault.as_deref();
    assert_eq!(fault, Some("the answer has 1025 actions, 1024 at most"));
    assert_eq!((report.messages_received, report.messages_sent), (1, 0));
    assert_closing(&host, id, Initiator::App, 1011, "");
}

#[test]
fn a_raw_socket_has_an_empty_report() {
    let converse = |stream: RawStream| async move {
        stream.write("a").await?;
        Ok::<(), RawError>(())
    };
    let mut host = Host::default();
    let id = host.open_answer(|request| Answer::converse_raw(request, converse));
    assert_eq!(report(&host, id), Report::default());
}
