use alloc::string::String;
#[cfg(feature = "json")]
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use crate::protocol::{CloseCode, Message};

/// What can be sent as a message.
pub trait IntoMessage {
    /// The message.
    ///
    /// # Errors
    ///
    /// [`CodecError`] when the value has no form as a message. Nothing is sent then.
    fn into_message(self) -> Result<Message, CodecError>;

    /// Whether the message may be compressed, where that was agreed on. True unless implemented otherwise:
    /// see [`Uncompressed`].
    fn is_compressible(&self) -> bool {
        true
    }
}

/// What a message can be received as.
pub trait FromMessage: Sized {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`CodecError`] when the message is none of these. The connection stays open.
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

/// Messages of either type: text is bytes, too.
impl FromMessage for Bytes {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        Ok(match message {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
        })
    }
}

/// Messages of either type: text is bytes, too.
impl FromMessage for Vec<u8> {
    fn from_message(message: Message) -> Result<Self, CodecError> {
        Bytes::from_message(message).map(Into::into)
    }
}

/// A value as JSON: sent as a text message, received from a message of either type, which holds the
/// value and nothing else. With feature `json`.
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

/// A message that is sent as it is, whatever was agreed on compression: for secrets, whose length after
/// compression would tell of them (see [`DeflateOptions`](crate::extension::DeflateOptions)), and for what is
/// compressed already. RFC 7692 §6.1 lets an endpoint choose for each message. (A message that
/// [`try_send`](super::Sender::try_send) gives back is not marked: it is to be wrapped again.)
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

/// Why a value is no message, or a message not the value that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// A binary message where only text will do: the peer's fault.
    ExpectedText,
    /// The message does not hold the value, and this says why: the peer's fault. For a log; serde's text
    /// names the fields and variants that it knows, and so the peer is not sent it as a close reason.
    Decode(String),
    /// The value cannot be encoded: the app's fault.
    Encode(String),
}

impl CodecError {
    /// The close code that tells the peer (RFC 6455 §7.4.1), should the app end the connection for it.
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
