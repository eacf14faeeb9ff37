//! Checks of `suspend` and `resume`, for any component, even one that supports neither.

use std::fmt;

use wasocket_host::bindings::{
    Initiator, Next, ResumeError, ShutdownReason, Suspension, initiator_name,
};
use wasocket_vectors::{Frame, FrameVector};

use super::contract::{PING, answers, works};
use super::frames::{MAX_PIECE, MEDIUM, fits};
use super::report::{Case, Failure, Group, Outcome, Progress};
use super::subject::Subject;
use super::traits::Traits;
use super::trial::{self, Connection, Trial, listed};

/// The most bytes of a state to change, one at a time.
const CHANGED: usize = 300;

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Why a check is skipped.
const NEVER_SUSPENDED: &str = "its connections cannot be suspended";

type Check = fn(&mut Trial<'_>) -> Result<Outcome, Failure>;

/// Each check with its rule.
const CHECKS: [(&str, &str, Check); 4] = [
    (
        "a suspended connection continues in another instance",
        "websocket-handler.wit, connection.suspend",
        continues,
    ),
    (
        "a connection is not suspended in the middle of a message",
        "websocket-handler.wit, connection.suspend",
        not_at_rest,
    ),
    (
        "a peer can be kept alive while its connection is suspended",
        "websocket-handler.wit, keepalive",
        kept_alive,
    ),
    (
        "invalid states are not resumed and do no harm",
        "websocket-handler.wit, resume",
        not_a_state,
    ),
];

/// Runs all checks.
pub(crate) fn cases(subject: &mut Subject, traits: &Traits, progress: &mut Progress) -> Vec<Case> {
    let run = |(name, rule, check): (&str, &str, Check)| {
        case(name, rule, check(&mut Trial::new(subject)))
    };
    let mut cases: Vec<_> = CHECKS.map(run).into();
    cases.push(case(
        "a connection may be suspended wherever the vectors let it rest",
        "websocket-handler.wit, connection.suspend",
        at_every_boundary(&mut Trial::new(subject), traits, progress),
    ));
    cases
}

fn case(name: &str, rule: &str, outcome: Result<Outcome, Failure>) -> Case {
    Case {
        group: Group::Contract,
        name: name.to_owned(),
        rule: rule.to_owned(),
        outcome: outcome.unwrap_or_else(Outcome::Failed),
    }
}

fn continues(trial: &mut Trial<'_>) -> Result<Outcome, Failure> {
    let Some(state) = state(trial)? else {
        return Ok(Outcome::Skipped(NEVER_SUSPENDED.to_owned()));
    };
    trial.renew();
    let (mut connection, _) = resumed(trial, &state)?;
    answers(trial, &mut connection)?;
    // Again, and in the same instance.
    if let Some(state) = trial.suspend(&connection)? {
        trial.close(connection)?;
        (connection, _) = resumed(trial, &state)?;
        answers(trial, &mut connection)?;
    }
    trial.shutdown(&mut connection, ShutdownReason::GoingAway)?;
    if connection.is_open() {
        let state = trial.suspend(&connection)?;
        trial.expect(state.is_none(), "no state after a Close frame", || {
            "a state".to_owned()
        })?;
    }
    trial.close(connection)?;
    Ok(Outcome::Passed)
}

/// The state of a connection that has been used, if it can be suspended. The connection is dropped.
fn state(trial: &mut Trial<'_>) -> Result<Option<Vec<u8>>, Failure> {
    let (mut connection, _) = trial.open(b"")?;
    answers(trial, &mut connection)?;
    let state = trial.suspend(&connection)?;
    trial.close(connection)?;
    Ok(state)
}

fn resumed(trial: &mut Trial<'_>, state: &[u8]) -> Result<(Connection, Vec<u8>), Failure> {
    let resumed = trial.resume_from(state)?;
    resumed.map_err(|error| trial.failure("a connection", shown(error)))
}

fn shown(error: ResumeError) -> &'static str {
    match error {
        ResumeError::Unsupported => "the error `unsupported`",
        ResumeError::UnknownVersion => "the error `unknown-version`",
        ResumeError::Invalid => "the error `invalid`",
    }
}

fn not_at_rest(trial: &mut Trial<'_>) -> Result<Outcome, Failure> {
    let fragment = [b"\x01\x81\0\0\0\0a".as_slice(), PING].concat();
    for begun in [b"\x81".as_slice(), b"\x82\x85\0\0\0\0ab", &fragment] {
        trial.begin();
        let (mut connection, _) = trial.open(b"")?;
        trial.receive(&mut connection, begun)?;
        let state = trial.suspend(&connection)?;
        trial.expect(state.is_none(), "no state", || "a state".to_owned())?;
        trial.close(connection)?;
        works(trial)?;
    }
    Ok(Outcome::Passed)
}

fn kept_alive(trial: &mut Trial<'_>) -> Result<Outcome, Failure> {
    let (mut connection, _) = trial.open(b"")?;
    answers(trial, &mut connection)?;
    let suspended = trial.suspended(&connection)?;
    trial.close(connection)?;
    let Some(suspended) = suspended else {
        return Ok(Outcome::Skipped(NEVER_SUSPENDED.to_owned()));
    };
    let Some(keepalive) = suspended.keepalive else {
        let reason = "it leaves pings to the connection";
        return Ok(Outcome::Skipped(reason.to_owned()));
    };
    let sizes = [&keepalive.ping, &keepalive.answer].map(Vec::len);
    let are_sizes = sizes.iter().all(|size| (1..=256).contains(size))
        && keepalive.answer.len() == keepalive.answer_mask.len();
    trial.expect(are_sizes, "1 to 256 bytes, and a mask as long", || {
        format!("a ping and an answer of {sizes:?} bytes")
    })?;
    let times = keepalive.interval.min(keepalive.timeout);
    trial.expect(times >= SECOND, "times of a second or more", || {
        format!("{times} ns")
    })?;
    let later = keepalive.interval.saturating_add(keepalive.timeout);
    trial.now = trial.now.saturating_add(later);
    let pinged = |ago| Suspension {
        suspended_for: later,
        answered: None,
        pinged: Some(ago),
    };
    // It goes on in time, and ends when the time is over.
    for (ago, goes_on) in [(0, true), (keepalive.timeout, false)] {
        let resumed = trial.resume_after(pinged(ago), &suspended.state)?;
        let (connection, _) =
            resumed.map_err(|error| trial.failure("a connection", shown(error)))?;
        let next = connection.next;
        trial.close(connection)?;
        let expected = if goes_on { "it goes on" } else { "it ends" };
        trial.expect((next == Next::Open) == goes_on, expected, || {
            format!("a `next` of {next:?}, {ago} ns after an unanswered ping")
        })?;
    }
    Ok(Outcome::Passed)
}

fn not_a_state(trial: &mut Trial<'_>) -> Result<Outcome, Failure> {
    let state = state(trial)?;
    let refused = [Vec::new(), b"\0not a state".to_vec(), vec![0xff; 65_536]];
    let state = state.unwrap_or_default();
    let cut = (0..state.len()).map(|len| state[..len].to_vec());
    for bytes in refused.into_iter().chain(cut) {
        trial.begin();
        let resumed = trial.resume_from(&bytes)?;
        trial.expect(resumed.is_err(), "an error", || "a connection".to_owned())?;
    }
    // Some of these may be valid states.
    for at in 0..state.len().min(CHANGED) {
        trial.begin();
        let mut changed = state.clone();
        changed[at] ^= 0x81;
        if let Ok((connection, _)) = trial.resume_from(&changed)? {
            trial.close(connection)?;
        }
    }
    works(trial)?;
    Ok(Outcome::Passed)
}

/// Suspends a connection after each piece of each vector where that is possible, resumes it in another instance, and
/// compares it with a connection that stays.
fn at_every_boundary(
    trial: &mut Trial<'_>,
    traits: &Traits,
    progress: &mut Progress,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Skipped(NEVER_SUSPENDED.to_owned());
    let vectors = wasocket_vectors::frames();
    for (i, vector) in vectors.iter().enumerate() {
        progress.show(Group::Contract, i, vectors.len());
        if fits(traits, vector).is_ok() && suspended_in(trial, vector)? {
            outcome = Outcome::Passed;
        }
    }
    Ok(outcome)
}

/// Returns whether the connection could be suspended at all.
fn suspended_in(trial: &mut Trial<'_>, vector: &FrameVector) -> Result<bool, Failure> {
    // Otherwise the check of the frames reports it.
    let Ok(stayed) = run(trial, vector, &mut None) else {
        return Ok(false);
    };
    let mut places = Some(Vec::new());
    let moved = run(trial, vector, &mut places);
    let places = places.unwrap_or_default();
    let sent = format!(
        "{} in pieces, and a ping; suspended at byte {places:?}",
        vector.send
    );
    let failure = |expected, received| Failure {
        sent: sent.clone(),
        expected,
        received,
    };
    let moved = moved.map_err(|why| failure(why.expected, why.received))?;
    if moved == stayed {
        Ok(!places.is_empty())
    } else {
        Err(failure(stayed.to_string(), moved.to_string()))
    }
}

/// What happens on a connection, as the peer and the host see it.
#[derive(PartialEq)]
struct Course {
    output: Vec<u8>,
    next: Next,
    received: u64,
    sent: u64,
    ended: Option<(Initiator, u16)>,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Compressed frames are not read.
        let output = match Frame::read_all(&self.output) {
            Ok(frames) => listed(&frames),
            Err(_) => trial::shown(&self.output),
        };
        let Self {
            next,
            received,
            sent,
            ..
        } = self;
        write!(
            f,
            "{output}; a `next` of {next:?}; a report of {received} messages received and {sent} sent"
        )?;
        match self.ended {
            Some((by, code)) => write!(f, ", ended by the {} with {code}", initiator_name(by)),
            None => Ok(()),
        }
    }
}

/// Gives a connection a vector and a ping. With `places` it is suspended wherever possible, and they record where.
fn run(
    trial: &mut Trial<'_>,
    vector: &FrameVector,
    places: &mut Option<Vec<usize>>,
) -> Result<Course, Failure> {
    const OFFER: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate");
    trial.begin();
    let bytes = vector.bytes();
    // In a long one, only the boundary at its end is worth the time.
    let piece = if bytes.len() <= MEDIUM { 1 } else { MAX_PIECE };
    let offer = if vector.deflate { &[OFFER][..] } else { &[] };
    let (mut connection, mut output) = trial.open_with(offer, b"")?;
    let mut at = 0;
    for piece in bytes.chunks(piece).chain([PING]) {
        if let Some(places) = places {
            let (next, more) = moved(trial, connection)?;
            connection = next;
            if let Some(more) = more {
                places.push(at);
                output.extend(more);
            }
        }
        output.extend(trial.receive(&mut connection, piece)?);
        at += piece.len();
        if connection.next != Next::Open {
            break;
        }
    }
    course(trial, connection, output)
}

/// Suspends a connection, if it can be, and resumes it in another instance. Returns the output of that.
fn moved(
    trial: &mut Trial<'_>,
    connection: Connection,
) -> Result<(Connection, Option<Vec<u8>>), Failure> {
    let Some(state) = trial.suspend(&connection)? else {
        return Ok((connection, None));
    };
    trial.close(connection)?;
    trial.renew();
    let (connection, output) = resumed(trial, &state)?;
    Ok((connection, Some(output)))
}

fn course(
    trial: &mut Trial<'_>,
    connection: Connection,
    output: Vec<u8>,
) -> Result<Course, Failure> {
    let next = connection.next;
    if connection.is_open() {
        trial.lost(&connection)?;
    }
    let report = trial.report(connection)?;
    Ok(Course {
        output,
        next,
        received: report.messages_received,
        sent: report.messages_sent,
        ended: report.closing.map(|end| (end.initiator, end.code)),
    })
}
