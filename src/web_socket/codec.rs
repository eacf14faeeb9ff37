use alloc::string::String;
#[cfg(feature = "json")]
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use crate::protocol::{CloseCode, Message};

/// A value that can be sent as a message.
pub trait IntoMessage {
    /// The message.
    ///
    /// # Errors
    ///
    /// [`CodecError`] when the value cannot be a message. Nothing is sent then.
    fn into_message(self) -> Result<Message, CodecError>;

    /// Whether the message may be compressed, if that was agreed on. Default: true; see [`Uncompressed`].
    fn is_compressible(&self) -> bool {
        true
    }
}

/// A type that a message can be received as.
pub trait FromMessage: Sized {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`CodecError`] when the message does not match the type. The connection stays open.
    fn from_message(message: Message) -> Result<Self, CodecError>;
}

impl<M: Into<Message>> IntoMessage for M {
    fn into_message(self) -> Result<Message, CodecError> {
        Ok(self.into())
    }
}

impl FromMessage for Message {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        Ok(message)
    }
}

/// Text messages only.
impl FromMessage for ByteString {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        match message {
            Message::Text(text) => Ok(text),
            Message::Binary(_) => Err(CodecError::ExpectedText),
        }
    }
}

/// Text messages only.
impl FromMessage for String {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        ByteString::from_message(message).map(Into::into)
    }
}

/// Messages of either type, since text is bytes, too.
impl FromMessage for Bytes {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        Ok(match message {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
        })
    }
}

/// Messages of either type, since text is bytes, too.
impl FromMessage for Vec<u8> {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        Bytes::from_message(message).map(Into::into)
    }
}

/// A value as JSON: sent as a text message, received from a message of either type that holds nothing else.
/// With feature `json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoMessage for Json<T> {
    fn into_message(self) -> Result<Message, CodecError> {
        let text = serde_json::to_string(&self.0);
        Ok(text
            .map_err(|error| CodecError::Encode(error.to_string()))?
            .into())
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned> FromMessage for Json<T> {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        let value = serde_json::from_slice(message.as_bytes());
        Ok(Self(
            value.map_err(|error| CodecError::Decode(error.to_string()))?,
        ))
    }
}

/// A message that is sent uncompressed, whatever was agreed on compression: for secrets, which their
/// compressed length would give away (see [`DeflateOptions`](crate::extension::DeflateOptions)), and for data
/// that is already compressed. RFC 7692 §6.1 lets an endpoint choose for each message. (A message that
/// [`try_send`](super::Sender::try_send) gives back is no longer wrapped: wrap it again.)
///
/// ```
/// use wasocket::{Error, Uncompressed, WebSocket};
///
/// async fn greet(ws: WebSocket, token: String) -> Result<(), Error> {
///     ws.send(Uncompressed(token)).await
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncompressed<M>(pub M);

impl<M: IntoMessage> IntoMessage for Uncompressed<M> {
    fn into_message(self) -> Result<Message, CodecError> {
        self.0.into_message()
    }

    fn is_compressible(&self) -> bool {
        false
    }
}

/// Why a value cannot be sent as a message, or a message cannot be read as the requested value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// A binary message where text is required: the peer's fault.
    ExpectedText,
    /// The message does not hold the value, for this reason: the peer's fault. The text is for a log: it
    /// names the fields and variants that serde knows, so it is not sent to the peer as a close reason.
    Decode(String),
    /// The value cannot be encoded: the app's fault.
    Encode(String),
}

impl CodecError {
    /// The close code that tells the peer (RFC 6455 §7.4.1), if the app ends the connection because of this.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::ExpectedText => CloseCode::UNSUPPORTED_DATA,
            Self::Decode(_) => CloseCode::INVALID_PAYLOAD,
            Self::Encode(_) => CloseCode::INTERNAL_ERROR,
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpectedText => f.write_str("expected a text message"),
            Self::Decode(error) => write!(f, "the message cannot be read: {error}"),
            Self::Encode(error) => write!(f, "the value cannot be sent: {error}"),
        }
    }
}

impl core::error::Error for CodecError {}
