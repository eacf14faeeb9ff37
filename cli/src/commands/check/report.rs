//! The report: what was checked, with what result.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

/// One check.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) group: Group,
    pub(crate) name: String,
    /// The rule: `RFC 6455 5.2`, or a function of the WIT package.
    pub(crate) rule: String,
    pub(crate) outcome: Outcome,
}

/// The subject of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Contract,
    Handshakes,
    Frames,
}

impl Group {
    const ALL: [Self; 3] = [Self::Contract, Self::Handshakes, Self::Frames];

    fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Handshakes => "handshakes",
            Self::Frames => "frames",
        }
    }
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    /// Does not apply to this component, for this reason.
    Skipped(String),
    Failed(Failure),
}

/// What was sent, expected and received.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) sent: String,
    pub(crate) expected: String,
    pub(crate) received: String,
}

impl From<Result<(), Failure>> for Outcome {
    fn from(result: Result<(), Failure>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl Case {
    fn json(&self) -> Value {
        let mut value = json!({
            "group": self.group.name(),
            "name": self.name,
            "rule": self.rule,
        });
        match &self.outcome {
            Outcome::Passed => value["result"] = "passed".into(),
            Outcome::Skipped(reason) => {
                value["result"] = "skipped".into();
                value["reason"] = reason.as_str().into();
            }
            Outcome::Failed(failure) => {
                value["result"] = "failed".into();
                value["sent"] = failure.sent.as_str().into();
                value["expected"] = failure.expected.as_str().into();
                value["received"] = failure.received.as_str().into();
            }
        }
        value
    }
}

/// All checks of a component.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) component: String,
    pub(crate) path: String,
    pub(crate) cases: Vec<Case>,
}

/// Numbers of cases by outcome.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

impl Report {
    pub(crate) fn has_passed(&self) -> bool {
        self.count(&Group::ALL).failed == 0
    }

    fn count(&self, groups: &[Group]) -> Count {
        let mut count = Count::default();
        for case in self.of(groups) {
            match case.outcome {
                Outcome::Passed => count.passed += 1,
                Outcome::Skipped(_) => count.skipped += 1,
                Outcome::Failed(_) => count.failed += 1,
            }
        }
        count
    }

    fn of(&self, groups: &[Group]) -> impl Iterator<Item = &Case> {
        let cases = self.cases.iter();
        cases.filter(|case| groups.contains(&case.group))
    }

    /// A JSON object with all cases.
    pub(crate) fn json(&self) -> String {
        let count = self.count(&Group::ALL);
        let cases: Vec<_> = self.cases.iter().map(Case::json).collect();
        json!({
            "component": self.component,
            "path": self.path,
            "passed": count.passed,
            "failed": count.failed,
            "skipped": count.skipped,
            "cases": cases,
        })
        .to_string()
    }

    /// The reasons why cases were skipped, with their numbers.
    fn skips(&self) -> BTreeMap<(Group, &str), usize> {
        let mut skips = BTreeMap::new();
        for case in &self.cases {
            if let Outcome::Skipped(reason) = &case.outcome {
                *skips.entry((case.group, reason.as_str())).or_default() += 1;
            }
        }
        skips
    }
}

/// Failures in full, skipped cases by reason, the totals.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            if let Outcome::Failed(failure) = &case.outcome {
                show(f, case, failure)?;
            }
        }
        for ((group, reason), count) in self.skips() {
            writeln!(f, "skipped {count} of {}: {reason}", group.name())?;
        }
        for group in Group::ALL {
            writeln!(f, "{:<11} {}", group.name(), self.count(&[group]))?;
        }
        let Self {
            component, path, ..
        } = self;
        writeln!(f, "{component}, {path}: {}", self.count(&Group::ALL))
    }
}

fn show(f: &mut fmt::Formatter<'_>, case: &Case, failure: &Failure) -> fmt::Result {
    writeln!(f, "FAILED {}: {}", case.group.name(), case.name)?;
    for (what, text) in [
        ("sent", &failure.sent),
        ("expected", &failure.expected),
        ("received", &failure.received),
        ("see", &reference(&case.rule)),
    ] {
        // Backtraces have several lines.
        writeln!(f, "  {what:<9} {}", text.replace('\n', "\n            "))?;
    }
    writeln!(f)
}

/// The rule, with a link if it is in an RFC.
fn reference(rule: &str) -> String {
    let mut words = rule.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("RFC"), Some(number), Some(section)) => {
            format!("{rule}: https://www.rfc-editor.org/rfc/rfc{number}#section-{section}")
        }
        _ => rule.to_owned(),
    }
}

/// The progress of the check, shown on a terminal and erased on drop.
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
        }
    }

    pub(crate) fn show(&mut self, group: Group, done: usize, of: usize) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K{} {done}/{of}", group.name());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let case = |name: &str, outcome| Case {
            group: Group::Frames,
            name: name.to_owned(),
            rule: "RFC 6455 5.1".to_owned(),
            outcome,
        };
        let failure = Failure {
            sent: "81 00".to_owned(),
            expected: "close 1002".to_owned(),
            received: "trap\nat a".to_owned(),
        };
        Report {
            component: "a.wasm".to_owned(),
            path: "/".to_owned(),
            cases: vec![
                case("good", Outcome::Passed),
                case("other", Outcome::Skipped("no need".to_owned())),
                case("bad", Outcome::Failed(failure)),
            ],
        }
    }

    #[test]
    fn as_text() {
        let expected = "\
FAILED frames: bad
  sent      81 00
  expected  close 1002
  received  trap
            at a
  see       RFC 6455 5.1: https://www.rfc-editor.org/rfc/rfc6455#section-5.1

skipped 1 of frames: no need
contract    0 passed, 0 failed
handshakes  0 passed, 0 failed
frames      1 passed, 1 failed, 1 skipped
a.wasm, /: 1 passed, 1 failed, 1 skipped
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn as_json() {
        let value: Value = serde_json::from_str(&report().json()).expect("JSON");
        assert_eq!(value["failed"], 1);
        assert_eq!(value["cases"][1]["reason"], "no need");
        assert_eq!(value["cases"][2]["received"], "trap\nat a");
    }
}
