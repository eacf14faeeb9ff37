use core::fmt;

use bytes::Bytes;

use crate::protocol::{CloseReason, Initiator, Message, Piece, ProtocolError};

/// Something that happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A piece of a message, in order, if the app has asked for pieces
    /// ([`stream_messages`](crate::Connection::stream_messages)).
    Piece(Piece),
    /// A ping; its pong is already in the output, if the connection is open (RFC 6455 §5.5.2).
    Ping(Bytes),
    /// A pong, solicited or not (§5.5.3).
    Pong(Bytes),
    /// The connection is closed. The last event, which comes exactly once.
    Closed(Closed),
}

impl Event {
    pub(super) fn ends_message(&self) -> bool {
        match self {
            Self::Message(_) => true,
            Self::Piece(piece) => piece.last,
            _ => false,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// By the closing handshake (RFC 6455 §7.1.2), whichever side began it: the content of the peer's Close
    /// frame, `None` if it was empty (1005).
    Handshake(Option<CloseReason>),
    /// The peer broke the protocol, and has been told.
    Failed(ProtocolError),
    /// The stream ended without a Close frame (1006).
    EndOfStream,
    /// The peer did not answer a ping, or our Close frame, in time (1006).
    TimedOut,
    /// By the app, without a Close frame ([`Connection::abort`](crate::Connection::abort); 1006).
    Aborted,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(Some(reason)) if reason.reason.is_empty() => {
                write!(f, "by the peer, with code {}", reason.code)
            }
            Self::Handshake(Some(reason)) => {
                write!(
                    f,
                    "by the peer, with code {}: {}",
                    reason.code, reason.reason
                )
            }
            Self::Handshake(None) => f.write_str("by the peer, without a code"),
            Self::Failed(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::EndOfStream => f.write_str("the peer has gone without a Close frame"),
            Self::TimedOut => f.write_str("the peer did not answer in time"),
            Self::Aborted => f.write_str("given up by the app"),
        }
    }
}

impl Closed {
    /// 1005: the peer's Close frame had no code. Never on the wire, so it is not a
    /// [`CloseCode`](crate::CloseCode) (RFC 6455 §7.4.1).
    pub const NO_STATUS_RECEIVED: u16 = 1005;
    /// 1006: no Close frame came. Never on the wire either.
    pub const ABNORMAL_CLOSURE: u16 = 1006;

    /// The WebSocket connection close code (RFC 6455 §7.1.5): the code of the peer's Close frame, 1005 if it
    /// had no code, 1006 if no Close frame came. If the peer broke the protocol it is our own code, which
    /// says more than 1006.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Handshake(Some(reason)) => reason.code.as_u16(),
            Self::Handshake(None) => Self::NO_STATUS_RECEIVED,
            Self::Failed(error) => error.close_code().as_u16(),
            Self::EndOfStream | Self::TimedOut | Self::Aborted => Self::ABNORMAL_CLOSURE,
        }
    }

    /// The side that ended the connection, if no Close frame came first.
    pub(super) fn initiator(&self) -> Initiator {
        match self {
            Self::Handshake(_) | Self::EndOfStream => Initiator::Peer,
            Self::Failed(_) | Self::TimedOut => Initiator::Protocol,
            Self::Aborted => Initiator::App,
        }
    }

    /// Whether the connection ended cleanly: by a closing handshake in which the peer's Close frame had code
    /// 1000 (normal), 1001 (such as a user leaving the page), or no code (a page that calls `close()`).
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self.code(), 1000 | 1001 | Self::NO_STATUS_RECEIVED)
    }

    /// Whether the [`code`](Self::code) is not among these, which may include 1005 and 1006.
    #[must_use]
    pub fn is_unexpected(&self, expected: &[u16]) -> bool {
        !expected.contains(&self.code())
    }
}

/// The fate of the socket once the output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It stays open.
    Open,
    /// It stays open, but the host reads no more from it until a later call says `Open` again.
    Pause,
    /// The host closes it so that the peer can still read all output.
    Close,
    /// The host closes it at once; the output need not be sent.
    Abort,
}
