//! Checks of `suspend` and `resume`, for any component, even one that supports neither.

use wasocket_host::bindings::{ResumeError, ShutdownReason};

use super::contract::{PING, answers, works};
use super::report::{Case, Failure, Group, Outcome};
use super::subject::Subject;
use super::trial::{Connection, Trial};

/// The most bytes of a state to change, one at a time.
const CHANGED: usize = 300;

type Check = fn(&mut Trial<'_>) -> Result<Outcome, Failure>;

/// Each check with its rule.
const CHECKS: [(&str, &str, Check); 3] = [
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
        "invalid states are not resumed and do no harm",
        "websocket-handler.wit, resume",
        not_a_state,
    ),
];

/// Runs all checks.
pub(crate) fn cases(subject: &mut Subject) -> Vec<Case> {
    let case = |(name, rule, check): (&str, &str, Check)| Case {
        group: Group::Contract,
        name: name.to_owned(),
        rule: rule.to_owned(),
        outcome: check(&mut Trial::new(subject)).unwrap_or_else(Outcome::Failed),
    };
    CHECKS.map(case).into()
}

fn continues(trial: &mut Trial<'_>) -> Result<Outcome, Failure> {
    let Some(state) = state(trial)? else {
        let reason = "its connections cannot be suspended";
        return Ok(Outcome::Skipped(reason.to_owned()));
    };
    trial.renew();
    let mut connection = resumed(trial, &state)?;
    answers(trial, &mut connection)?;
    // Again, and in the same instance.
    if let Some(state) = trial.suspend(&connection)? {
        trial.close(connection)?;
        connection = resumed(trial, &state)?;
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

fn resumed(trial: &mut Trial<'_>, state: &[u8]) -> Result<Connection, Failure> {
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
        if let Ok(connection) = trial.resume_from(&changed)? {
            trial.close(connection)?;
        }
    }
    works(trial)?;
    Ok(Outcome::Passed)
}
