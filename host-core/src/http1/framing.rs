//! The end of a message, and whether another one may follow (RFC 9112 §6, §9).

use alloc::format;
use alloc::vec::Vec;
use core::str;

use super::fields::{has, list, lists, values};
use super::limits::MAX_DISCARDED;
use super::refusal::{Refused, bad, quoted};
use super::request::{Request, Version};
use super::{BadAnswer, Field};

/// The length of the body after a head (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// This number of bytes; 0 means no body.
    Known(u64),
    /// The body is chunked; the end of the chunks is not searched for.
    Chunked,
}

/// The part of a request that a host keeps once the component has the rest: all that decides how the connection
/// continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The body of the request.
    pub body: BodyLength,
    /// Whether it is a HEAD, whose response has no body.
    pub is_head: bool,
    /// Whether no request can be read after this one, whatever the response.
    pub is_last: bool,
    /// Whether a takeover with a 101 begins with a 100: see [`expects_continue`].
    pub expects_continue: bool,
    version: Version,
    has_expectation: bool,
}

impl Framing {
    /// # Errors
    ///
    /// If two readers could disagree on where the body ends.
    pub(crate) fn of(request: &Request) -> Result<Self, Refused> {
        let fields = &request.fields;
        Ok(Self {
            body: body_length(request.version, fields)?,
            is_head: request.method == "HEAD",
            is_last: is_last(request),
            expects_continue: expects_continue(fields),
            version: request.version,
            has_expectation: has(fields, "expect"),
        })
    }

    /// The number of bytes of the body to discard before the connection can be used again. `None` if it has to
    /// be closed instead.
    #[must_use]
    pub fn discardable(&self) -> Option<u64> {
        match self.body {
            BodyLength::Known(0) => Some(0),
            // RFC 9110 §10.1.1: a client that expects 100 has not sent the body yet; reading it would
            // ask for it.
            BodyLength::Known(length) if !self.has_expectation && length <= MAX_DISCARDED => {
                Some(length)
            }
            _ => None,
        }
    }

    /// Checks that the connection can be taken over.
    ///
    /// # Errors
    ///
    /// [`BadAnswer::HttpVersion`] or [`BadAnswer::RequestBody`].
    pub fn check_takeover(&self) -> Result<(), BadAnswer> {
        if self.version == Version::Http10 {
            return Err(BadAnswer::HttpVersion);
        }
        match self.body {
            BodyLength::Known(0) => Ok(()),
            _ => Err(BadAnswer::RequestBody),
        }
    }
}

fn is_last(request: &Request) -> bool {
    let fields = &request.fields;
    // RFC 9112 §9.3 lets the server decide whether to keep HTTP/1.0 connections open.
    request.version == Version::Http10
        || closes(fields)
        // A client that asks for another protocol, and does not wait for the response, speaks that protocol from
        // here on. Its bytes must never be read as a request.
        || has(fields, "upgrade")
        // The end of the chunks is not searched for.
        || has(fields, "transfer-encoding")
}

/// Whether the connection ends with the message that has these fields (RFC 9112 §9.6).
#[must_use]
pub fn closes(fields: &[Field]) -> bool {
    lists(fields, "connection", b"close")
}

/// RFC 9110 §7.8: to an upgrade with the expectation 100-continue "the server MUST send a 100
/// (Continue) response before sending a 101 (Switching Protocols) response."
#[must_use]
pub fn expects_continue(fields: &[Field]) -> bool {
    lists(fields, "expect", b"100-continue")
}

/// RFC 9112 §6.3.
fn body_length(version: Version, fields: &[Field]) -> Result<BodyLength, Refused> {
    let mut lengths = values(fields, "content-length");
    let length = lengths.next();
    if let (Some(first), Some(second)) = (length, lengths.next()) {
        let found = format!("{}, {}", quoted(first), quoted(second));
        return Err(bad("Content-Length is repeated").with(found));
    }
    match (length, has(fields, "transfer-encoding")) {
        (None, false) => Ok(BodyLength::Known(0)),
        (Some(length), false) => content_length(length),
        // §6.1: such a message "might indicate an attempt to perform request smuggling".
        (Some(_), true) => {
            Err(bad("Content-Length and Transfer-Encoding cannot be combined").into())
        }
        // §6.1: "MUST treat the message as if the framing is faulty".
        (None, true) if version == Version::Http10 => {
            Err(bad("HTTP/1.0 has no Transfer-Encoding").into())
        }
        (None, true) => transfer_encoding(fields),
    }
}

/// RFC 9110 §8.6: `1*DIGIT`.
fn content_length(value: &[u8]) -> Result<BodyLength, Refused> {
    let digits = str::from_utf8(value).ok();
    digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .map(BodyLength::Known)
        .ok_or_else(|| bad("Content-Length is not a number").because_of(value))
}

/// RFC 9112 §6.3, item 4: without chunked as the final coding "the server MUST respond with the 400
/// (Bad Request) status code and then close the connection". §6.1: chunked is applied only once.
fn transfer_encoding(fields: &[Field]) -> Result<BodyLength, Refused> {
    let mut chunked = list(fields, "transfer-encoding")
        .map(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        .rev();
    match (chunked.next(), chunked.any(|chunked| chunked)) {
        (Some(true), false) => Ok(BodyLength::Chunked),
        _ => {
            let codings: Vec<_> = list(fields, "transfer-encoding").collect();
            let found = codings.join(&b", "[..]);
            Err(bad("Transfer-Encoding must end with chunked, used once").because_of(&found))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::http1::Head;

    fn framing(head: &str) -> Option<Framing> {
        let mut buffer = BytesMut::from(format!("{head}\r\n\r\n").as_bytes());
        Some(Head::default().read(&mut buffer).ok()??.1)
    }

    fn post(fields: &str) -> Option<Framing> {
        framing(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}"))
    }

    #[test]
    fn bodies() {
        let body = |fields| post(fields).map(|framing| framing.body);
        let chunked = Some(BodyLength::Chunked);
        assert_eq!(body("a: b"), Some(BodyLength::Known(0)));
        assert_eq!(body("Content-Length: 007"), Some(BodyLength::Known(7)));
        assert_eq!(body("Transfer-Encoding: Chunked"), chunked);
        assert_eq!(
            body("Transfer-Encoding: gzip,\r\ntransfer-encoding: , chunked"),
            chunked
        );
        assert_eq!(body("Transfer-Encoding: chunked, chunked"), None);
        assert_eq!(body("Transfer-Encoding: chunked, gzip"), None);
    }

    #[test]
    fn small_announced_bodies_are_discardable() {
        let discardable = |fields| post(fields).and_then(|framing| framing.discardable());
        assert_eq!(discardable("a: b"), Some(0));
        assert_eq!(discardable("Expect: 100-continue"), Some(0));
        assert_eq!(discardable("Content-Length: 1048576"), Some(1 << 20));
        assert_eq!(discardable("Content-Length: 1048577"), None);
        assert_eq!(discardable("Content-Length: 1\r\nExpect: x"), None);
        assert_eq!(discardable("Transfer-Encoding: chunked"), None);
    }

    #[test]
    fn recognises_the_last_request_of_a_connection() {
        let is_last = |head: &str| framing(head).map(|framing| framing.is_last);
        let kept = ["a: b", "Connection: keep-alive, x", "Content-Length: 3"];
        let last = [
            "Connection: a\r\nconnection: b, CLOSE",
            "Upgrade: h2c",
            "Transfer-Encoding: chunked",
        ];
        for (fields, expected) in kept
            .map(|f| (f, false))
            .into_iter()
            .chain(last.map(|f| (f, true)))
        {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}");
            assert_eq!(is_last(&head), Some(expected), "{fields}");
        }
        assert_eq!(
            is_last("GET / HTTP/1.0\r\nConnection: keep-alive"),
            Some(true)
        );
        assert_eq!(is_last("CONNECT a:1 HTTP/1.1\r\nHost: a:1"), None);
    }

    #[test]
    fn takeovers_need_http_1_1_and_no_body() {
        let check = |head: &str| framing(head).map(|framing| framing.check_takeover());
        assert_eq!(check("GET / HTTP/1.1\r\nHost: a"), Some(Ok(())));
        let http_10 = Some(Err(BadAnswer::HttpVersion));
        assert_eq!(check("GET / HTTP/1.0\r\nContent-Length: 1"), http_10);
        for body in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
            let refused = post(body).map(|framing| framing.check_takeover());
            assert_eq!(refused, Some(Err(BadAnswer::RequestBody)));
        }
    }
}
