//! The contract of `wit/websocket-handler.wit`, as far as a host can see whether a component keeps it.

use wasocket_host_core::answer;
use wasocket_host_core::http1::{BadAnswer, check_response};
use wasocket_vectors::Frame;

use wasocket_host::bindings::initiator_name;
use wasocket_host::bindings::{
    Answer, Ceiling, Initiator, Next, Request, ShutdownReason, Takeover,
};

use super::report::{Case, Failure, Group, Outcome, Progress};
use super::subject::{Subject, fields, request};
use super::trial::{Line, SECOND, Trial, listed, shown};

/// A ping, and what of the pong is to be seen: every WebSocket answers it (RFC 6455 5.5.2).
pub(crate) const PING: &[u8] = b"\x89\x84\0\0\0\0ping";
const PONG: (&str, &[u8]) = ("pong", b"ping");

/// A Close frame with code 1000.
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

type Check = fn(&mut Trial<'_>) -> Result<(), Failure>;

/// Each with what rules.
const CHECKS: [(&str, &str, Check); 20] = [
    (
        "the farewell is a Close frame with code 1011",
        "websocket-handler.wit, takeover.farewell",
        farewell,
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
        "a takeover that is not made does no harm",
        "websocket-handler.wit, connection",
        not_opened,
    ),
    (
        "bytes behind the request head are the connection's",
        "websocket-handler.wit, connection.open",
        residual,
    ),
    (
        "wakes without need do no harm",
        "websocket-handler.wit, connection.wake",
        unneeded_wakes,
    ),
    (
        "a second wake at the same instant sends nothing again",
        "websocket-handler.wit, connection.wake",
        second_wake,
    ),
    (
        "a peer is not given up for its silence while output is unsent",
        "websocket-handler.wit, connection.wake",
        unsent,
    ),
    (
        "going away is a Close frame with code 1001",
        "websocket-handler.wit, shutdown-reason",
        going_away,
    ),
    (
        "a restart is a Close frame with code 1012",
        "websocket-handler.wit, shutdown-reason",
        service_restart,
    ),
    (
        "nothing follows a Close frame",
        "RFC 6455 5.5.1",
        behind_close,
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
        "what arrives on many in one call is to each what it is alone",
        "websocket-handler.wit, receive-many",
        many_at_once,
    ),
    (
        "a connection that is limited takes no more",
        "websocket-handler.wit, connection.limit",
        limited,
    ),
    (
        "an instance outlives its connections",
        "websocket-handler.wit, connection",
        many_in_turn,
    ),
    (
        "the origin of the clock means nothing",
        "types.wit, instant",
        clock,
    ),
];

/// Runs all.
pub(crate) fn cases(subject: &mut Subject, progress: &mut Progress) -> Vec<Case> {
    let mut cases = vec![Case {
        group: Group::Contract,
        name: "the exports fit the world, the imports are granted".to_owned(),
        rule: "world.wit, handler".to_owned(),
        // Else it would not have been loaded.
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

fn farewell(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let takeover = trial.take_over()?;
    trial.discard(takeover.connection)?;
    let farewell = &takeover.farewell;
    let is_close = |frames: &[Frame]| matches!(frames, [frame] if (frame.opcode, &frame.payload[..]) == ("close", &1011_u16.to_be_bytes()));
    let holds = Frame::read_all(farewell).is_ok_and(|frames| is_close(&frames));
    trial.expect(
        holds,
        "a Close frame with code 1011, as the farewell",
        || shown(farewell),
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

/// Has a request answered, and checks the answer as the runner does.
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
    let checked = answer::takeover(head, &takeover.farewell, &request.fields);
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

/// Whether the instance serves: a new connection answers a ping.
pub(crate) fn works(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut line, _) = trial.open(b"")?;
    answers(trial, &mut line)?;
    trial.close(line)
}

/// Whether a connection answers a ping.
pub(crate) fn answers(trial: &mut Trial<'_>, line: &mut Line) -> Result<(), Failure> {
    let output = trial.receive(line, PING)?;
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
    let (line, output) = trial.open(PING)?;
    has_pong(trial, &output)?;
    trial.close(line)
}

fn unneeded_wakes(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut line, _) = trial.open(b"")?;
    for unsent in [0, 0, 1, 1 << 30, 0] {
        trial.wake(&mut line, unsent)?;
        stays_open(trial, &line)?;
    }
    answers(trial, &mut line)?;
    trial.close(line)
}

fn stays_open(trial: &Trial<'_>, line: &Line) -> Result<(), Failure> {
    trial.expect(line.is_open(), "a connection that stays open", || {
        format!("a `next` of {:?}", line.next)
    })
}

fn second_wake(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut line, _) = trial.open(b"")?;
    if let Some(at) = line.wake_at() {
        trial.now = trial.now.max(at);
        trial.wake(&mut line, 0)?;
        if line.is_open() {
            let again = trial.wake(&mut line, 0)?;
            trial.expect(again.is_empty(), "no output of the second wake", || {
                shown(&again)
            })?;
        }
    }
    trial.close(line)
}

fn unsent(trial: &mut Trial<'_>) -> Result<(), Failure> {
    const WAKES: usize = 20;
    let (mut line, _) = trial.open(b"")?;
    for _ in 0..WAKES {
        let Some(at) = line.wake_at() else { break };
        trial.now = trial.now.max(at);
        trial.tell(&format!("at {} s:", trial.now / SECOND));
        trial.wake(&mut line, 1000)?;
        stays_open(trial, &line)?;
    }
    trial.close(line)
}

fn going_away(trial: &mut Trial<'_>) -> Result<(), Failure> {
    closes_with(trial, ShutdownReason::GoingAway, 1001)
}

fn service_restart(trial: &mut Trial<'_>) -> Result<(), Failure> {
    closes_with(trial, ShutdownReason::ServiceRestart, 1012)
}

fn closes_with(trial: &mut Trial<'_>, reason: ShutdownReason, code: u16) -> Result<(), Failure> {
    let (mut line, _) = trial.open(b"")?;
    let output = trial.shutdown(&mut line, reason)?;
    let frames = trial.frames(&output)?;
    let is_close =
        |frame: &Frame| (frame.opcode, &frame.payload[..]) == ("close", &code.to_be_bytes());
    let expected = format!("close {code}");
    trial.expect(frames.iter().any(is_close), &expected, || listed(&frames))?;
    if line.is_open() {
        // RFC 6455 §7.1.1: both Close frames have been sent, and the server closes the socket first.
        trial.receive(&mut line, CLOSE)?;
        trial.expect(
            line.next == Next::Close,
            "the end, as the Close frame is answered",
            || format!("a `next` of {:?}", line.next),
        )?;
    }
    trial.close(line)
}

fn behind_close(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut line, _) = trial.open(b"")?;
    let output = trial.receive(&mut line, &[CLOSE, PING].concat())?;
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
    trial.expect(line.next == Next::Close, "a `next` of Close", || {
        format!("a `next` of {:?}", line.next)
    })?;
    trial.close(line)
}

/// Brings a connection to a moment.
type Moment = fn(&mut Trial<'_>, &mut Line) -> Result<Vec<u8>, Failure>;

const MOMENTS: [Moment; 8] = [
    |_, _| Ok(Vec::new()),
    |trial, line| trial.receive(line, PING),
    |trial, line| trial.receive(line, b"\x81\x85\0\0"),
    |trial, line| trial.receive(line, b"\x01\x82\0\0\0\0a"),
    |trial, line| trial.receive(line, b"\x01\x81\0\0\0\0a"),
    |trial, line| trial.receive(line, b"\x82\x81\0\0\0\0a"),
    |trial, line| trial.wake(line, 1),
    |trial, line| trial.shutdown(line, ShutdownReason::GoingAway),
];

/// Does something to a connection at every moment at which the contract allows it, and sees whether the
/// instance goes on.
fn at_any_moment(
    trial: &mut Trial<'_>,
    act: impl Fn(&mut Trial<'_>, Line) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for moment in MOMENTS {
        trial.begin();
        let (mut line, _) = trial.open(b"")?;
        moment(trial, &mut line)?;
        match line.is_open() {
            true => act(trial, line)?,
            false => trial.close(line)?,
        }
        works(trial)?;
    }
    Ok(())
}

fn lost(trial: &mut Trial<'_>) -> Result<(), Failure> {
    at_any_moment(trial, |trial, line| trial.lose(line))
}

fn report(trial: &mut Trial<'_>) -> Result<(), Failure> {
    let (mut line, _) = trial.open(b"")?;
    trial.receive(&mut line, CLOSE)?;
    reports(trial, line, Initiator::Peer, 1000)?;

    trial.begin();
    let (mut line, _) = trial.open(b"")?;
    // A frame without a masking key (RFC 6455 §5.1).
    trial.receive(&mut line, b"\x81\0")?;
    reports(trial, line, Initiator::Protocol, 1002)?;

    trial.begin();
    let (line, _) = trial.open(b"")?;
    trial.lost(&line)?;
    reports(trial, line, Initiator::Peer, 1006)?;

    trial.begin();
    let (mut line, _) = trial.open(b"")?;
    trial.shutdown(&mut line, ShutdownReason::GoingAway)?;
    if line.is_open() {
        trial.receive(&mut line, CLOSE)?;
    }
    reports(trial, line, Initiator::Host, 1001)
}

fn reports(
    trial: &mut Trial<'_>,
    line: Line,
    initiator: Initiator,
    code: u16,
) -> Result<(), Failure> {
    let closing = trial.report(line)?.closing;
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
    at_any_moment(trial, |trial, line| trial.close(line))
}

fn end_of_stream(trial: &mut Trial<'_>) -> Result<(), Failure> {
    at_any_moment(trial, |trial, mut line| {
        if line.next == Next::Open {
            trial.receive_eof(&mut line)?;
        }
        match line.is_open() {
            true => trial.lose(line),
            false => trial.close(line),
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
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(trial.open(b"")?.0);
    }
    let outputs = trial.receive_many(&mut lines, &[&one, head, CLOSE, &other])?;
    for (output, name) in [(0, b"1"), (3, b"2")] {
        let frames = trial.frames(&outputs[output])?;
        let is_its_own = |frame: &Frame| (frame.opcode, &frame.payload[..]) == ("pong", name);
        let others = frames.iter().filter(|frame| frame.opcode == "pong").count();
        let has_its_own = others == 1 && frames.iter().any(is_its_own);
        trial.expect(has_its_own, "each its own pong", || listed(&frames))?;
    }
    let closed = lines.remove(2);
    trial.expect(
        !closed.is_open(),
        "the end of the one that was closed",
        || format!("a `next` of {:?}", closed.next),
    )?;
    trial.close(closed)?;
    let outputs = trial.receive_many(&mut lines, &[PING, tail, PING])?;
    for (line, output) in lines.into_iter().zip(outputs) {
        has_pong(trial, &output)?;
        stays_open(trial, &line)?;
        trial.close(line)?;
    }
    let none = trial.receive_many(&mut [], &[])?;
    trial.expect(none.is_empty(), "nothing of no connection", String::new)
}

fn limited(trial: &mut Trial<'_>) -> Result<(), Failure> {
    const RATE: u32 = 2;
    let ceiling = |max_message_size, max_messages_per_second| Ceiling {
        max_message_size,
        max_messages_per_second,
    };
    // The header of a text of 11 bytes, which proves it.
    let too_long = b"\x81\x8b".to_vec();
    let pings = PING.repeat(2 * RATE as usize + 1);
    for (ceiling, bytes, code) in [
        (ceiling(Some(10), None), too_long, 1009_u16),
        (ceiling(None, Some(RATE)), pings, 1008),
    ] {
        trial.begin();
        let (mut line, _) = trial.open(b"")?;
        trial.limit(&line, ceiling)?;
        let output = trial.receive(&mut line, &bytes)?;
        let frames = trial.frames(&output)?;
        let is_refused = frames.last().is_some_and(|frame| {
            frame.opcode == "close" && frame.payload.starts_with(&code.to_be_bytes())
        });
        trial.expect(
            is_refused,
            &format!("a Close frame with code {code}"),
            || listed(&frames),
        )?;
        trial.close(line)?;
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
    let (mut line, _) = trial.open(b"")?;
    trial.wake(&mut line, 0)?;
    answers(trial, &mut line)?;
    stays_open(trial, &line)?;
    trial.close(line)
}
