use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use super::CodecError;
use crate::protocol::{CloseCode, CloseReason, Closed, Message, UsageError};
use crate::topics::TopicError;

/// Why a conversation cannot continue, and whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The connection is closed: by the peer, or by the protocol.
    Closed(Closed),
    /// The app made a call that is not allowed, such as sending after its own Close frame.
    Usage(UsageError),
    /// A message and a value that do not match.
    Codec(CodecError),
    /// Something cannot be had of a topic: the app breaks a rule, or the host refuses.
    Topic(TopicError),
    /// A backend failed. With feature `http`.
    #[cfg(feature = "http")]
    Http(crate::http::Error),
    /// A message is longer than its reader allows. The rest of it is skipped, and the connection stays open.
    MessageTooBig,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(closed) => write!(f, "the connection is closed: {closed}"),
            Self::Usage(error) => error.fmt(f),
            Self::Codec(error) => error.fmt(f),
            Self::Topic(error) => error.fmt(f),
            #[cfg(feature = "http")]
            Self::Http(error) => error.fmt(f),
            Self::MessageTooBig => f.write_str("message too big"),
        }
    }
}

impl core::error::Error for Error {}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<TopicError> for Error {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

#[cfg(feature = "http")]
impl From<crate::http::Error> for Error {
    fn from(error: crate::http::Error) -> Self {
        Self::Http(error)
    }
}

/// Why [`Sender::try_send`](super::Sender::try_send) has not sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrySendError {
    /// [`Limits::max_buffered_amount`](crate::Limits::max_buffered_amount) is on its way; this is the message.
    Full(Message),
    /// Another message is being sent in fragments; this is the message.
    Busy(Message),
    /// It cannot be sent at all.
    Failed(Error),
}

impl From<Error> for TrySendError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the peer is slow: too much is on its way already"),
            Self::Busy(_) => f.write_str("another message is being sent in fragments"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TrySendError {}

/// How the result of an app's function closes a connection that is still open. A function may return `()`, or
/// a `Result<(), E>` whose `E` determines the Close frame.
pub trait Outcome {
    /// The content of the Close frame.
    fn close_reason(self) -> CloseReason;

    /// The report to the operator, if the app has failed ([`Report::fault`](crate::Report::fault)). The
    /// default is none.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// A failure of an app's function, and how to tell the peer. With code 1011 the operator also sees the
/// displayed text; other codes are for ends that the app intends, or that the peer causes.
pub trait Failure: fmt::Display {
    /// The close code. Default: 1011, a failure of the server.
    fn close_code(&self) -> CloseCode {
        CloseCode::INTERNAL_ERROR
    }

    /// The reason, of which at most 123 bytes are sent. Default: empty, so that internal details do not reach
    /// the peer.
    fn reason(&self) -> String {
        String::new()
    }
}

impl Outcome for () {
    fn close_reason(self) -> CloseReason {
        CloseReason {
            code: CloseCode::NORMAL,
            reason: String::new(),
        }
    }
}

impl<E: Failure> Outcome for Result<(), E> {
    fn close_reason(self) -> CloseReason {
        match self {
            Ok(()) => ().close_reason(),
            Err(error) => CloseReason {
                code: error.close_code(),
                reason: error.reason(),
            },
        }
    }

    fn fault(&self) -> Option<String> {
        let error = self.as_ref().err()?;
        (error.close_code() == CloseCode::INTERNAL_ERROR).then(|| error.to_string())
    }
}

impl Failure for Error {
    fn close_code(&self) -> CloseCode {
        match self {
            Self::Codec(error) => error.close_code(),
            Self::MessageTooBig => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::INTERNAL_ERROR,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Codec(error @ CodecError::ExpectedText) => error.to_string(),
            // The decoder's text would reveal the names of the app's fields and variants.
            Self::Codec(CodecError::Decode(_)) => "the message cannot be read".into(),
            Self::MessageTooBig => self.to_string(),
            _ => String::new(),
        }
    }
}

impl Failure for Box<dyn core::error::Error> {}

impl Failure for core::convert::Infallible {}

/// An app whose backend fails closes with 1011. The peer is not told what went wrong.
#[cfg(feature = "http")]
impl Failure for crate::http::Error {}
