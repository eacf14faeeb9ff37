//! Checks of the frame vectors.

use wasocket_vectors::{FrameVector, Mismatch, Then};

use wasocket_host::bindings::{self, Effects, Instant, Next};
use wasocket_host::guest::GuestFault;
use wasocket_host::guest::finish;

use super::report::{Case, Failure, Group, Outcome, Progress};
use super::subject::Subject;
use super::traits::Traits;
use super::trial::shown;

/// Input of up to this many bytes is split at every byte.
const SHORT: usize = 300;

/// Input of up to this many bytes is also given byte by byte.
pub(super) const MEDIUM: usize = 3000;

/// The most bytes to receive at once (`websocket-handler.wit`, `receive`).
pub(super) const MAX_PIECE: usize = 65_536;

/// The time, which stands still.
const NOW: Instant = 1;

/// The most wakes in a row that a connection may ask for at the same instant.
const MAX_WAKES: usize = 1000;

/// Runs all vectors against the path, which should echo.
pub(crate) fn cases(subject: &mut Subject, traits: &Traits, progress: &mut Progress) -> Vec<Case> {
    let vectors = wasocket_vectors::frames();
    let count = vectors.len();
    let run = |(i, vector): (usize, &FrameVector)| {
        progress.show(Group::Frames, i, count);
        Case {
            group: Group::Frames,
            name: vector.name.clone(),
            rule: format!("RFC {}", vector.rfc),
            outcome: match fits(traits, vector) {
                Ok(()) => outcome(subject, vector),
                Err(reason) => Outcome::Skipped(reason),
            },
        }
    };
    vectors.iter().enumerate().map(run).collect()
}

/// Whether a vector applies to a server configured like this one.
///
/// # Errors
///
/// The reason why not.
pub(super) fn fits(traits: &Traits, vector: &FrameVector) -> Result<(), String> {
    if vector.deflate {
        traits.deflate.clone()?;
    }
    if vector.rfc == "6455 10.4" {
        traits.message_limit.clone()?;
    }
    let is_message = |frame: &String| frame.starts_with("text") || frame.starts_with("binary");
    if vector.receive.iter().any(is_message) {
        traits.echo.clone()?;
    }
    Ok(())
}

/// Checks that the path echoes.
///
/// # Errors
///
/// What it does instead.
pub(crate) fn echoes(subject: &mut Subject) -> Result<(), String> {
    let no_echo = |what: String| format!("the path is not an echo: {what}");
    for vector in wasocket_vectors::frames().iter().take(1) {
        let bytes = vector.bytes();
        let answer = run(subject, vector.deflate, [&bytes[..]]).map_err(no_echo)?;
        vector
            .compare(&answer.output, answer.then)
            .map_err(|mismatch| no_echo(format!("{} for {}", mismatch.received, vector.send)))?;
    }
    Ok(())
}

/// Checks that messages may have up to 1 MiB and no more. The former can only be seen if they are echoed.
///
/// # Errors
///
/// If the limit is another.
pub(crate) fn has_the_limit(subject: &mut Subject, echoes: bool) -> Result<(), String> {
    let at_the_limit = |vector: &FrameVector| match vector.name.as_str() {
        "a message exactly at the limit" => echoes,
        "a frame one byte over the limit" => true,
        _ => false,
    };
    for vector in wasocket_vectors::frames()
        .iter()
        .filter(|v| at_the_limit(v))
    {
        let bytes = vector.bytes();
        let answer = run(subject, false, [&bytes[..]]);
        let compared = answer.map(|answer| vector.compare(&answer.output, answer.then));
        if !matches!(compared, Ok(Ok(()))) {
            return Err("its limit on messages is not 1 MiB".to_owned());
        }
    }
    Ok(())
}

fn outcome(subject: &mut Subject, vector: &FrameVector) -> Outcome {
    let bytes = vector.bytes();
    let mut cuts = vec![(vec![&bytes[..]], "in one piece".to_owned())];
    let ends = if bytes.len() <= SHORT {
        1..bytes.len()
    } else {
        bytes.len() / 2..bytes.len() / 2 + 1
    };
    cuts.extend(ends.map(|at| {
        let (head, tail) = bytes.split_at(at);
        (vec![head, tail], format!("split at {at}"))
    }));
    if bytes.len() <= MEDIUM {
        cuts.push((bytes.chunks(1).collect(), "byte by byte".to_owned()));
    }
    for (pieces, how) in cuts {
        let compared = compare(subject, vector, pieces);
        if !matches!(compared, Outcome::Passed) {
            return match compared {
                Outcome::Failed(failure) => Outcome::Failed(Failure {
                    sent: format!("{} ({how})", failure.sent),
                    ..failure
                }),
                other => other,
            };
        }
    }
    Outcome::Passed
}

fn compare(subject: &mut Subject, vector: &FrameVector, pieces: Vec<&[u8]>) -> Outcome {
    let failed = |expected, received| {
        Outcome::Failed(Failure {
            sent: vector.send.clone(),
            expected,
            received,
        })
    };
    let answer = match run(subject, vector.deflate, pieces) {
        Ok(answer) => answer,
        Err(error) => return failed("a connection that is served".to_owned(), error),
    };
    match vector.compare(&answer.output, answer.then) {
        Ok(()) => Outcome::Passed,
        // RFC 7692 lets the sender choose what to compress.
        Err(_) if vector.deflate && answer.output.first().is_some_and(|byte| byte & 0x40 != 0) => {
            Outcome::Skipped(
                "it compresses short messages, which this check does not decompress".to_owned(),
            )
        }
        Err(Mismatch { expected, received }) => failed(expected, received),
    }
}

/// Whether the connection asks to be woken at once.
fn is_due(effects: &Effects) -> bool {
    let is_open = matches!(effects.next, Next::Open | Next::Pause);
    is_open && effects.wake_at.is_some_and(|at| at <= NOW)
}

/// The connection's answer to bytes.
struct Answer {
    output: Vec<u8>,
    then: Then,
}

/// Opens a connection and gives it bytes, the first piece as those after the request head. No call is made after the
/// component has ended it.
fn run<'a>(
    subject: &mut Subject,
    deflate: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Answer, String> {
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let further = if deflate { &[offer][..] } else { &[] };
    let request = subject.handshake(further);
    let fault = |fault: GuestFault| fault.to_string();
    let connection = match subject.handle(&request).map_err(|none| none.to_string())? {
        bindings::Answer::Takeover(takeover) => takeover.connection,
        bindings::Answer::Respond(response) => {
            return Err(format!("status {}", response.head.status));
        }
    };
    let id = subject.next_id();
    let mut output = Vec::new();
    let mut next = None;
    for piece in pieces.into_iter().flat_map(|piece| piece.chunks(MAX_PIECE)) {
        let effects = subject.call(|guest| match next {
            None => finish(guest.open(connection, NOW, id, piece)),
            Some(_) => finish(guest.receive(connection, NOW, piece)),
        });
        let mut effects = effects.map_err(fault)?;
        output.append(&mut effects.output);
        for _ in 0..MAX_WAKES {
            if !is_due(&effects) {
                break;
            }
            let woken = subject.call(|guest| finish(guest.wake(connection, NOW, 0)));
            effects = woken.map_err(fault)?;
            output.append(&mut effects.output);
        }
        next = Some(effects.next);
        if effects.next != Next::Open {
            break;
        }
    }
    subject.drop_connection(connection).map_err(fault)?;
    match next {
        Some(Next::Abort) => Err(format!("an abort after {}", shown(&output))),
        Some(Next::Close) => Ok(Answer {
            output,
            then: Then::Closed,
        }),
        _ => Ok(Answer {
            output,
            then: Then::Open,
        }),
    }
}
