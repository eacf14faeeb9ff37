use alloc::string::String;
use core::fmt;

use crate::protocol::extension::ResponseError;

/// The part of a [`ClientRequest`](super::ClientRequest) that cannot be sent: the caller's mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientRequestError {
    /// The host is empty or has bytes that a field value cannot have.
    Host,
    /// The target is empty, has a fragment, or bytes that must be escaped.
    Target,
    /// This subprotocol is not a token, or is repeated.
    Subprotocol(String),
    /// This field belongs to the handshake itself, or its name or value cannot be sent.
    Field(String),
}

impl fmt::Display for ClientRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host is empty or malformed"),
            Self::Target => f.write_str("the path is empty, has a fragment, or needs escapes"),
            Self::Subprotocol(name) => {
                write!(f, "subprotocol {name:?} is not a token, or is repeated")
            }
            Self::Field(name) => write!(f, "field {name:?} cannot be set"),
        }
    }
}

impl core::error::Error for ClientRequestError {}

/// Why a client must not use the connection: the server's response is not what RFC 6455 §4.1 requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answers with TLS: it expects `wss`.
    Tls,
    /// The response is not HTTP/1.1.
    Malformed,
    /// The response head is longer than 64 KiB, or has more than 128 fields.
    HeadTooLong,
    /// More than 16 interim responses (1xx), and no final one.
    InterimResponses,
    /// The server answered with this status instead of 101.
    Refused(u16),
    /// `Upgrade` does not list `websocket`.
    UpgradeMissing,
    /// `Connection` does not list `upgrade`.
    ConnectionMissing,
    /// `Sec-WebSocket-Accept` is missing, repeated, or not the answer to the key.
    AcceptMismatch,
    /// `Sec-WebSocket-Extensions` breaks its grammar.
    ExtensionsMalformed,
    /// An extension that was not offered, or not with these parameters.
    Extension(ResponseError),
    /// A subprotocol that was not offered, or more than one.
    SubprotocolUnoffered,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "the server answers with TLS: the URL should begin with wss://",
            Self::Malformed => "the response is not HTTP/1.1",
            Self::HeadTooLong => "the head of the response is too long",
            Self::InterimResponses => "the server sent only interim responses (1xx)",
            Self::Refused(status) => return write!(f, "the server answered with status {status}"),
            Self::UpgradeMissing => "the response does not upgrade to websocket",
            Self::ConnectionMissing => "the response lacks Connection: Upgrade",
            Self::AcceptMismatch => "Sec-WebSocket-Accept does not answer the key",
            Self::ExtensionsMalformed => "Sec-WebSocket-Extensions is malformed",
            Self::Extension(error) => return error.fmt(f),
            Self::SubprotocolUnoffered => "the server uses a subprotocol that was not offered",
        })
    }
}

impl core::error::Error for ClientError {}
