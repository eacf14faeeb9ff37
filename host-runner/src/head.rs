//! The heads of answers: a guest's is checked before a byte of it is sent.

use std::fmt;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Response, StatusCode};

use crate::bindings::{self, Field, ResponseHead, Takeover};
use crate::request::list;

/// The most bytes that a farewell may have (`websocket-handler.wit`, `takeover`).
const MAX_FAREWELL: usize = 1024;

/// Checks a final response and makes of it what hyper sends.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets status 500 instead.
pub fn response(answer: bindings::Response) -> Result<Response<Vec<u8>>, BadAnswer> {
    let status = answer.head.status;
    if !(200..=599).contains(&status) {
        return Err(BadAnswer::Status(status));
    }
    let mut response = Response::new(answer.body);
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| BadAnswer::Status(status))?;
    *response.headers_mut() = fields(answer.head.fields)?;
    Ok(response)
}

/// Checks a takeover of a request with these fields, and serialises the head that it begins with:
/// nothing for a raw takeover.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets status 500 instead.
pub fn takeover(takeover: &Takeover, request: &[Field]) -> Result<Vec<u8>, BadAnswer> {
    if takeover.farewell.len() > MAX_FAREWELL {
        return Err(BadAnswer::Farewell(takeover.farewell.len()));
    }
    let Some(head) = &takeover.response else {
        return Ok(Vec::new());
    };
    let mut head = switching_protocols(head)?;
    if list(request, "expect").any(|expected| expected.eq_ignore_ascii_case(b"100-continue")) {
        head.splice(..0, *CONTINUE);
    }
    Ok(head)
}

/// RFC 9110 §7.8: to an upgrade with the expectation 100-continue "the server MUST send a 100
/// (Continue) response before sending a 101 (Switching Protocols) response."
const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Checks and serialises the head of a 101, with exactly the guest's fields: RFC 9110 §6.6.1 does not ask for a `Date` in a
/// 1xx response, and §8.6 forbids `Content-Length` there.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets status 500 instead.
pub fn switching_protocols(head: &ResponseHead) -> Result<Vec<u8>, BadAnswer> {
    if head.status != 101 {
        return Err(BadAnswer::Status(head.status));
    }
    let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    for (name, value) in &head.fields {
        field(name, value)?;
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}

fn fields(fields: Vec<Field>) -> Result<HeaderMap, BadAnswer> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let (name, value) = field(&name, &value)?;
        map.try_append(name, value)
            .map_err(|_| BadAnswer::TooManyFields)?;
    }
    Ok(map)
}

/// RFC 9110 §5.1: "field-name = token". §5.5: a recipient that meets CR, LF or NUL in a value must
/// refuse or replace it; other control bytes are "invalid".
fn field(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), BadAnswer> {
    let bad = || BadAnswer::Field(name.to_owned());
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
    // The host frames the message; a second opinion on its length is how requests are smuggled.
    if parsed == CONTENT_LENGTH || parsed == TRANSFER_ENCODING {
        return Err(BadAnswer::Framing(name.to_owned()));
    }
    let value = HeaderValue::from_bytes(value).map_err(|_| bad())?;
    Ok((parsed, value))
}

/// An answer of a guest that breaks the contract.
///
/// It costs that request and nothing else: the guest broke a rule of HTTP, not of WebAssembly, and
/// other connections of the instance have no part in it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadAnswer {
    /// The status is not 200 to 599 in a response, or not 101 in a takeover.
    Status(u16),
    /// The name of this field is no token, or its value has control bytes.
    Field(String),
    /// This field says how long the body is, which is for the host to say.
    Framing(String),
    /// More fields than the host can hold (some 24,000).
    TooManyFields,
    /// The farewell has this many bytes.
    Farewell(usize),
    /// A request with a body is taken over.
    RequestBody,
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status} is not possible here"),
            Self::Field(name) => write!(f, "the field {name:?} has a bad name or value"),
            Self::Framing(name) => write!(f, "the field {name:?} is for the host to set"),
            Self::TooManyFields => write!(f, "too many fields"),
            Self::Farewell(length) => {
                write!(f, "a farewell of {length} bytes, more than {MAX_FAREWELL}")
            }
            Self::RequestBody => write!(f, "a request with a body cannot be taken over"),
        }
    }
}

impl std::error::Error for BadAnswer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, name: &str, value: &[u8]) -> ResponseHead {
        ResponseHead {
            status,
            fields: vec![(name.to_owned(), value.to_vec())],
        }
    }

    fn check(status: u16, name: &str, value: &[u8]) -> Result<Response<Vec<u8>>, BadAnswer> {
        response(bindings::Response {
            head: head(status, name, value),
            body: Vec::new(),
        })
    }

    #[test]
    fn a_101_is_written_as_the_guest_gave_it() {
        assert_eq!(
            switching_protocols(&head(101, "Upgrade", b"websocket")),
            Ok(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec())
        );
    }

    #[test]
    fn a_takeover_begins_with_101_or_nothing() {
        assert_eq!(
            switching_protocols(&head(200, "Upgrade", b"websocket")),
            Err(BadAnswer::Status(200))
        );
    }

    #[test]
    fn a_response_is_final() {
        for status in [0, 100, 101, 199, 600, 999, 1000, u16::MAX] {
            let refused = check(status, "a", b"b").map(|_| ());
            assert_eq!(refused, Err(BadAnswer::Status(status)));
        }
        assert!(check(200, "a", b"b").is_ok());
        assert!(check(599, "a", b"b").is_ok());
    }

    #[test]
    fn names_are_tokens() {
        for name in ["", "a b", "a:", "a\r\nb", "ä", "\0"] {
            let refused = check(200, name, b"b").map(|_| ());
            assert_eq!(refused, Err(BadAnswer::Field(name.to_owned())));
        }
    }

    #[test]
    fn values_have_no_control_bytes_but_tab() {
        for byte in (0..=31).chain([127]).filter(|byte| *byte != b'\t') {
            let refused = check(200, "a", &[b'x', byte, b'y']).map(|_| ());
            assert_eq!(refused, Err(BadAnswer::Field("a".to_owned())));
            let refused = switching_protocols(&head(101, "a", &[byte]));
            assert_eq!(refused, Err(BadAnswer::Field("a".to_owned())));
        }
        assert!(check(200, "a", b"x\ty\x80\xff").is_ok());
    }

    #[test]
    fn the_host_frames_the_message() {
        for name in ["Content-Length", "content-length", "Transfer-Encoding"] {
            let framing = BadAnswer::Framing(name.to_owned());
            assert_eq!(check(200, name, b"3").map(|_| ()), Err(framing));
        }
    }
}
