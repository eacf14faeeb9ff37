use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use super::CodecError;
use crate::protocol::{CloseCode, CloseReason, Closed, Message, UsageError};

/// Why a conversation cannot go on, and whose doing it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The connection is closed: by the peer, or by the protocol.
    Closed(Closed),
    /// The app called what cannot be called, such as sending after its own Close.
    Usage(UsageError),
    /// A message and a value that do not fit each other.
    Codec(CodecError),
    /// A backend that the app has asked. With feature `http`.
    #[cfg(feature = "http")]
    Http(crate::http::Error),
    /// A message is longer than what reads it allows. The rest of it is given up, the connection is open.
    MessageTooBig,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(closed) => write!(f, "the connection is closed: {closed}"),
            Self::Usage(error) => error.fmt(f),
            Self::Codec(error) => error.fmt(f),
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

/// What the end of an app's function does to a connection that is still open: what the function
/// returns may be `()` or a `Result<(), E>`, where `E` says which Close frame ends the connection.
pub trait Outcome {
    /// The content of the Close frame.
    fn close_reason(self) -> CloseReason;

    /// What the operator is told, if the app has failed ([`Report::fault`](crate::Report::fault)). Nothing
    /// unless implemented otherwise.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// A failure of an app's function, as the peer is told of it. Where that is code 1011, the operator is told
/// what is displayed; other codes are for what an app does on purpose, or because of what the peer has sent.
pub trait Failure: fmt::Display {
    /// The close code. 1011, the server's failure, unless implemented otherwise.
    fn close_code(&self) -> CloseCode {
        CloseCode::INTERNAL_ERROR
    }

    /// The reason, of which at most 123 bytes are sent. Empty unless implemented otherwise, since what
    /// went wrong inside is nobody's business outside.
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
            // The decoder's text would tell the names of the app's own fields and variants.
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
