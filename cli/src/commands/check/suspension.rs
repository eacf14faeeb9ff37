//! `suspend` and `resume` of the contract, on any component: also on one that can do neither.

use wasocket_host::bindings::{ResumeError, ShutdownReason};

use super::contract::{PING, answers, works};
use super::report::{Case, Failure, Group, Outcome};
use super::subject::Subject;
use super::trial::{Line, Trial};

/// How many bytes of a state are changed, one at a time.
const CHANGED: usize = 300;

type Check = fn(&mut Trial<'_>) -> Result<Outcome, Failure>;

/// Each with what rules.
const CHECKS: [(&str, &str, Check); 3] = [
    (
        "a connection that was suspended goes on in another instance",
        "websocket-handler.wit, connection.suspend",
        goes_on,
    ),
    (
        "a connection is not suspended in the middle of a message",
        "websocket-handler.wit, connection.suspend",
        not_at_rest,
    ),
    (
        "what is not a state is not resumed, and does no harm",
        "websocket-handler.wit, resume",
        not_a_state,
    ),
];

/// Runs all.
pub(crate) fn cases(subject: &mut Subject) -> Vec<Case> {
    let case = |(name, rule, check): (&str, &str, Check)| Case {
        group: Group::Contract,
        name: name.to_owned(),
        rule: rule.to_owned(),
        outcome: check(&mut Trial::new(subject)).unwrap_or_else(Outcome::Failed),
    };
    CHECKS.map(case).into()
}

fn goes_on(trial: &mut Trial<'_>) -> Result<Outcome, Failure> {
    let Some(state) = state(trial)? else {
        let reason = "its connections cannot be suspended";
        return Ok(Outcome::Skipped(reason.to_owned()));
    };
    trial.renew();
    let mut line = resumed(trial, &state)?;
    answers(trial, &mut line)?;
    // Again, and in the instance that it is in.
    if let Some(state) = trial.suspend(&line)? {
        trial.close(line)?;
        line = resumed(trial, &state)?;
        answers(trial, &mut line)?;
    }
    trial.shutdown(&mut line, ShutdownReason::GoingAway)?;
    if line.is_open() {
        let state = trial.suspend(&line)?;
        trial.expect(state.is_none(), "no state behind a Close frame", || {
            "a state".to_owned()
        })?;
    }
    trial.close(line)?;
    Ok(Outcome::Passed)
}

/// The state of a connection that has been used, if it can be suspended. It is dropped.
fn state(trial: &mut Trial<'_>) -> Result<Option<Vec<u8>>, Failure> {
    let (mut line, _) = trial.open(b"")?;
    answers(trial, &mut line)?;
    let state = trial.suspend(&line)?;
    trial.close(line)?;
    Ok(state)
}

fn resumed(trial: &mut Trial<'_>, state: &[u8]) -> Result<Line, Failure> {
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
        let (mut line, _) = trial.open(b"")?;
        trial.receive(&mut line, begun)?;
        let state = trial.suspend(&line)?;
        trial.expect(state.is_none(), "no state", || "a state".to_owned())?;
        trial.close(line)?;
        works(trial)?;
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
    // Of these some may be states.
    for at in 0..state.len().min(CHANGED) {
        trial.begin();
        let mut changed = state.clone();
        changed[at] ^= 0x81;
        if let Ok(line) = trial.resume_from(&changed)? {
            trial.close(line)?;
        }
    }
    works(trial)?;
    Ok(Outcome::Passed)
}
