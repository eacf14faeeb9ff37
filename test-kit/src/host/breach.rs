//! The ways in which an app can break the contract.

use std::fmt;

use wasocket_host_core::http1::BadAnswer;

/// The most calls that one event may cause.
pub(super) const MAX_CALLS: usize = 100_000;

/// How the app broke the contract; the test fails with this message.
#[derive(Debug)]
pub(crate) enum Breach {
    /// The answer to this request.
    Answer(String, BadAnswer),
    /// There is no answer to this request.
    NoAnswer(String),
    /// A connection names itself in `wake-others`.
    WakesItself(usize),
    /// A connection wants to be called again and again at one instant.
    Restless(usize),
    /// A connection that has ended wants more of topics than to publish.
    TopicsAfterEnd(usize),
    /// The result of `deliver` names a form that it does not have.
    UnknownForm(u32),
    /// The result of `deliver` has an exception out of order, or for no connection.
    ExceptionMisplaced(usize),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the app breaks the contract: ")?;
        match self {
            Self::Answer(request, bad) => write!(f, "its answer to {request} is bad: {bad}"),
            Self::NoAnswer(request) => write!(
                f,
                "it waits before it answers {request}, for something that the kit does not have"
            ),
            Self::WakesItself(id) => write!(
                f,
                "connection {id} lists itself in `wake-others`, which is for other connections"
            ),
            Self::TopicsAfterEnd(id) => write!(
                f,
                "connection {id} has ended, and can only publish in the same effects"
            ),
            Self::UnknownForm(number) => write!(
                f,
                "`deliver` refers to form {number}, which it has not returned"
            ),
            Self::ExceptionMisplaced(index) => write!(
                f,
                "`deliver` has an exception for connection {index}, which is out of order or not there"
            ),
            Self::Restless(id) => write!(
                f,
                "it never rests: connection {id} wants to be called again at once, {MAX_CALLS} times"
            ),
        }
    }
}
