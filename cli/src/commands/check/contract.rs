//! Checks of the contract in `wit/websocket-handler.wit`, as far as a host can observe it.

use wasocket_host_core::answer;
use wasocket_host_core::http1::{BadAnswer, check_response};
use wasocket_vectors::Frame;

use wasocket_host::bindings::initiator_name;
use wasocket_host::bindings::{
    Answer, Initiator, MessageLimits, Next, Request, ShutdownReason, Takeover,
};

use super::report::{Case, Failure, Group, Outcome, Progress};
use super::subject::{Subject, fields, request};
use super::trial::{Connection, SECOND, Trial, listed, shown};

/// A ping, and the visible part of the pong: every WebSocket answers it (RFC 6455 5.5.2).
pub(crate) const PING: &[u8] = b"\x89\x84\0\0\0\0ping";
const PONG: (&str, &[u8]) = ("pong", b"ping");

/// A Close frame with code 1000.
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

type Check = fn(&mut Trial<'_>) -> Result<(), Failure>;

/// Each check with its rule.
const CHECKS: [(&str, &str, Check); 20] = [
    (
        "the final bytes are a Close frame with code 1011",
        "websocket-handler.wit, takeover.final-bytes",
        final_bytes,
    ),
    (
        "answers to requests can be sent",
        "types.wit, response-head",
        plain_answers,
    ),
    (
        "a request with a body is not taken over",
        "websocket-handler.wit, handle",
        body,
    ),
    (
        "a takeover that is never opened does no harm",
        "websocket-handler.wit, connection",
        not_opened,
    ),
    (
        "bytes after the request head belong to the connection",
        "websocket-handler.wit, connection.open",
        residual,
    ),
    (
        "unnecessary wakes do no harm",
        "websocket-handler.wit, connection.wake",
        unneeded_wakes,
    ),
    (
        "a second wake at the same instant sends nothing twice",
        "websocket-handler.wit, connection.wake",
        second_wake,
    ),
    (
        "a silent peer is not given up while output is unsent",
        "websocket-handler.wit, connection.wake",
        unsent,
    ),
    (
        "going away sends a Close frame with code 1001",
        "websocket-handler.wit, shutdown-reason",
        going_away,
    ),
    (
        "a restart sends a Close frame with code 1012",
        "websocket-handler.wit, shutdown-reason",
        service_restart,
    ),
    (
        "nothing follows a Close frame",
        "RFC 6455 5.5.1",
        after_close,
    ),
    (
        "a socket may be lost at any moment",
        "websocket-handler.wit, connection.lost",
        lost,
    ),
    (
        "a report says who ended the connection, and how",
        "websocket-handler.wit, connection.report",
        report,
    ),
    (
        "a connection may be dropped at any moment",
        "websocket-handler.wit, connection",
        dropped,
    ),
    (
        "a peer may finish sending at any moment",
        "websocket-handler.wit, connection.receive-eof",
        end_of_stream,
    ),
    (
        "connections of an instance are kept apart",
        "websocket-handler.wit, connection",
        kept_apart,
    ),
    (
        "receive-many does to each connection what receive does",
        "websocket-handler.wit, receive-many",
        many_at_once,
    ),
    (
        "a limited connection accepts no more than its limits",
        "websocket-handler.wit, connection.set-limits",
        limited,
    ),
    (
        "an instance outlives its connections",
        "websocket-handler.wit, connection",
        many_in_turn,
    ),
    (
        "the origin of the clock does not matter",
        "types.wit, instant",
        clock,
    ),
];

/// Runs all checks.
pub(crate) fn cases(subject: &mut Subject, progress: &mut Progress) -> Vec<Case> {
    let mut cases = vec![Case {
        group: Group::Contract,
        name: "the exports fit the world, the imports are granted".to_owned(),
        rule: "world.wit, handler".to_owned(),
        // Otherwise it would not have been loaded.
        outcome: Outcome::Passed,
    }];
    for (i, (name, rule, check)) in CHECKS.into_iter().enumerate() {
        progress.show(Group::Contract, i, CHECKS.len());
        let mut trial = Trial::new(subject);
        cases.push(Case {
            group: Group::Contract,
            name: name.to_owned(),
            rule: rule.to_owned(),
            outcome: check(&mut trial).into(),
        });
    }
    cases
}

fn final_bytes(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let takeover = trial.take_over()?;
    trial.discard(takeover.connection)?;
    let final_bytes = &takeover.final_bytes;
    let is_close = |frames: &[Frame]| matches!(frames, [frame] if (frame.opcode, &frame.payload[..]) == ("close", &1011_u16.to_be_bytes()));
    let holds = Frame::read_all(final_bytes).is_ok_and(|frames| is_close(&frames));
    trial.expect(
        holds,
        "a Close frame with code 1011, as the final bytes",
        || shown(final_bytes),
    )
}

fn plain_answers(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let path = trial.subject.path().to_owned();
    for (method, target) in [
        ("GET", path.as_str()),
        ("HEAD", &path),
        ("POST", &path),
        ("GET", "/"),
        ("HEAD", "/"),
        ("OPTIONS", "*"),
        ("GET", "/no-such-path?q=%00"),
        ("BREW", "/no-such-path"),
    ] {
        trial.begin();
        let host = fields(&[("Host", "a.test")]);
        answer(trial, &request(method, target, host))?;
    }
    Ok(())
}

/// Sends a request to the component, and checks the answer as the runner does.
fn answer(trial: &mut Trial<'_>, request: &Request) -> Result<bool, Failure> {
    let (checked, is_takeover) = match trial.handle(request)? {
        Answer::Respond(response) => (
            check_response(response.head.status, &response.head.fields),
            false,
        ),
        Answer::Takeover(takeover) => (refuse(trial, &takeover, request)?, true),
    };
    let can_be_sent = |bad: BadAnswer| trial.failure("an answer that can be sent", bad.to_string());
    checked.map_err(can_be_sent)?;
    Ok(is_takeover)
}

fn refuse(
    trial: &mut Trial<'_>,
    takeover: &Takeover,
    request: &Request,
) -> Result<Result<(), BadAnswer>, Failure> {
    let head = takeover.response.as_ref();
    let head = head.map(|head| (head.status, &head.fields[..]));
    let checked = answer::takeover(head, &takeover.final_bytes, &request.fields);
    trial.discard(takeover.connection)?;
    Ok(checked.map(drop))
}

fn body(trial: &mut Trial<'_>) -> Result<(), Failure> {
    for field in [("Content-Length", "5"), ("Transfer-Encoding", "chunked")] {
        trial.begin();
        trial.tell(&format!("{}: {}", field.0, field.1));
        let request = trial.subject.handshake(&[field]);
        let is_takeover = answer(trial, &request)?;
        trial.expect(!is_takeover, "a response", || "a takeover".to_owned())?;
    }
    Ok(())
}

fn not_opened(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let takeover = trial.take_over()?;
    trial.discard(takeover.connection)?;
    works(trial)
}

/// Checks that the instance still works: a new connection answers a ping.
pub(crate) fn works(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut connection, _) = trial.open(b"")?;
    answers(trial, &mut connection)?;
    trial.close(connection)
}

/// Checks that a connection answers a ping.
pub(crate) fn answers(trial: &mut Trial<'_>, connection: &mut Connection) -> Result<(), Failure> {
    let output = trial.receive(connection, PING)?;
    has_pong(trial, &output)
}

fn has_pong(trial: &Trial<'_>, output: &[u8]) -> Result<(), Failure> {
    let frames = trial.frames(output)?;
    let is_pong = |frame: &Frame| (frame.opcode, &frame.payload[..]) == PONG;
    trial.expect(frames.iter().any(is_pong), "a pong 'ping'", || {
        listed(&frames)
    })
}

fn residual(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (connection, output) = trial.open(PING)?;
    has_pong(trial, &output)?;
    trial.close(connection)
}

fn unneeded_wakes(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut connection, _) = trial.open(b"")?;
    for unsent in [0, 0, 1, 1 << 30, 0] {
        trial.wake(&mut connection, unsent)?;
        stays_open(trial, &connection)?;
    }
    answers(trial, &mut connection)?;
    trial.close(connection)
}

fn stays_open(trial: &Trial<'_>, connection: &Connection) -> Result<(), Failure> {
    trial.expect(connection.is_open(), "a connection that stays open", || {
        format!("a `next` of {:?}", connection.next)
    })
}

fn second_wake(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut connection, _) = trial.open(b"")?;
    if let Some(at) = connection.wake_at() {
        trial.now = trial.now.max(at);
        trial.wake(&mut connection, 0)?;
        if connection.is_open() {
            let again = trial.wake(&mut connection, 0)?;
            trial.expect(again.is_empty(), "no output of the second wake", || {
                shown(&again)
            })?;
        }
    }
    trial.close(connection)
}

fn unsent(trial: &mut Trial<'_>) -> Result<(), Failure> {
    const WAKES: usize = 20;
    let (mut connection, _) = trial.open(b"")?;
    for _ in 0..WAKES {
        let Some(at) = connection.wake_at() else {
            break;
        };
        trial.now = trial.now.max(at);
        trial.tell(&format!("at {} s:", trial.now / SECOND));
        trial.wake(&mut connection, 1000)?;
        stays_open(trial, &connection)?;
    }
    trial.close(connection)
}

fn going_away(trial: &mut Trial<'_>) -> Result<(), Failure> {
    closes_with(trial, ShutdownReason::GoingAway, 1001)
}

fn service_restart(trial: &mut Trial<'_>) -> Result<(), Failure> {
    closes_with(trial, ShutdownReason::ServiceRestart, 1012)
}

fn closes_with(trial: &mut Trial<'_>, reason: ShutdownReason, code: u16) -> Result<(), Failure> {
    let (mut connection, _) = trial.open(b"")?;
    let output = trial.shutdown(&mut connection, reason)?;
    let frames = trial.frames(&output)?;
    let is_close =
        |frame: &Frame| (frame.opcode, &frame.payload[..]) == ("close", &code.to_be_bytes());
    let expected = format!("close {code}");
    trial.expect(frames.iter().any(is_close), &expected, || listed(&frames))?;
    if connection.is_open() {
        // RFC 6455 §7.1.1: both Close frames have been sent, and the server closes the socket first.
        trial.receive(&mut connection, CLOSE)?;
        trial.expect(
            connection.next == Next::Close,
            "the end, as the Close frame is answered",
            || format!("a `next` of {:?}", connection.next),
        )?;
    }
    trial.close(connection)
}

fn after_close(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut connection, _) = trial.open(b"")?;
    let output = trial.receive(&mut connection, &[CLOSE, PING].concat())?;
    let frames = trial.frames(&output)?;
    let closes = frames
        .iter()
        .filter(|frame| frame.opcode == "close")
        .count();
    let is_last = frames.last().is_some_and(|frame| frame.opcode == "close");
    trial.expect(
        closes == 1 && is_last,
        "one Close frame, as the last",
        || listed(&frames),
    )?;
    trial.expect(connection.next == Next::Close, "a `next` of Close", || {
        format!("a `next` of {:?}", connection.next)
    })?;
    trial.close(connection)
}

/// Brings a connection to a certain moment.
type Moment = fn(&mut Trial<'_>, &mut Connection) -> Result<Vec<u8>, Failure>;

const MOMENTS: [Moment; 8] = [
    |_, _| Ok(Vec::new()),
    |trial, connection| trial.receive(connection, PING),
    |trial, connection| trial.receive(connection, b"\x81\x85\0\0"),
    |trial, connection| trial.receive(connection, b"\x01\x82\0\0\0\0a"),
    |trial, connection| trial.receive(connection, b"\x01\x81\0\0\0\0a"),
    |trial, connection| trial.receive(connection, b"\x82\x81\0\0\0\0a"),
    |trial, connection| trial.wake(connection, 1),
    |trial, connection| trial.shutdown(connection, ShutdownReason::GoingAway),
];

/// Does something to a connection at every moment at which the contract allows it, and checks that the instance still
/// works.
fn at_any_moment(
    trial: &mut Trial<'_>,
    act: impl Fn(&mut Trial<'_>, Connection) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for moment in MOMENTS {
        trial.begin();
        let (mut connection, _) = trial.open(b"")?;
        moment(trial, &mut connection)?;
        if connection.is_open() {
            act(trial, connection)?
        } else {
            trial.close(connection)?
        }
        works(trial)?;
    }
    Ok(())
}

fn lost(trial: &mut Trial<'_>) -> Result<(), Failure> {
    at_any_moment(trial, |trial, connection| trial.lose(connection))
}

fn report(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut connection, _) = trial.open(b"")?;
    trial.receive(&mut connection, CLOSE)?;
    reports(trial, connection, Initiator::Peer, 1000)?;

    trial.begin();
    let (mut connection, _) = trial.open(b"")?;
    // A frame without a masking key (RFC 6455 §5.1).
    trial.receive(&mut connection, b"\x81\0")?;
    reports(trial, connection, Initiator::Protocol, 1002)?;

    trial.begin();
    let (connection, _) = trial.open(b"")?;
    trial.lost(&connection)?;
    reports(trial, connection, Initiator::Peer, 1006)?;

    trial.begin();
    let (mut connection, _) = trial.open(b"")?;
    trial.shutdown(&mut connection, ShutdownReason::GoingAway)?;
    if connection.is_open() {
        trial.receive(&mut connection, CLOSE)?;
    }
    reports(trial, connection, Initiator::Host, 1001)
}

fn reports(
    trial: &mut Trial<'_>,
    connection: Connection,
    initiator: Initiator,
    code: u16,
) -> Result<(), Failure> {
    let closing = trial.report(connection)?.closing;
    let told = closing.map(|closing| (closing.initiator, closing.code));
    let expected = format!(
        "an end by the {} with code {code}",
        initiator_name(initiator)
    );
    trial.expect(told == Some((initiator, code)), &expected, || match told {
        Some((initiator, code)) => {
            format!("one by the {} with code {code}", initiator_name(initiator))
        }
        None => "none".to_owned(),
    })
}

fn dropped(trial: &mut Trial<'_>) -> Result<(), Failure> {
    at_any_moment(trial, |trial, connection| trial.close(connection))
}

fn end_of_stream(trial: &mut Trial<'_>) -> Result<(), Failure> {
    at_any_moment(trial, |trial, mut connection| {
        if connection.next == Next::Open {
            trial.receive_eof(&mut connection)?;
        }
        if connection.is_open() {
            trial.lose(connection)
        } else {
            trial.close(connection)
        }
    })
}

fn kept_apart(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (head, tail) = PING.split_at(PING.len() / 2);
    let (mut one, _) = trial.open(b"")?;
    let (mut other, _) = trial.open(b"")?;
    trial.receive(&mut one, head)?;
    answers(trial, &mut other)?;
    trial.receive(&mut other, CLOSE)?;
    trial.close(other)?;
    let output = trial.receive(&mut one, tail)?;
    has_pong(trial, &output)?;
    trial.close(one)
}

fn many_at_once(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let ping = |name: u8| [0x89, 0x81, 0, 0, 0, 0, name];
    let (one, other) = (ping(b'1'), ping(b'2'));
    let (head, tail) = PING.split_at(PING.len() / 2);
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(trial.open(b"")?.0);
    }
    let outputs = trial.receive_many(&mut connections, &[&one, head, CLOSE, &other])?;
    for (output, name) in [(0, b"1"), (3, b"2")] {
        let frames = trial.frames(&outputs[output])?;
        let is_its_own = |frame: &Frame| (frame.opcode, &frame.payload[..]) == ("pong", name);
        let others = frames.iter().filter(|frame| frame.opcode == "pong").count();
        let has_its_own = others == 1 && frames.iter().any(is_its_own);
        trial.expect(has_its_own, "a pong on each, with its own payload", || {
            listed(&frames)
        })?;
    }
    let closed = connections.remove(2);
    trial.expect(
        !closed.is_open(),
        "the end of the connection that was closed",
        || format!("a `next` of {:?}", closed.next),
    )?;
    trial.close(closed)?;
    let outputs = trial.receive_many(&mut connections, &[PING, tail, PING])?;
    for (connection, output) in connections.into_iter().zip(outputs) {
        has_pong(trial, &output)?;
        stays_open(trial, &connection)?;
        trial.close(connection)?;
    }
    let none = trial.receive_many(&mut [], &[])?;
    trial.expect(
        none.is_empty(),
        "no outcome without a connection",
        String::new,
    )
}

fn limited(trial: &mut Trial<'_>) -> Result<(), Failure> {
    const RATE: u32 = 2;
    let limits = |max_message_size, max_messages_per_second| MessageLimits {
        max_message_size,
        max_messages_per_second,
    };
    // The header of a text of 11 bytes, which is enough to see that it is too long.
    let too_long = b"\x81\x8b".to_vec();
    let pings = PING.repeat(2 * RATE as usize + 1);
    for (limits, bytes, code) in [
        (limits(Some(10), None), too_long, 1009_u16),
        (limits(None, Some(RATE)), pings, 1008),
    ] {
        trial.begin();
        let (mut connection, _) = trial.open(b"")?;
        trial.set_limits(&connection, limits)?;
        let output = trial.receive(&mut connection, &bytes)?;
        let frames = trial.frames(&output)?;
        let is_refused = frames.last().is_some_and(|frame| {
            frame.opcode == "close" && frame.payload.starts_with(&code.to_be_bytes())
        });
        trial.expect(
            is_refused,
            &format!("a Close frame with code {code}"),
            || listed(&frames),
        )?;
        trial.close(connection)?;
        works(trial)?;
    }
    Ok(())
}

fn many_in_turn(trial: &mut Trial<'_>) -> Result<(), Failure> {
    const MANY: usize = 200;
    for _ in 0..MANY {
        trial.begin();
        works(trial)?;
    }
    Ok(())
}

fn clock(trial: &mut Trial<'_>) -> Result<(), Failure> {
    trial.now = 1 << 63;
    trial.tell("at 2^63 ns:");
    let (mut connection, _) = trial.open(b"")?;
    trial.wake(&mut connection, 0)?;
    answers(trial, &mut connection)?;
    stays_open(trial, &connection)?;
    trial.close(connection)
}
