//! The framing of `application/websocket-events`: `TYPE SP length-in-hex CRLF content CRLF`, or `TYPE CRLF`
//! without content.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

/// An event on a WebSocket that a proxy holds, or one to make happen; borrowed from the body of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireEvent<'a> {
    /// A client asks for a WebSocket; in a response: the WebSocket is accepted.
    Open,
    /// A text message, not known to be UTF-8.
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, with its payload.
    Ping(&'a [u8]),
    /// A pong, with its payload.
    Pong(&'a [u8]),
    /// A Close frame, with its payload (RFC 6455 §5.5.1).
    Close(&'a [u8]),
    /// The client left without a Close frame.
    Disconnect,
}

impl<'a> WireEvent<'a> {
    /// Reads all events of a body strictly, so that only one reading is possible.
    ///
    /// # Errors
    ///
    /// The first thing that breaks the framing, or has another type.
    pub fn decode_all(mut body: &'a [u8]) -> Result<Vec<Self>, WireError> {
        let mut events = Vec::new();
        while !body.is_empty() {
            let (event, rest) = Self::decode(body)?;
            events.push(event);
            body = rest;
        }
        Ok(events)
    }

    /// Reads the first event, and returns it with the rest.
    fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), WireError> {
        let (line, rest) = line(bytes)?;
        let mut parts = line.splitn(2, |byte| *byte == b' ');
        let name = parts.next().unwrap_or_default();
        let (content, rest) = match parts.next() {
            Some(length) => content(length, rest)?,
            None => (&[][..], rest),
        };
        Ok((Self::new(name, content)?, rest))
    }

    fn new(name: &[u8], content: &'a [u8]) -> Result<Self, WireError> {
        Ok(match name {
            b"TEXT" => Self::Text(content),
            b"BINARY" => Self::Binary(content),
            b"PING" => Self::Ping(content),
            b"PONG" => Self::Pong(content),
            b"CLOSE" => Self::Close(content),
            b"OPEN" | b"DISCONNECT" if !content.is_empty() => return Err(WireError::Content),
            b"OPEN" => Self::Open,
            b"DISCONNECT" => Self::Disconnect,
            _ => return Err(WireError::Type),
        })
    }

    /// Appends the event to `body`.
    pub fn encode(&self, body: &mut Vec<u8>) {
        let (name, content) = match *self {
            Self::Open => ("OPEN", None),
            Self::Disconnect => ("DISCONNECT", None),
            Self::Text(content) => ("TEXT", Some(content)),
            Self::Binary(content) => ("BINARY", Some(content)),
            // RFC 6455 §5.5: a control frame may be empty.
            Self::Ping(content) => ("PING", unless_empty(content)),
            Self::Pong(content) => ("PONG", unless_empty(content)),
            Self::Close(content) => ("CLOSE", unless_empty(content)),
        };
        body.extend_from_slice(name.as_bytes());
        if let Some(content) = content {
            body.extend_from_slice(format!(" {:x}\r\n", content.len()).as_bytes());
            body.extend_from_slice(content);
        }
        body.extend_from_slice(b"\r\n");
    }
}

fn unless_empty(content: &[u8]) -> Option<&[u8]> {
    (!content.is_empty()).then_some(content)
}

/// The line up to its CRLF, and the rest. The longest has a type and a length of 8 digits.
fn line(bytes: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    const LONGEST: usize = 32;
    let start = bytes.get(..LONGEST).unwrap_or(bytes);
    let end = start.windows(2).position(|two| two == b"\r\n");
    let (line, rest) = bytes
        .split_at_checked(end.ok_or(WireError::Line)?)
        .ok_or(WireError::Line)?;
    Ok((line, rest.get(2..).unwrap_or_default()))
}

/// The content of this length, and the rest after its CRLF.
fn content<'a>(length: &[u8], bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let (content, rest) = bytes
        .split_at_checked(hexadecimal(length)?)
        .ok_or(WireError::Truncated)?;
    let rest = rest.strip_prefix(b"\r\n").ok_or(WireError::Truncated)?;
    Ok((content, rest))
}

/// 1 to 8 hexadecimal digits and nothing else: no sign, no `0x`, no white space.
fn hexadecimal(digits: &[u8]) -> Result<usize, WireError> {
    if digits.is_empty() || digits.len() > 8 {
        return Err(WireError::Length);
    }
    let mut number = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(16).ok_or(WireError::Length)?;
        number = number << 4 | u64::from(digit);
    }
    usize::try_from(number).map_err(|_| WireError::Length)
}

/// How a body breaks the framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// A line that does not end, or is too long.
    Line,
    /// A type that the protocol does not have.
    Type,
    /// A length that is not 1 to 8 hexadecimal digits.
    Length,
    /// Less content than the length says, or no CRLF after it.
    Truncated,
    /// Content where none is allowed.
    Content,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "an event's line does not end",
            Self::Type => "an event's type is unknown",
            Self::Length => "an event's length is not hexadecimal",
            Self::Truncated => "an event's content is not as long as it says",
            Self::Content => "OPEN and DISCONNECT have no content",
        })
    }
}

impl core::error::Error for WireError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn events_as_the_protocol_writes_them() {
        let body =
            b"OPEN\r\nTEXT 5\r\nhello\r\nBINARY 2\r\n\r\n\r\nTEXT 0\r\n\r\nPING\r\nPONG 1\r\nx\r\n\
            CLOSE 2\r\n\x03\xe8\r\nCLOSE\r\nDISCONNECT\r\n";
        let events = [
            WireEvent::Open,
            WireEvent::Text(b"hello"),
            WireEvent::Binary(b"\r\n"),
            WireEvent::Text(b""),
            WireEvent::Ping(b""),
            WireEvent::Pong(b"x"),
            WireEvent::Close(b"\x03\xe8"),
            WireEvent::Close(b""),
            WireEvent::Disconnect,
        ];
        assert_eq!(WireEvent::decode_all(body), Ok(events.to_vec()));
        assert_eq!(WireEvent::decode_all(b""), Ok(vec![]));
        assert_eq!(
            WireEvent::decode_all(b"TEXT 00000A\r\n0123456789\r\n"),
            Ok(vec![WireEvent::Text(b"0123456789")])
        );
    }

    #[test]
    fn refuses_broken_framing() {
        for (body, error) in [
            (&b"OPEN"[..], WireError::Line),
            (b"OPEN\n", WireError::Line),
            (b"OPEN\r", WireError::Line),
            (b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", WireError::Line),
            (b"\r\n", WireError::Type),
            (b"open\r\n", WireError::Type),
            (b"JOIN 2\r\nhi\r\n", WireError::Type),
            (b" OPEN\r\n", WireError::Length),
            (b"TEXT \r\n\r\n", WireError::Length),
            (b"TEXT  2\r\nhi\r\n", WireError::Length),
            (b"TEXT 2 \r\nhi\r\n", WireError::Length),
            (b"TEXT +2\r\nhi\r\n", WireError::Length),
            (b"TEXT -2\r\nhi\r\n", WireError::Length),
            (b"TEXT 0x2\r\nhi\r\n", WireError::Length),
            (b"TEXT g\r\nhi\r\n", WireError::Length),
            (b"TEXT 000000002\r\nhi\r\n", WireError::Length),
            (b"TEXT 2\r\nh", WireError::Truncated),
            (b"TEXT 2\r\nhi", WireError::Truncated),
            (b"TEXT 2\r\nhi\r", WireError::Truncated),
            (b"TEXT 1\r\nhi\r\n", WireError::Truncated),
            (b"TEXT ffffffff\r\nhi\r\n", WireError::Truncated),
            (b"OPEN 1\r\nx\r\n", WireError::Content),
            (b"DISCONNECT 1\r\nx\r\n", WireError::Content),
        ] {
            assert_eq!(WireEvent::decode_all(body), Err(error), "{body:?}");
        }
    }

    fn owned() -> impl Strategy<Value = (u8, Vec<u8>)> {
        (0..7_u8, proptest::collection::vec(any::<u8>(), 0..300))
    }

    fn event((kind, content): &(u8, Vec<u8>)) -> WireEvent<'_> {
        match kind {
            0 => WireEvent::Open,
            1 => WireEvent::Text(content),
            2 => WireEvent::Binary(content),
            3 => WireEvent::Ping(content),
            4 => WireEvent::Pong(content),
            5 => WireEvent::Close(content),
            _ => WireEvent::Disconnect,
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(events in proptest::collection::vec(owned(), 0..20)) {
            let events: Vec<_> = events.iter().map(event).collect();
            let mut body = Vec::new();
            events.iter().for_each(|event| event.encode(&mut body));
            prop_assert_eq!(WireEvent::decode_all(&body), Ok(events));
            // Only prefixes that end with an event can be read.
            if let Some((_, cut)) = body.split_last() {
                prop_assert!(WireEvent::decode_all(cut).is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = WireEvent::decode_all(&body);
        }

        /// Bytes that look like events: writing what was read, and reading it again, gives the same.
        #[test]
        fn reading_is_stable(body in "((OPEN|TEXT|BINARY|CLOSE|PING)( [0-9a-f]{1,2})?\r\n[a-z]{0,6}(\r\n)?){0,6}") {
            if let Ok(events) = WireEvent::decode_all(body.as_bytes()) {
                let mut again = Vec::new();
                events.iter().for_each(|event| event.encode(&mut again));
                prop_assert_eq!(WireEvent::decode_all(&again), Ok(events));
            }
        }
    }
}
