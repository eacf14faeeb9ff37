//! Reads the vectors (see README.md beside this file) and compares.
#![allow(dead_code, reason = "each test that includes this module uses a part")]

use serde::Deserialize;
use serde_json::Value;

/// Field lines.
pub type Fields = Vec<(String, Vec<u8>)>;

/// Has a `request` or is `raw`.
#[derive(Deserialize)]
pub struct HandshakeVector {
    pub name: String,
    pub rfc: String,
    #[serde(default)]
    pub request: Vec<String>,
    #[serde(default)]
    pub raw: Vec<Value>,
    #[serde(default)]
    pub interim: Vec<u16>,
    pub status: u16,
    pub has: Vec<String>,
    pub lacks: Vec<String>,
}

#[derive(Deserialize)]
pub struct FrameVector {
    pub name: String,
    pub rfc: String,
    /// Whether permessage-deflate is in use.
    #[serde(default)]
    pub deflate: bool,
    pub send: String,
    pub receive: Vec<String>,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    Open,
    Closed,
}

/// All handshakes, for the socket.
pub fn handshakes() -> Vec<HandshakeVector> {
    serde_json::from_str(include_str!("handshakes.json")).expect("handshakes.json is well-formed")
}

/// The handshakes whose heads HTTP passes on, for what is behind HTTP.
pub fn parsed_handshakes() -> impl Iterator<Item = HandshakeVector> {
    let vectors = handshakes().into_iter();
    vectors.filter(|vector| vector.raw.is_empty())
}

pub fn frames() -> Vec<FrameVector> {
    serde_json::from_str(include_str!("frames.json")).expect("frames.json is well-formed")
}

impl HandshakeVector {
    /// The request head as it is on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        if self.raw.is_empty() {
            return latin_1(&(self.request.join("\r\n") + "\r\n\r\n"));
        }
        self.raw.iter().flat_map(raw_part).collect()
    }

    /// The head, parsed, which is easy, as it is well-formed: method, target, minor version of HTTP,
    /// fields.
    pub fn parse(&self) -> (String, String, u8, Fields) {
        let (request_line, fields) = self.request.split_first().expect("a request line");
        let mut parts = request_line.split(' ');
        let mut part = || parts.next().expect("a request line").to_owned();
        let (method, target, version) = (part(), part(), part());
        let field = |line: &String| {
            let (name, value) = line.split_once(':').expect("a field line");
            (name.to_owned(), latin_1(value.trim_matches([' ', '\t'])))
        };
        let minor = u8::from(version == "HTTP/1.1");
        (method, target, minor, fields.iter().map(field).collect())
    }

    /// Asserts that this is the answer the vector expects.
    pub fn check(&self, status: u16, fields: &Fields) {
        let Self { name, rfc, .. } = self;
        assert_eq!(status, self.status, "{name} (RFC {rfc}): {fields:?}");
        for line in &self.has {
            let (field, value) = line.split_once(": ").expect("a field line");
            let found = fields.iter().any(|(own, own_value)| {
                own.eq_ignore_ascii_case(field) && own_value == value.as_bytes()
            });
            assert!(found, "{name} (RFC {rfc}): no {line:?} in {fields:?}");
        }
        for field in &self.lacks {
            let found = fields
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(field));
            assert!(!found, "{name} (RFC {rfc}): {field:?} in {fields:?}");
        }
    }
}

/// A text, or a text and how many times it stands there.
fn raw_part(part: &Value) -> Vec<u8> {
    let count = part
        .get(1)
        .map_or(1, |count| count.as_u64().expect("a count"));
    let text = part.get(0).unwrap_or(part).as_str().expect("a text");
    latin_1(text).repeat(usize::try_from(count).expect("a count in memory"))
}

/// ISO 8859-1: a character is one byte.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|char| u8::try_from(char).expect("a character is one byte"))
        .collect()
}

impl FrameVector {
    /// The bytes to send.
    pub fn bytes(&self) -> Vec<u8> {
        decode(&self.send)
    }

    /// Asserts that this is what the vector expects.
    pub fn check(&self, output: &[u8], then: Then, how: &str) {
        let Self { name, rfc, .. } = self;
        let expected: Vec<Frame> = self
            .receive
            .iter()
            .map(|frame| Frame::parse(frame))
            .collect();
        let received = Frame::read_all(output);
        assert!(
            received == expected && then == self.then,
            "{name} (RFC {rfc}), {how}: expected {:?} and {:?}, received {received:?} and {then:?}",
            self.receive,
            self.then,
        );
    }
}

/// A frame as a client sees it; of a Close frame without the reason, which is free text.
#[derive(PartialEq, Eq)]
pub struct Frame {
    pub opcode: &'static str,
    pub payload: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.payload[..self.payload.len().min(20)];
        write!(f, "{} of {}: {start:02x?}", self.opcode, self.payload.len())
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
    fn parse(text: &str) -> Self {
        let (opcode, payload) = text.split_once(' ').unwrap_or((text, ""));
        let (_, opcode) = OPCODES
            .into_iter()
            .find(|(_, name)| *name == opcode)
            .expect("an opcode");
        let payload = match (opcode, payload) {
            ("close", "") => vec![],
            ("close", code) => code.parse::<u16>().expect("a code").to_be_bytes().into(),
            (_, payload) => decode(payload),
        };
        Self { opcode, payload }
    }

    /// All frames of a server's output, which must end with a whole one.
    pub fn read_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut frames = vec![];
        while !bytes.is_empty() {
            let (frame, size) = Self::read(bytes).expect("output ends with a whole frame");
            frames.push(frame);
            bytes = &bytes[size..];
        }
        frames
    }

    /// The frame at the beginning and its size on the wire; none where it is incomplete.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        assert!(second & 0x80 == 0, "a server does not mask (RFC 6455 5.1)");
        let (length, at) = match second {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            length => (u64::from(length), 0),
        };
        let length = usize::try_from(length).expect("a length in memory");
        let mut payload = rest.get(at..at + length)?.to_vec();
        let (_, opcode) = OPCODES
            .into_iter()
            .find(|(bits, _)| first == 0x80 | bits)
            .unwrap_or_else(|| panic!("first byte {first:#x}"));
        if opcode == "close" {
            payload.truncate(2);
        }
        Some((Self { opcode, payload }, 2 + at + length))
    }
}

/// Bytes in the notation of the vectors.
fn decode(text: &str) -> Vec<u8> {
    text.split(' ').flat_map(decode_token).collect()
}

fn decode_token(token: &str) -> Vec<u8> {
    if let Some(ascii) = token.strip_prefix('\'') {
        let ascii = ascii.strip_suffix('\'').expect("a closing quote");
        return ascii.into();
    }
    let (digits, count) = token.split_once('*').unwrap_or((token, "1"));
    let bytes: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("two digits")
        })
        .collect();
    bytes.repeat(count.parse().expect("a count"))
}
