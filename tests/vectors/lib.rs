//! How an endpoint that echoes every message must respond to raw input, as data: the vectors of Wasocket, a
//! reader of their notation, and the comparison. `README.md` next to this file describes them.
//!
//! ```
//! let vectors = wasocket_vectors::frames();
//! let hello = &vectors[0];
//! assert_eq!(hello.name, "single-frame masked text");
//! assert_eq!(hello.bytes()[..2], [0x81, 0x85]);
//! // What came back from the endpoint under test:
//! assert_eq!(hello.compare(b"\x81\x05Hello", wasocket_vectors::Then::Open), Ok(()));
//! assert!(hello.compare(b"\x88\x02\x03\xe8", wasocket_vectors::Then::Closed).is_err());
//! ```

mod actions;
mod turns;

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

pub use actions::{ACTIONS, Action, ActionVector};
pub use turns::{Sequence, TURNS, Turns};

/// The opening handshakes, as data.
pub const HANDSHAKES: &str = include_str!("handshakes.json");

/// The opening handshakes of HTTP/2, as data.
pub const HTTP2_HANDSHAKES: &str = include_str!("http2.json");

/// The frame sequences, as data.
pub const FRAMES: &str = include_str!("frames.json");

/// The answers of apps of the event form.
#[must_use]
pub fn actions() -> Vec<ActionVector> {
    serde_json::from_str(ACTIONS).unwrap_or_default()
}

/// The calls into a taken-over connection.
#[must_use]
pub fn turns() -> Turns {
    serde_json::from_str(TURNS).unwrap_or_default()
}

/// Field lines.
pub type Fields = Vec<(String, Vec<u8>)>;

/// An opening handshake, and the answer it must get. Has a `request` or is `raw`.
#[derive(Clone, Debug, Deserialize)]
pub struct HandshakeVector {
    /// The subject.
    pub name: String,
    /// The RFC and the section that rules: `6455 4.2.1`.
    pub rfc: String,
    /// The lines of the head.
    #[serde(default)]
    pub request: Vec<String>,
    /// The parts of the bytes on the wire, where HTTP does not pass them on.
    #[serde(default)]
    pub raw: Vec<Value>,
    /// The statuses of the responses that come before, on the wire.
    #[serde(default)]
    pub interim: Vec<u16>,
    /// The status of the response.
    pub status: u16,
    /// Field lines that the response has.
    pub has: Vec<String>,
    /// Names of fields that the response lacks.
    pub lacks: Vec<String>,
}

/// Bytes sent after the handshake, and what must come back.
#[derive(Clone, Debug, Deserialize)]
pub struct FrameVector {
    /// The subject.
    pub name: String,
    /// The RFC and the section that rules: `6455 5.2`.
    pub rfc: String,
    /// Whether permessage-deflate is in use.
    #[serde(default)]
    pub deflate: bool,
    /// The bytes, in the notation of the vectors.
    pub send: String,
    /// The frames that come back, in the notation of the vectors.
    pub receive: Vec<String>,
    /// What becomes of the connection.
    pub then: Then,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// It stays open.
    Open,
    /// The server closes it.
    Closed,
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

/// All handshakes, for the socket.
#[must_use]
pub fn handshakes() -> Vec<HandshakeVector> {
    // Well-formed: see the tests below.
    serde_json::from_str(HANDSHAKES).unwrap_or_default()
}

/// The handshakes whose heads HTTP passes on.
pub fn parsed_handshakes() -> impl Iterator<Item = HandshakeVector> {
    let vectors = handshakes().into_iter();
    vectors.filter(|vector| vector.raw.is_empty())
}

/// All handshakes of HTTP/2 (RFC 8441): each has a `request`, to be [parsed](HandshakeVector::parse_http2).
#[must_use]
pub fn http2_handshakes() -> Vec<HandshakeVector> {
    serde_json::from_str(HTTP2_HANDSHAKES).unwrap_or_default()
}

/// The head of a request of HTTP/2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2Head {
    /// The pseudo-headers.
    pub method: String,
    /// `:path`.
    pub path: String,
    /// `:authority`, where there is one.
    pub authority: Option<String>,
    /// `:protocol`, where there is one.
    pub protocol: Option<String>,
    /// The others.
    pub fields: Fields,
}

/// All frame sequences.
#[must_use]
pub fn frames() -> Vec<FrameVector> {
    serde_json::from_str(FRAMES).unwrap_or_default()
}

/// A vector expects something else than what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The expectation, for a person.
    pub expected: String,
    /// What came back, for a person.
    pub received: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, received {}", self.expected, self.received)
    }
}

impl std::error::Error for Mismatch {}

impl HandshakeVector {
    /// The request head as it is on the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        if self.raw.is_empty() {
            return latin_1(&(self.request.join("\r\n") + "\r\n\r\n"));
        }
        self.raw.iter().flat_map(raw_part).collect()
    }

    /// The head of one of the [handshakes of HTTP/2](http2_handshakes), parsed.
    #[must_use]
    pub fn parse_http2(&self) -> Http2Head {
        let mut head = Http2Head::default();
        for line in &self.request {
            let (name, value) = line.rsplit_once(": ").unwrap_or((line, ""));
            match name {
                ":method" => head.method = value.to_owned(),
                ":path" => head.path = value.to_owned(),
                ":authority" => head.authority = Some(value.to_owned()),
                ":protocol" => head.protocol = Some(value.to_owned()),
                _ => head.fields.push((name.to_owned(), latin_1(value))),
            }
        }
        head
    }

    /// The head, parsed, which is easy, as it is well-formed: method, target, minor version of HTTP,
    /// fields.
    #[must_use]
    pub fn parse(&self) -> (String, String, u8, Fields) {
        let mut lines = self.request.iter();
        let mut parts = lines.next().map_or("", String::as_str).split(' ');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (method, target, version) = (part(), part(), part());
        let field = |line: &String| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), latin_1(value.trim_matches([' ', '\t'])))
        };
        let minor = u8::from(version == "HTTP/1.1");
        (method, target, minor, lines.map(field).collect())
    }

    /// Compares an answer with the one that the vector expects.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`]: the status, a field that it lacks, or one that it must not have.
    pub fn compare(&self, status: u16, fields: &Fields) -> Result<(), Mismatch> {
        let mismatch = |expected: String| {
            let lines = fields.iter();
            let lines =
                lines.map(|(name, value)| format!(", {name}: {}", String::from_utf8_lossy(value)));
            Err(Mismatch {
                expected,
                received: format!("status {status}{}", lines.collect::<String>()),
            })
        };
        if status != self.status {
            return mismatch(format!("status {}", self.status));
        }
        for line in &self.has {
            let (field, value) = line.split_once(": ").unwrap_or((line, ""));
            let found = fields.iter().any(|(own, own_value)| {
                own.eq_ignore_ascii_case(field) && own_value == value.as_bytes()
            });
            if !found {
                return mismatch(format!("the field {line}"));
            }
        }
        for field in &self.lacks {
            if fields
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(field))
            {
                return mismatch(format!("no field {field}"));
            }
        }
        Ok(())
    }

    /// Asserts that this is the answer the vector expects.
    ///
    /// # Panics
    ///
    /// If it is not: for tests.
    #[track_caller]
    pub fn check(&self, status: u16, fields: &Fields) {
        let Self { name, rfc, .. } = self;
        if let Err(mismatch) = self.compare(status, fields) {
            fail(&format!("{name} (RFC {rfc}): {mismatch}"));
        }
    }
}

/// A text, or a text and how many times it stands there.
fn raw_part(part: &Value) -> Vec<u8> {
    let count = part.get(1).and_then(Value::as_u64).unwrap_or(1);
    let text = part.get(0).unwrap_or(part).as_str().unwrap_or_default();
    latin_1(text).repeat(usize::try_from(count).unwrap_or_default())
}

/// ISO 8859-1: a character is one byte.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars()
        .filter_map(|char| u8::try_from(char).ok())
        .collect()
}

impl FrameVector {
    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        decode(&self.send).unwrap_or_default()
    }

    /// The frames that come back.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        let frames = self.receive.iter();
        frames.filter_map(|frame| Frame::parse(frame)).collect()
    }

    /// Compares what came back with what the vector expects.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`]: other frames, none at all, or another end.
    pub fn compare(&self, output: &[u8], then: Then) -> Result<(), Mismatch> {
        let received = Frame::read_all(output);
        if received.as_ref() == Ok(&self.frames()) && then == self.then {
            return Ok(());
        }
        Err(Mismatch {
            expected: describe(&self.frames(), self.then),
            received: match received {
                Ok(frames) => describe(&frames, then),
                Err(error) => format!("{error}, {then}"),
            },
        })
    }

    /// Asserts that this is what the vector expects. `how` says how the bytes were cut.
    ///
    /// # Panics
    ///
    /// If it is not: for tests.
    #[track_caller]
    pub fn check(&self, output: &[u8], then: Then, how: &str) {
        let Self { name, rfc, .. } = self;
        if let Err(mismatch) = self.compare(output, then) {
            fail(&format!("{name} (RFC {rfc}), {how}: {mismatch}"));
        }
    }
}

#[track_caller]
#[allow(clippy::panic, reason = "how a test fails")]
fn fail(text: &str) {
    panic!("{text}");
}

fn describe(frames: &[Frame], then: Then) -> String {
    let frames: Vec<_> = frames.iter().map(Frame::to_string).collect();
    match frames.is_empty() {
        true => format!("no frame, {then}"),
        false => format!("{}, {then}", frames.join(", ")),
    }
}

/// A frame as a client sees it; of a Close frame without the reason, which is free text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `text`, `binary`, `close`, `ping` or `pong`.
    pub opcode: &'static str,
    /// The payload; the code alone, of a Close frame.
    pub payload: Vec<u8>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 40;
        let Self { opcode, payload } = self;
        if let ("close", &[high, low]) = (*opcode, &payload[..]) {
            return write!(f, "close {}", u16::from_be_bytes([high, low]));
        }
        let start = payload.get(..MOST).unwrap_or(payload).escape_ascii();
        match payload.len() {
            0 => write!(f, "{opcode}"),
            1..=MOST => write!(f, "{opcode} '{start}'"),
            length => write!(f, "{opcode} '{start}'... of {length} bytes"),
        }
    }
}

const OPCODES: [(u8, &str); 5] = [
    (0x1, "text"),
    (0x2, "binary"),
    (0x8, "close"),
    (0x9, "ping"),
    (0xa, "pong"),
];

impl Frame {
    /// A frame in the notation of the vectors.
    fn parse(text: &str) -> Option<Self> {
        let (opcode, payload) = text.split_once(' ').unwrap_or((text, ""));
        let (_, opcode) = OPCODES.into_iter().find(|(_, name)| *name == opcode)?;
        let payload = match (opcode, payload) {
            (_, "") => vec![],
            ("close", code) => code.parse::<u16>().ok()?.to_be_bytes().into(),
            (_, payload) => decode(payload)?,
        };
        Some(Self { opcode, payload })
    }

    /// All frames of a server's output, which must end with a whole one.
    ///
    /// # Errors
    ///
    /// The part of the output that is no frame a server of the vectors sends.
    pub fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut frames = vec![];
        while !bytes.is_empty() {
            let (frame, size) = Self::read(bytes)?.ok_or_else(|| {
                let start = bytes.get(..16).unwrap_or(bytes);
                format!("an incomplete frame that begins with {start:02x?}")
            })?;
            frames.push(frame);
            bytes = bytes.get(size..).unwrap_or_default();
        }
        Ok(frames)
    }

    /// The frame at the beginning and its size on the wire. `None` if it is incomplete.
    ///
    /// # Errors
    ///
    /// The part that no server of the vectors sends: masks, fragments, reserved bits and opcodes.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        if second & 0x80 != 0 {
            return Err("a masked frame (RFC 6455 5.1)".to_owned());
        }
        let opcode = OPCODES.into_iter().find(|(bits, _)| first == 0x80 | bits);
        let (_, opcode) =
            opcode.ok_or_else(|| format!("a frame whose first byte is {first:#04x}"))?;
        Ok(payload(second, rest).map(|(payload, size)| {
            let mut payload = payload.to_vec();
            if opcode == "close" {
                payload.truncate(2);
            }
            (Self { opcode, payload }, 2 + size)
        }))
    }
}

/// The payload after the first two bytes of a frame, and where it ends. `None` if it is incomplete.
fn payload(second: u8, rest: &[u8]) -> Option<(&[u8], usize)> {
    let (length, at) = match second {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
        length => (u64::from(length), 0),
    };
    let end = usize::try_from(length).ok()?.checked_add(at)?;
    Some((rest.get(at..end)?, end))
}

/// Bytes in the notation of the vectors. `None` if the text breaks the notation.
fn decode(text: &str) -> Option<Vec<u8>> {
    let tokens: Option<Vec<_>> = text.split(' ').map(decode_token).collect();
    Some(tokens?.concat())
}

fn decode_token(token: &str) -> Option<Vec<u8>> {
    if let Some(ascii) = token.strip_prefix('\'') {
        return Some(ascii.strip_suffix('\'')?.into());
    }
    let (digits, count) = token.split_once('*').unwrap_or((token, "1"));
    let byte = |pair: &[u8]| match pair {
        [_, _] => u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    Some(bytes?.repeat(count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_well_formed() {
        let handshakes: Vec<HandshakeVector> =
            serde_json::from_str(HANDSHAKES).expect("handshakes.json");
        for HandshakeVector {
            name, request, has, ..
        } in &handshakes
        {
            let text = request.concat() + &has.concat();
            assert!(text.chars().all(|char| u32::from(char) < 256), "{name}");
            let mut lines = request.iter().skip(1).chain(has);
            assert!(lines.all(|line| line.contains(':')), "{name}");
        }
        assert!(
            handshakes
                .iter()
                .all(|v| v.raw.is_empty() != v.request.is_empty())
        );
        let frames: Vec<FrameVector> = serde_json::from_str(FRAMES).expect("frames.json");
        for vector in &frames {
            let name = &vector.name;
            assert!(
                decode(&vector.send).is_some_and(|bytes| !bytes.is_empty()),
                "{name}"
            );
            assert_eq!(vector.frames().len(), vector.receive.len(), "{name}");
        }
        assert!(handshakes.len() > 300 && frames.len() > 100);
        let http2: Vec<HandshakeVector> =
            serde_json::from_str(HTTP2_HANDSHAKES).expect("http2.json");
        assert!(http2.iter().all(|v| !v.parse_http2().path.is_empty()));
        assert!(http2.len() > 20);
        let turns: Turns = serde_json::from_str(TURNS).expect("turns.json");
        let mut rows = turns.transitions.iter();
        assert!(rows.all(|(state, ..)| turns.states.contains_key(state)));
        assert!(turns.transitions.len() > 150 && turns.sequences.len() > 15);
    }

    #[test]
    fn frames_are_read() {
        let frames = Frame::read_all(b"\x81\x02hi\x88\x05\x03\xe8bye\x8a\0");
        let frames = frames.expect("three frames");
        let shown: Vec<_> = frames.iter().map(Frame::to_string).collect();
        assert_eq!(shown, ["text 'hi'", "close 1000", "pong"]);
        assert_eq!(Frame::read(b"\x82\x7e\0"), Ok(None));
        assert!(Frame::read(b"\x82\x80\0\0\0\0").is_err());
        assert!(Frame::read(b"\xc1\x00").is_err());
        assert!(Frame::read_all(b"\x81\x02h").is_err());
    }
}
