/// The type of a frame (RFC 6455 §5.2, §11.8). Values not listed are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Another fragment of the message in progress.
    Continuation = 0x0,
    /// The first or only fragment of a text message.
    Text = 0x1,
    /// The first or only fragment of a binary message.
    Binary = 0x2,
    /// The closing handshake (§5.5.1).
    Close = 0x8,
    /// A request for a pong (§5.5.2).
    Ping = 0x9,
    /// The answer to a ping, or a unidirectional heartbeat (§5.5.3).
    Pong = 0xA,
}

impl Opcode {
    /// The opcode with these four bits; `None` if they are reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// The four bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether the frame is a control frame: the highest bit is set (RFC 6455 §5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}
