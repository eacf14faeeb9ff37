use core::fmt;

use super::CloseCode;

/// A rule of the framing that the peer broke. It fails the connection (RFC 6455 §7.1.7): a Close
/// frame with [`close_code`](Self::close_code) and this error's text goes out, then the socket closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set and no extension gives it a meaning (§5.2).
    ReservedBits,
    /// An opcode that is reserved (§5.2).
    ReservedOpcode(u8),
    /// A control frame with FIN 0 (§5.5).
    FragmentedControlFrame,
    /// A control frame with a payload of more than 125 bytes (§5.5).
    ControlFrameTooLong,
    /// A frame from a client without a masking key (§5.1).
    UnmaskedFrame,
    /// A frame from a server with a masking key (§5.1).
    MaskedFrame,
    /// A 64-bit payload length with its highest bit set (§5.2).
    LengthTopBit,
    /// A payload length in a longer form than it needs (§5.2).
    LengthNotMinimal,
    /// A continuation frame while no message is in progress (§5.4).
    UnexpectedContinuation,
    /// A text or binary frame inside the fragments of another message (§5.4).
    ExpectedContinuation,
    /// A Close frame with a payload of one byte (§5.5.1).
    CloseCodeTruncated,
    /// A close code that must not be sent (§7.4).
    InvalidCloseCode(u16),
    /// Text that is not UTF-8, in a message or in a close reason (§8.1).
    InvalidUtf8,
    /// A message longer than [`Limits::max_message_size`](crate::Limits::max_message_size), or a frame
    /// longer than [`Limits::max_frame_size`](crate::Limits::max_frame_size) (§10.4).
    MessageTooBig,
    /// A message with more fragments than [`Limits::max_fragments`](crate::Limits::max_fragments) (§10.4).
    TooManyFragments,
    /// More messages than [`Limits::max_messages_per_second`](crate::Limits::max_messages_per_second) (§10.4).
    TooManyMessages,
    /// A compressed message that is not what its extension defines: DEFLATE data that is invalid, ends too
    /// early, or consists almost entirely of final blocks (RFC 7692 §7.2.2).
    InvalidCompression,
}

impl ProtocolError {
    /// The close code that tells the peer (RFC 6455 §7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            // RFC 7692 names no code; §7.4.1: data "not consistent with the type of the message".
            Self::InvalidUtf8 | Self::InvalidCompression => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig => CloseCode::MESSAGE_TOO_BIG,
            // §7.4.1: 1008 is for a message that "violates its policy", where no other code is more suitable.
            Self::TooManyFragments | Self::TooManyMessages => CloseCode::POLICY_VIOLATION,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBits => "reserved bits set without an extension",
            Self::ReservedOpcode(opcode) => return write!(f, "reserved opcode {opcode:#x}"),
            Self::FragmentedControlFrame => "fragmented control frame",
            Self::ControlFrameTooLong => "control frame longer than 125 bytes",
            Self::UnmaskedFrame => "frame without a masking key",
            Self::MaskedFrame => "frame with a masking key",
            Self::LengthTopBit => "payload length of 2^63 or more",
            Self::LengthNotMinimal => "payload length not in its shortest form",
            Self::UnexpectedContinuation => "continuation without a message",
            Self::ExpectedContinuation => "new message inside a fragmented message",
            Self::CloseCodeTruncated => "close code of one byte",
            Self::InvalidCloseCode(code) => return write!(f, "invalid close code {code}"),
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::MessageTooBig => "message too big",
            Self::TooManyFragments => "message of too many fragments",
            Self::TooManyMessages => "too many messages in a second",
            Self::InvalidCompression => "compressed message is not valid DEFLATE data",
        })
    }
}

impl core::error::Error for ProtocolError {}

/// A call that the state of the connection, or the protocol, does not allow: the caller's mistake.
/// Nothing has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// The connection is closing or closed; nothing more can be sent on it.
    NotOpen,
    /// The payload of a ping or pong is longer than 125 bytes (RFC 6455 §5.5).
    PingTooLong,
    /// A close code that must not be sent (RFC 6455 §7.4).
    InvalidCloseCode(u16),
    /// Another message is being sent in fragments and has to end first (RFC 6455 §5.4).
    MessageUnderWay,
    /// No message is being sent in fragments.
    NoMessage,
    /// Text that is sent in fragments is not UTF-8 (RFC 6455 §8.1).
    InvalidUtf8,
    /// The reader's message has been abandoned: the next one has been requested since.
    Superseded,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("the connection is closing or closed"),
            Self::PingTooLong => f.write_str("a ping or pong carries at most 125 bytes"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::MessageUnderWay => f.write_str("another message is being sent in fragments"),
            Self::NoMessage => f.write_str("no message is being sent in fragments"),
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::Superseded => f.write_str("the next message has been asked for since"),
        }
    }
}

impl core::error::Error for UsageError {}
