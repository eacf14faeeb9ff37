//! The result of a comparison.

use std::fmt;

/// A difference between what a vector expects and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The expectation, for people to read.
    pub expected: String,
    /// What came back, for people to read.
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
