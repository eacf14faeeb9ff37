use alloc::string::String;
use core::{fmt, str};

use super::frame::MAX_CONTROL_PAYLOAD;
use super::{ProtocolError, UsageError};

/// Why a connection closes (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint is going away, such as a server that stops or a page that the user leaves.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: data of a type that the endpoint cannot accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message violates the endpoint's policy, and no other code fits.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client needs an extension that the server did not negotiate.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server cannot go on.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server is restarting, and the client may reconnect (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway received an invalid response from upstream (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// A code that may be sent in a Close frame.
    ///
    /// # Errors
    ///
    /// [`UsageError::InvalidCloseCode`] for all others.
    pub const fn new(code: u16) -> Result<Self, UsageError> {
        match code {
            // RFC 6455 §7.4.1 and the IANA registry: 1004 is reserved; 1005, 1006 and 1015 "MUST NOT
            // be set as a status code in a Close control frame". §7.4.2: 3000-3999 are registered by
            // libraries and applications, 4000-4999 are private, all others are not in use.
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(UsageError::InvalidCloseCode(code)),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The content of a Close frame: a code, and a reason that may be empty (RFC 6455 §5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The code.
    pub code: CloseCode,
    /// The reason, at most 123 bytes; meant for a log or a developer, not for end users.
    pub reason: String,
}

impl CloseReason {
    /// The part of a reason that fits into a Close frame, cut between two characters.
    pub(crate) fn cut(reason: &str) -> &str {
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less", and two are the code.
        const MAX: usize = MAX_CONTROL_PAYLOAD - 2;
        reason
            .get(..reason.floor_char_boundary(MAX))
            .unwrap_or_default()
    }

    /// Reads the payload of a Close frame; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// A payload of one byte, a code that must not be sent, a reason that is not UTF-8.
    pub fn decode(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        // RFC 6455 §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
        // unsigned integer (in network byte order)", then UTF-8.
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseCodeTruncated),
            &[high, low, ref reason @ ..] => (u16::from_be_bytes([high, low]), reason),
        };
        let code = CloseCode::new(code).map_err(|_| ProtocolError::InvalidCloseCode(code))?;
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Some(Self {
            code,
            reason: reason.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_allowed_on_the_wire() {
        let allowed = |code| CloseCode::new(code).is_ok();
        for code in [1000, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
            assert!(allowed(code), "{code}");
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535,
        ] {
            assert!(!allowed(code), "{code}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let cut = |reason: &str| CloseReason::cut(reason).len();
        assert_eq!(cut(&"x".repeat(123)), 123);
        assert_eq!(cut(&"x".repeat(124)), 123);
        assert_eq!(cut(&"ä".repeat(62)), 122);
        assert_eq!(cut(&"💥".repeat(40)), 120);
    }

    #[test]
    fn payloads() {
        assert_eq!(CloseReason::decode(b""), Ok(None));
        assert_eq!(
            CloseReason::decode(b"\x03\xe8bye"),
            Ok(Some(CloseReason {
                code: CloseCode::NORMAL,
                reason: "bye".into()
            }))
        );
        for (payload, error) in [
            (&b"\x03"[..], ProtocolError::CloseCodeTruncated),
            (b"\x03\xed", ProtocolError::InvalidCloseCode(1005)),
            (b"\x03\xe8\xff", ProtocolError::InvalidUtf8),
        ] {
            assert_eq!(CloseReason::decode(payload), Err(error));
        }
    }
}
