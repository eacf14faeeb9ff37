//! Answers of components: checked before any byte is sent, and written.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::fields::{Field, has, is_value, token};
use super::framing::closes;
use super::limits::{MAX_FINAL_BYTES, MAX_RESPONSE_FIELDS};
use super::refusal::Refusal;

/// Checks the head of a final response.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets [its refusal](BadAnswer::refusal) instead.
pub fn check_response(status: u16, fields: &[Field]) -> Result<(), BadAnswer> {
    match status {
        200..=599 => check_fields(fields),
        _ => Err(BadAnswer::Status(status)),
    }
}

/// Checks a takeover, and writes the head that it begins with: empty for a raw one. `response` is its
/// status and fields; [`expects_continue`](super::Framing::expects_continue) is the request's.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets [its refusal](BadAnswer::refusal) instead.
pub fn takeover_head(
    response: Option<(u16, &[Field])>,
    final_bytes: &[u8],
    expects_continue: bool,
) -> Result<Vec<u8>, BadAnswer> {
    if final_bytes.len() > MAX_FINAL_BYTES {
        return Err(BadAnswer::FinalBytes(final_bytes.len()));
    }
    let Some((status, fields)) = response else {
        return Ok(Vec::new());
    };
    let mut head = switching_protocols(status, fields)?;
    if expects_continue {
        head.splice(..0, *CONTINUE);
    }
    Ok(head)
}

const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Checks and writes the head of a 101, with exactly these fields: RFC 9110 §6.6.1 does not ask for a
/// `Date` in a 1xx response, and §8.6 forbids `Content-Length` there.
///
/// # Errors
///
/// A [`BadAnswer`].
pub fn switching_protocols(status: u16, fields: &[Field]) -> Result<Vec<u8>, BadAnswer> {
    if status != 101 {
        return Err(BadAnswer::Status(status));
    }
    check_fields(fields)?;
    let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    write_fields(&mut bytes, fields);
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}

fn check_fields(fields: &[Field]) -> Result<(), BadAnswer> {
    if fields.len() > MAX_RESPONSE_FIELDS {
        return Err(BadAnswer::TooManyFields);
    }
    fields.iter().try_for_each(check_field)
}

/// RFC 9110 §5.1: "field-name = token". §5.5 has the rules for values.
fn check_field((name, value): &Field) -> Result<(), BadAnswer> {
    if token(name.as_bytes()).is_none() || !is_value(value) {
        return Err(BadAnswer::Field(name.to_owned()));
    }
    // The host frames the message; conflicting lengths are how requests are smuggled. And it sends no trailers, which
    // RFC 9110 §6.6.2 has `Trailer` announce.
    let framing = ["content-length", "trailer", "transfer-encoding"];
    if framing.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(BadAnswer::Framing(name.to_owned()));
    }
    Ok(())
}

fn write_fields(bytes: &mut Vec<u8>, fields: &[Field]) {
    for (name, value) in fields {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
}

/// A final response that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// All fields except `Date` and those that frame the message.
    pub fields: Vec<Field>,
    /// The body; not sent in response to HEAD.
    pub body: Vec<u8>,
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        Self {
            status: refusal.status,
            fields: [
                field("Content-Type", "text/plain"),
                field("Connection", "close"),
            ]
            .into(),
            body: format!("{}\n", refusal.reason).into_bytes(),
        }
    }
}

impl Response {
    /// Whether the connection ends with it (RFC 9112 §9.6).
    #[must_use]
    pub fn closes(&self) -> bool {
        closes(&self.fields)
    }

    /// Makes the connection end with it.
    pub fn close(&mut self) {
        if !self.closes() {
            let close = ("Connection".to_owned(), b"close".to_vec());
            self.fields.push(close);
        }
    }

    /// The bytes to send. `date` is the current date, if known; `to_head` is whether the request was a HEAD.
    ///
    /// The status line has no reason phrase, which is optional (RFC 9112 §4).
    #[must_use]
    pub fn to_bytes(&self, date: Option<&str>, to_head: bool) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} \r\n", self.status).into_bytes();
        write_fields(&mut bytes, &self.fields);
        // RFC 9110 §6.6.1: an origin server with a clock must send a date.
        if let Some(date) = date.filter(|_| !has(&self.fields, "date")) {
            bytes.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
        }
        let body = self.content();
        if let Some(body) = body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body.filter(|_| !to_head).unwrap_or_default());
        bytes
    }

    /// The body, if its length is to be announced. RFC 9110 §8.6: no `Content-Length` in a 204; §15.3.6 and
    /// §15.4.5: no content in a 205 and in a 304, where a length would be that of another response.
    fn content(&self) -> Option<&[u8]> {
        match self.status {
            204 | 304 => None,
            205 => Some(&[]),
            _ => Some(&self.body),
        }
    }
}

/// An answer of a component that breaks the contract, or HTTP.
///
/// Only that request fails: the component broke a rule of HTTP, not of WebAssembly, and the instance's other
/// connections are not involved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadAnswer {
    /// The status is not 200 to 599 in a response, or not 101 in a takeover.
    Status(u16),
    /// The name of this field is not a token, or its value contains control characters.
    Field(String),
    /// This field sets the length of the body, which only the host may do.
    Framing(String),
    /// More than [`MAX_RESPONSE_FIELDS`] fields.
    TooManyFields,
    /// There are this many final bytes.
    FinalBytes(usize),
    /// A request with a body is taken over.
    RequestBody,
    /// An HTTP/1.0 request is taken over. Not the component's fault, as it need not check the version.
    HttpVersion,
}

impl BadAnswer {
    /// The response that the client gets instead.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::HttpVersion => Refusal::NEEDS_HTTP_11,
            _ => Refusal::FAILED,
        }
    }
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status} is not possible here"),
            Self::Field(name) => write!(f, "the field {name:?} has a bad name or value"),
            Self::Framing(name) => write!(f, "the field {name:?} is for the host to set"),
            Self::TooManyFields => write!(f, "more than {MAX_RESPONSE_FIELDS} fields"),
            Self::FinalBytes(length) => {
                write!(f, "{length} final bytes, more than {MAX_FINAL_BYTES}")
            }
            Self::RequestBody => write!(f, "a request with a body cannot be taken over"),
            Self::HttpVersion => write!(f, "an HTTP/1.0 request cannot be taken over"),
        }
    }
}

impl core::error::Error for BadAnswer {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn field(name: &str, value: &[u8]) -> Vec<Field> {
        vec![(name.to_owned(), value.to_vec())]
    }

    fn check(status: u16, name: &str, value: &[u8]) -> Result<(), BadAnswer> {
        check_response(status, &field(name, value))
    }

    fn text(response: &Response, to_head: bool) -> String {
        let bytes = response.to_bytes(Some("today"), to_head);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn response(status: u16) -> Response {
        Response {
            status,
            fields: field("A", b"b"),
            body: b"body".to_vec(),
        }
    }

    #[test]
    fn a_101_is_written_as_the_component_gave_it() {
        assert_eq!(
            switching_protocols(101, &field("Upgrade", b"websocket")),
            Ok(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec())
        );
    }

    #[test]
    fn a_takeover_begins_with_101_or_nothing() {
        let fields = field("Upgrade", b"websocket");
        let head = |status, expects| takeover_head(Some((status, &fields)), b"", expects);
        assert_eq!(head(200, false), Err(BadAnswer::Status(200)));
        assert_eq!(takeover_head(None, b"", true), Ok(vec![]));
        let continued = head(101, true).unwrap_or_default();
        assert!(continued.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 "));
        let final_bytes = [0; MAX_FINAL_BYTES + 1];
        assert_eq!(takeover_head(None, &final_bytes[1..], false), Ok(vec![]));
        assert_eq!(
            takeover_head(None, &final_bytes, false),
            Err(BadAnswer::FinalBytes(MAX_FINAL_BYTES + 1))
        );
    }

    #[test]
    fn a_response_is_final() {
        for status in [0, 100, 101, 199, 600, 999, 1000, u16::MAX] {
            assert_eq!(check(status, "a", b"b"), Err(BadAnswer::Status(status)));
        }
        assert!(check(200, "a", b"b").is_ok());
        assert!(check(599, "a", b"b").is_ok());
    }

    #[test]
    fn names_are_tokens() {
        for name in ["", "a b", "a:", "a\r\nb", "ä", "\0"] {
            assert_eq!(
                check(200, name, b"b"),
                Err(BadAnswer::Field(name.to_owned()))
            );
        }
    }

    #[test]
    fn values_contain_no_control_characters_but_tab() {
        let bad = Err(BadAnswer::Field("a".to_owned()));
        for byte in (0..=31).chain([127]).filter(|byte| *byte != b'\t') {
            assert_eq!(check(200, "a", &[b'x', byte, b'y']), bad);
            let refused = switching_protocols(101, &field("a", &[byte])).map(drop);
            assert_eq!(refused, bad);
        }
        assert!(check(200, "a", b"x\ty\x80\xff").is_ok());
    }

    #[test]
    fn the_host_frames_the_message() {
        for name in [
            "Content-Length",
            "content-length",
            "Trailer",
            "Transfer-Encoding",
        ] {
            assert_eq!(
                check(200, name, b"3"),
                Err(BadAnswer::Framing(name.to_owned()))
            );
        }
    }

    #[test]
    fn fields_are_counted() {
        let mut fields = vec![("a".to_owned(), vec![]); MAX_RESPONSE_FIELDS];
        assert_eq!(check_response(200, &fields), Ok(()));
        fields.extend(field("a", b""));
        assert_eq!(check_response(200, &fields), Err(BadAnswer::TooManyFields));
    }

    #[test]
    fn responses_are_framed_by_their_length() {
        let head = "HTTP/1.1 200 \r\nA: b\r\nDate: today\r\nContent-Length: 4\r\n\r\n";
        assert_eq!(text(&response(200), true), head);
        assert_eq!(text(&response(200), false), format!("{head}body"));
    }

    #[test]
    fn some_statuses_have_no_content() {
        for status in [204, 304] {
            let expected = format!("HTTP/1.1 {status} \r\nA: b\r\nDate: today\r\n\r\n");
            assert_eq!(text(&response(status), false), expected);
        }
        assert!(text(&response(205), false).ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn keeps_the_components_own_date() {
        let mut response = response(200);
        response.fields = field("date", b"yesterday");
        assert!(!text(&response, false).contains("today"));
    }

    #[test]
    fn adds_connection_close_once() {
        let mut response = response(200);
        assert!(!response.closes());
        for _ in 0..2 {
            response.close();
            assert_eq!(
                text(&response, false).matches("Connection: close").count(),
                1
            );
        }
        assert!(Response::from(Refusal::TIMEOUT).closes());
    }
}
