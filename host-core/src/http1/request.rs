//! Strict reading of request heads (RFC 9112).
//!
//! Wherever RFC 9112 lets a recipient choose between repairing a head and refusing it, it is refused:
//! heads that two parties read differently are how requests are smuggled.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::{mem, str};

use bytes::BytesMut;

use super::fields::{Field, is_tchar, is_value, token, trim, values};
use super::framing::Framing;
use super::limits::{MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE};
use super::refusal::{Refusal, Refused, bad, quoted};

/// How many bytes of something that is not HTTP a log gets: enough to recognise a TLS handshake.
const MAX_SHOWN: usize = 8;

/// The head of a request, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A token; its case is kept.
    pub method: String,
    /// The request-target: visible ASCII without `#`.
    pub target: String,
    /// The version; a higher minor version counts as the highest known one.
    pub version: Version,
    /// All field lines, in order.
    pub fields: Vec<Field>,
}

/// A version of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A partial head: the lines so far.
#[derive(Debug)]
pub struct Head {
    /// The most bytes.
    most: usize,
    line: Option<RequestLine>,
    fields: Vec<Field>,
    /// The number of bytes of these lines.
    size: usize,
    /// How many bytes of the next line are known to contain no LF.
    searched: usize,
}

#[derive(Debug)]
struct RequestLine {
    method: String,
    target: String,
    version: Version,
}

impl Default for Head {
    /// A head of up to [`MAX_HEAD`] bytes.
    fn default() -> Self {
        Self::within(MAX_HEAD)
    }
}

impl Head {
    /// A head of up to this number of bytes, request line and fields. Larger ones get 431.
    #[must_use]
    pub fn within(most: usize) -> Self {
        Self {
            most,
            line: None,
            fields: Vec::new(),
            size: 0,
            searched: 0,
        }
    }

    /// Takes the complete lines of the head from the buffer, and nothing after the last one. Returns the request with
    /// the last line.
    ///
    /// # Errors
    ///
    /// The first fault, at the end of its line or before. The connection cannot be used any more. Neither the query nor a
    /// field that may be a secret is in its text.
    pub fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<(Request, Framing)>, Refused> {
        while let Some(line) = self.next_line(buffer)? {
            if !line.is_empty() {
                self.add(&line)?;
            } else if let Some(line) = self.line.take() {
                return finish(line, mem::take(&mut self.fields)).map(Some);
            }
            // RFC 9112 §2.2: a server "SHOULD ignore at least one empty line (CRLF) received
            // prior to the request-line."
        }
        Ok(None)
    }

    /// Whether a byte of the head has arrived.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.line.is_some() || self.searched > 0
    }

    /// The method, once it is known.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.line.as_ref().map(|line| line.method.as_str())
    }

    fn next_line(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, Refused> {
        let unsearched = buffer.iter().skip(self.searched);
        let length = match unsearched.into_iter().position(|byte| *byte == b'\n') {
            Some(end) => self.searched + end + 1,
            None => {
                self.searched = buffer.len();
                self.check_size(buffer)?;
                return Ok(None);
            }
        };
        self.searched = 0;
        let mut line = buffer.split_to(length);
        self.check_size(&line)?;
        self.size += length;
        // RFC 9112 §2.2 allows recipients to accept a single LF as the end of a line; not all do.
        if !line.ends_with(b"\r\n") {
            return Err(bad("a line of the head ends with LF instead of CRLF").into());
        }
        line.truncate(length - 2);
        Ok(Some(line))
    }

    /// Checks a line, or its beginning, against the limits.
    fn check_size(&self, line: &[u8]) -> Result<(), Refused> {
        if self.line.is_none() {
            // Refuses TLS, for example, early: there may never be the end of a line.
            if line
                .first()
                .is_some_and(|byte| !is_tchar(*byte) && *byte != b'\r')
            {
                let beginning = line.get(..MAX_SHOWN).unwrap_or(line);
                return Err(bad("this is not an HTTP/1.1 request").because_of(beginning));
            }
            if line.len() > MAX_REQUEST_LINE {
                let limit = format!("more than {MAX_REQUEST_LINE} bytes");
                return Err(Refusal::new(414, "the request line is too long").with(limit));
            }
        }
        // RFC 6585 §5.
        if self.size + line.len() > self.most {
            let limit = format!("more than {} bytes", self.most);
            return Err(Refusal::new(431, "the request head is too large").with(limit));
        }
        Ok(())
    }

    fn add(&mut self, line: &[u8]) -> Result<(), Refused> {
        if self.line.is_none() {
            self.line = Some(request_line(line)?);
            return Ok(());
        }
        if self.fields.len() == MAX_FIELDS {
            let limit = format!("more than {MAX_FIELDS}");
            return Err(Refusal::new(431, "the request has too many fields").with(limit));
        }
        self.fields.push(field(line)?);
        Ok(())
    }
}

/// RFC 9112 §3: `method SP request-target SP HTTP-version`, with single spaces.
fn request_line(line: &[u8]) -> Result<RequestLine, Refused> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        let found = without_query(line);
        return Err(bad("the request line is not METHOD TARGET VERSION").because_of(found));
    };
    let version = http_version(version)?;
    let method =
        token(method).ok_or_else(|| bad("the method is not a token").because_of(method))?;
    let target = request_target(method, target)?;
    if method == "CONNECT" {
        return Err(Refusal::NOT_A_PROXY.because_of(target.as_bytes()));
    }
    Ok(RequestLine {
        method: method.to_owned(),
        target: target.to_owned(),
        version,
    })
}

fn http_version(version: &[u8]) -> Result<Version, Refused> {
    match version {
        b"HTTP/1.0" => Ok(Version::Http10),
        // RFC 9110 §2.5: with a higher minor version, the recipient "SHOULD process the message as
        // if it were in the highest minor version within that major version to which the recipient
        // is conformant."
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        // RFC 9110 §15.6.6: the major version. The preface of HTTP/2 is such a request.
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Refusal::new(505, "only HTTP/1.1 and HTTP/1.0 are supported").because_of(version))
        }
        _ => Err(bad("the HTTP version is malformed").because_of(version)),
    }
}

/// RFC 9112 §3.2. Looser than RFC 3986, as browsers send `"`, `{`, `|` and the like unescaped; but
/// spaces, control bytes, bytes beyond ASCII and fragments are refused.
fn request_target<'a>(method: &str, target: &'a [u8]) -> Result<&'a str, Refused> {
    if !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
        let found = without_query(target);
        return Err(bad("the request target contains invalid bytes").because_of(found));
    }
    let target = str::from_utf8(target).map_err(|_| bad("the request target is not ASCII"))?;
    let fits = match method {
        // §3.2.3 and §3.2.4: two of the forms are for one method only.
        "CONNECT" => !target.is_empty() && !target.contains('/'),
        "OPTIONS" if target == "*" => true,
        _ => target.starts_with('/') || target.contains("://"),
    };
    if fits {
        return Ok(target);
    }
    Err(
        bad("the form of the request target does not suit the method")
            .because_of(without_query(target.as_bytes())),
    )
}

/// The part of a request line, or of a target, that may be logged: pages put tokens into the query.
fn without_query(line: &[u8]) -> &[u8] {
    let mut parts = line.splitn(2, |byte| b"?#".contains(byte));
    parts.next().unwrap_or_default()
}

/// RFC 9112 §5: `field-name ":" OWS field-value OWS`. Since a name must be a token, white space before the colon
/// (§5.1) and lines that continue another (obs-fold, §5.2) are refused.
fn field(line: &[u8]) -> Result<Field, Refused> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = colon
        .and_then(|colon| line.split_at_checked(colon))
        .ok_or(bad("a field line has no colon"))?;
    let found = name;
    let name = token(name).ok_or_else(|| bad("a field name is not a token").because_of(found))?;
    let value = trim(value.strip_prefix(b":").unwrap_or(value));
    if !is_value(value) {
        // Not the value, which may be a secret.
        return Err(bad("a field value contains control characters").because_of(found));
    }
    Ok((name.to_owned(), value.to_vec()))
}

fn finish(line: RequestLine, fields: Vec<Field>) -> Result<(Request, Framing), Refused> {
    check_host(line.version, &fields)?;
    let request = Request {
        method: line.method,
        target: line.target,
        version: line.version,
        fields,
    };
    let framing = Framing::of(&request)?;
    Ok((request, framing))
}

/// RFC 9112 §3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field and to any
/// request message that contains more than one Host header field line or a Host header field with an
/// invalid field value." Only the bytes of the value are checked.
fn check_host(version: Version, fields: &[Field]) -> Result<(), Refused> {
    let mut hosts = values(fields, "host");
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte);
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::Http10 => Ok(()),
        (None, _) => Err(bad("Host is missing").into()),
        (Some(first), Some(second)) => {
            let found = format!("{}, {}", quoted(first), quoted(second));
            Err(bad("Host is repeated").with(found))
        }
        (Some(host), None) if host.iter().all(valid) => Ok(()),
        (Some(host), None) => Err(bad("Host is malformed").because_of(host)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::http1::BodyLength;

    type Outcome = Result<(Request, Framing), Refused>;

    fn read(pieces: &[&[u8]]) -> (Option<Outcome>, BytesMut) {
        let (mut head, mut buffer) = (Head::default(), BytesMut::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if let Some(outcome) = head.read(&mut buffer).transpose() {
                return (Some(outcome), buffer);
            }
        }
        (None, buffer)
    }

    fn status(head: &str) -> u16 {
        match read(&[head.as_bytes()]).0 {
            Some(Ok(_)) => 200,
            Some(Err(refused)) => refused.refusal.status,
            None => 0,
        }
    }

    #[test]
    fn takes_a_head_and_nothing_after_it() {
        let bytes = b"POST /a?b HTTP/1.0\r\nX-A: \t b\xff \r\nX-a:\r\nContent-Length: 3\r\n\r\nabc";
        for at in 0..bytes.len() - 3 {
            let (start, rest) = bytes.split_at(at);
            let (outcome, residual) = read(&[start, rest]);
            let Some(Ok((request, framing))) = outcome else {
                unreachable!("{outcome:?}")
            };
            assert_eq!((&request.method[..], &request.target[..]), ("POST", "/a?b"));
            assert_eq!(request.version, Version::Http10);
            assert_eq!(request.fields[0], ("X-A".into(), b"b\xff".to_vec()));
            assert_eq!(request.fields[1], ("X-a".into(), vec![]));
            assert_eq!(framing.body, BodyLength::Known(3));
            assert_eq!(&residual[..], b"abc");
        }
    }

    #[test]
    fn every_prefix_needs_more() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        for end in 0..bytes.len() {
            assert_eq!(status(&String::from_utf8_lossy(&bytes[..end])), 0);
        }
    }

    #[test]
    fn the_limits_are_exact() {
        let line = |length: usize| {
            let target = "a".repeat(length - "GET / HTTP/1.1\r\n".len());
            status(&format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"))
        };
        assert_eq!(line(MAX_REQUEST_LINE), 200);
        assert_eq!(line(MAX_REQUEST_LINE + 1), 414);

        let fields = |count: usize| {
            let fields = "a: b\r\n".repeat(count - 1);
            status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
        };
        assert_eq!(fields(MAX_FIELDS), 200);
        assert_eq!(fields(MAX_FIELDS + 1), 431);

        let head = |length: usize| {
            let value = "b".repeat(length - "GET / HTTP/1.1\r\nHost: a\r\na: \r\n\r\n".len());
            status(&format!("GET / HTTP/1.1\r\nHost: a\r\na: {value}\r\n\r\n"))
        };
        assert_eq!(head(MAX_HEAD), 200);
        assert_eq!(head(MAX_HEAD + 1), 431);
    }

    #[test]
    fn a_host_may_set_a_lower_limit() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let read = |most| Head::within(most).read(&mut BytesMut::from(&request[..]));
        assert!(read(request.len()).is_ok_and(|head| head.is_some()));
        assert!(read(request.len() - 1).is_err_and(|refused| refused.refusal.status == 431));
    }

    #[test]
    fn a_refusal_says_what_was_found() {
        let found = |head: &str| match read(&[head.as_bytes()]).0 {
            Some(Err(refused)) => refused.to_string(),
            outcome => unreachable!("{outcome:?}"),
        };
        for (head, expected) in [
            (
                "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03",
                r"this is not an HTTP/1.1 request: '\x16\x03\x01\x02\x00\x01\x00\x01'",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                "Host is malformed: 'a b'",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                "Host is repeated: 'a', 'b'",
            ),
            (
                "GET /a?token=secret x HTTP/1.1\r\n",
                "the request line is not METHOD TARGET VERSION: 'GET /a'",
            ),
            (
                "GET / HTTP/1.1\r\nCookie : secret\r\n",
                "a field name is not a token: 'Cookie '",
            ),
        ] {
            assert_eq!(found(head), expected);
        }
    }

    #[test]
    fn what_never_ends_is_refused_on_the_way() {
        assert_eq!(status("\x16"), 400);
        assert_eq!(status(&"a".repeat(MAX_REQUEST_LINE + 1)), 414);
        assert_eq!(status(&"\r\n".repeat(MAX_HEAD)), 431);
        let field = "a".repeat(MAX_HEAD);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\na: {field}")), 431);
    }

    /// Other rules are in `tests/vectors/handshakes.json`, except those that do not concern upgrades.
    #[test]
    fn targets_fit_their_methods() {
        let line = |line: &str| status(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        for good in ["OPTIONS *", "OPTIONS /", "GET http://a/b"] {
            assert_eq!(line(good), 200, "{good}");
        }
        assert_eq!(line("CONNECT a:80"), 501);
        for bad in ["GET *", "CONNECT *a/b", "CONNECT ", "GET a:80", "OPTIONS a"] {
            assert_eq!(line(bad), 400, "{bad}");
        }
    }
}
