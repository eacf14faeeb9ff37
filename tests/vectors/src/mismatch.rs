//! A difference between what a vector expects and what came back.

use std::fmt;

/// A vector expects something else than what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The expectation, for a person.
    pub expected: String,
    /// What came back, for a person.
    pub received: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, received {}", self.expected, self.received)
    }
}

impl std::error::Error for Mismatch {}

#[track_caller]
#[allow(clippy::panic, reason = "how a test fails")]
pub fn fail(text: &str) {
    panic!("{text}");
}
