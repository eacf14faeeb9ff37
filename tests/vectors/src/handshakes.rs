//! Opening handshakes, as data: `handshakes.json` and `http2.json`.

use serde::Deserialize;
use serde_json::Value;

use crate::Fields;
use crate::mismatch::{Mismatch, fail};
use crate::notation::latin_1;

/// The opening handshakes, as data.
pub const HANDSHAKES: &str = include_str!("../handshakes.json");

/// The opening handshakes of HTTP/2, as data.
pub const HTTP2_HANDSHAKES: &str = include_str!("../http2.json");

/// An opening handshake, and the answer it must get. Has a `request` or is `raw`.
#[derive(Clone, Debug, Deserialize)]
pub struct HandshakeVector {
    /// The subject.
    pub name: String,
    /// The RFC and the section with the rule: `6455 4.2.1`.
    pub rfc: String,
    /// The lines of the head.
    #[serde(default)]
    pub request: Vec<String>,
    /// The bytes on the wire, in parts, if the head is not well-formed HTTP.
    #[serde(default)]
    pub raw: Vec<Value>,
    /// The statuses of the interim responses before it, on the wire.
    #[serde(default)]
    pub interim: Vec<u16>,
    /// The status of the response.
    pub status: u16,
    /// Field lines that the response has.
    pub has: Vec<String>,
    /// Names of fields that the response lacks.
    pub lacks: Vec<String>,
}

/// All handshakes, to be sent over a socket.
#[must_use]
pub fn handshakes() -> Vec<HandshakeVector> {
    // Well-formed: a test of the crate holds this.
    serde_json::from_str(HANDSHAKES).unwrap_or_default()
}

/// The handshakes whose heads are well-formed HTTP.
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
    /// `:authority`, if there is one.
    pub authority: Option<String>,
    /// `:protocol`, if there is one.
    pub protocol: Option<String>,
    /// The others.
    pub fields: Fields,
}

impl HandshakeVector {
    /// The request head on the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        if self.raw.is_empty() {
            return latin_1(&(self.request.join("\r\n") + "\r\n\r\n"));
        }
        self.raw.iter().flat_map(raw_part).collect()
    }

    /// Parses the head of one of the [handshakes of HTTP/2](http2_handshakes).
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

    /// Parses the head, which is well-formed: method, target, minor version of HTTP, fields.
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

/// A text, or a text and how often it is repeated.
fn raw_part(part: &Value) -> Vec<u8> {
    let count = part.get(1).and_then(Value::as_u64).unwrap_or(1);
    let text = part.get(0).unwrap_or(part).as_str().unwrap_or_default();
    latin_1(text).repeat(usize::try_from(count).unwrap_or_default())
}
