mod partial;
mod prepared;
mod utf8;

pub(crate) use partial::PartialMessage;
pub use prepared::Prepared;
pub(crate) use utf8::Utf8;

use alloc::vec::Vec;

use bytes::Bytes;
use bytestring::ByteString;

use crate::protocol::ProtocolError;
use crate::protocol::frame::Opcode;

/// A whole message (RFC 6455 §1.2), joined from one or more fragments.
///
/// Cloning is cheap: the payload is shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text: UTF-8.
    Text(ByteString),
    /// Binary: any bytes.
    Binary(Bytes),
}

impl Message {
    /// The bytes of the payload, whatever the type of the message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Whether the message is text or binary.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::Text(_) => MessageType::Text,
            Self::Binary(_) => MessageType::Binary,
        }
    }
}

/// A piece of a message that is received while it arrives. The pieces in order make up the message. Where a
/// piece ends has no meaning: it shows neither fragments nor frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The type of the message; the same in all its pieces.
    pub message_type: MessageType,
    /// The bytes; only the last piece may be empty. Every piece of text is UTF-8: no character is cut.
    pub bytes: Bytes,
    /// Whether this piece ends the message.
    pub last: bool,
}

/// A whole message is its own only piece.
impl From<Message> for Piece {
    fn from(message: Message) -> Self {
        Self {
            message_type: message.message_type(),
            bytes: match message {
                Message::Text(text) => text.into_bytes(),
                Message::Binary(bytes) => bytes,
            },
            last: true,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<alloc::string::String> for Message {
    fn from(text: alloc::string::String) -> Self {
        Self::Text(text.into())
    }
}

impl From<alloc::borrow::Cow<'_, str>> for Message {
    fn from(text: alloc::borrow::Cow<'_, str>) -> Self {
        Self::Text(text.into_owned().into())
    }
}

impl From<ByteString> for Message {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

/// The two types of a message (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// Text: UTF-8.
    Text,
    /// Binary: any bytes.
    Binary,
}

impl MessageType {
    /// The message with this payload, which came in one piece.
    pub(crate) fn whole(self, payload: Bytes) -> Result<Message, ProtocolError> {
        Ok(match self {
            // RFC 6455 §8.1: on text that is not UTF-8 an endpoint "MUST _Fail the WebSocket
            // Connection_".
            Self::Text => Message::Text(
                ByteString::try_from(payload).map_err(|_| ProtocolError::InvalidUtf8)?,
            ),
            Self::Binary => Message::Binary(payload),
        })
    }
}

/// The opcode of a message's first frame.
impl From<MessageType> for Opcode {
    fn from(message_type: MessageType) -> Self {
        match message_type {
            MessageType::Text => Self::Text,
            MessageType::Binary => Self::Binary,
        }
    }
}
