//! Checks of the opening handshake's vectors.

use wasocket_vectors::{HandshakeVector, Mismatch};

use super::report::{Case, Failure, Group, Outcome, Progress};
use super::subject::Subject;
use super::traits::Traits;

/// Runs all vectors that can be given to a component, which receives parsed requests.
pub(crate) fn cases(subject: &mut Subject, traits: &Traits, progress: &mut Progress) -> Vec<Case> {
    let vectors: Vec<_> = wasocket_vectors::parsed_handshakes().collect();
    let count = vectors.len();
    let run = |(i, vector): (usize, &HandshakeVector)| {
        progress.show(Group::Handshakes, i, count);
        Case {
            group: Group::Handshakes,
            name: vector.name.clone(),
            rule: format!("RFC {}", vector.rfc),
            outcome: outcome(subject, traits, vector),
        }
    };
    vectors.iter().enumerate().map(run).collect()
}

fn outcome(subject: &mut Subject, traits: &Traits, vector: &HandshakeVector) -> Outcome {
    if let Err(reason) = fits(traits, vector) {
        return Outcome::Skipped(reason);
    }
    let request = subject.request_of(vector);
    let lines = vector.request.join("\n");
    let failed = |expected: String, received: String| {
        Outcome::Failed(Failure {
            sent: lines.clone(),
            expected,
            received,
        })
    };
    let (status, fields) = match subject.answer(&request) {
        Ok(answer) => answer,
        Err(fault) => return failed("no fault".to_owned(), fault.to_string()),
    };
    let Some(status) = status else {
        let received = "a raw takeover".to_owned();
        return failed(format!("status {}", vector.status), received);
    };
    match vector.compare(status, &fields) {
        Ok(()) => Outcome::Passed,
        // The path also serves other requests, and what is not a handshake is one of those.
        Err(_) if vector.status == 426 && Some(status) == traits.plain => Outcome::Skipped(
            format!("the path answers plain requests, with status {status}"),
        ),
        Err(Mismatch { expected, received }) => failed(expected, received),
    }
}

/// Whether a vector applies to a server configured like this one.
fn fits(traits: &Traits, vector: &HandshakeVector) -> Result<(), String> {
    let names = |lines: &[String], name: &str| {
        let mut names = lines.iter().filter_map(|line| line.split_once(':'));
        names.any(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    let has = |name| names(&vector.has, name);
    if has("Sec-WebSocket-Protocol") {
        traits.subprotocols.clone()?;
    }
    // If a second subprotocol or extension is declined, it must be declined silently.
    if has("Sec-WebSocket-Extensions") {
        traits.deflate.clone()?;
    }
    if names(&vector.request, "Origin") && vector.status != 400 {
        traits.same_origin.clone()?;
    }
    Ok(())
}
