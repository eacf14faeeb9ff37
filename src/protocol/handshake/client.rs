//! The client's side of the opening handshake (RFC 6455 §4.1).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{ClientError, ClientRequestError, accept_key};
use crate::head::{Fields, ResponseHead, is_token};
use crate::protocol::extension::{
    self, DeflateOptions, Extensions, PermessageDeflate, ResponseError,
};

/// The longest response head that is read, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The most field lines of a response head.
const MAX_FIELDS: usize = 128;

/// The first byte of a TLS record (RFC 8446 §5.1, `ContentType`); no HTTP response begins like this.
const TLS_ALERT: u8 = 21;
const TLS_HANDSHAKE: u8 = 22;

/// The fields that the handshake itself sends.
const RESERVED: [&str; 8] = [
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Content-Length",
];

/// A client's request for a WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRequest {
    /// The value of `Host`: the host, and the port where it is not the scheme's default.
    pub host: String,
    /// The request-target: the path, then the query after a question mark, if any. Not empty.
    pub target: String,
    /// The subprotocols the client speaks, in order of preference: unique tokens.
    pub subprotocols: Vec<String>,
    /// How messages may be compressed; `None` offers no compression.
    pub compression: Option<DeflateOptions>,
    /// Further fields, such as `Origin`, `Authorization` or `Cookie`.
    pub fields: Fields,
}

/// The agreement of both sides in a successful handshake.
#[derive(Debug)]
pub struct Negotiated {
    /// The subprotocol in use.
    pub subprotocol: Option<String>,
    /// The extensions in use.
    pub extensions: Extensions,
}

/// An opening handshake in progress, on the client's side: makes the request, checks the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHandshake {
    request: ClientRequest,
    key: String,
}

impl ClientHandshake {
    /// Begins the handshake. `nonce` must come from a secure source, fresh for every connection
    /// (RFC 6455 §4.1, item 7 of the request's requirements).
    ///
    /// # Errors
    ///
    /// The part of the request that cannot be sent.
    pub fn new(request: ClientRequest, nonce: [u8; 16]) -> Result<Self, ClientRequestError> {
        check(&request)?;
        let key = STANDARD.encode(nonce);
        Ok(Self { request, key })
    }

    /// The bytes of the request.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let mut head = Vec::new();
        head.extend_from_slice(b"GET ");
        head.extend_from_slice(self.request.target.as_bytes());
        head.extend_from_slice(b" HTTP/1.1\r\n");
        let mut field = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        };
        field("Host", self.request.host.as_bytes());
        field("Upgrade", b"websocket");
        field("Connection", b"Upgrade");
        field("Sec-WebSocket-Key", self.key.as_bytes());
        field("Sec-WebSocket-Version", b"13");
        if !self.request.subprotocols.is_empty() {
            let subprotocols = self.request.subprotocols.join(", ");
            field("Sec-WebSocket-Protocol", subprotocols.as_bytes());
        }
        if let Some(options) = &self.request.compression {
            field(extension::FIELD_NAME, extension::offer(options).as_bytes());
        }
        for (name, value) in self.request.fields.iter() {
            field(name, value);
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Checks the response (RFC 6455 §4.1, the client's requirements on it).
    ///
    /// # Errors
    ///
    /// The first rule that the response breaks. The client must fail the connection.
    pub fn check(&self, response: &ResponseHead) -> Result<Negotiated, ClientError> {
        let fields = &response.fields;
        if response.status != 101 {
            return Err(ClientError::Refused(response.status));
        }
        if !fields.list_contains("Upgrade", "websocket") {
            return Err(ClientError::UpgradeMissing);
        }
        if !fields.list_contains("Connection", "upgrade") {
            return Err(ClientError::ConnectionMissing);
        }
        let accept = fields.single("Sec-WebSocket-Accept");
        if accept != Ok(accept_key(self.key.as_bytes()).as_bytes()) {
            return Err(ClientError::AcceptMismatch);
        }
        Ok(Negotiated {
            extensions: self.extensions(fields)?,
            subprotocol: self.subprotocol(fields)?,
        })
    }

    /// Item 5: an extension "that was not present in the client's handshake" fails the connection; and
    /// so do parameters that the offer does not allow (RFC 7692 §7.1).
    fn extensions(&self, fields: &Fields) -> Result<Extensions, ClientError> {
        let agreed = extension::parse(fields.values(extension::FIELD_NAME))
            .map_err(|_| ClientError::ExtensionsMalformed)?;
        let Some(options) = &self.request.compression else {
            return match agreed.is_empty() {
                true => Ok(Extensions::default()),
                false => Err(ClientError::Extension(ResponseError::NotOffered)),
            };
        };
        let agreed = extension::check_response(&agreed, options).map_err(ClientError::Extension)?;
        Ok(agreed.map_or_else(Extensions::default, |agreed| {
            PermessageDeflate::client(agreed, options).into()
        }))
    }

    /// Item 6: the subprotocol is one that was offered; §11.3.4: the field "MUST NOT appear more than
    /// once in an HTTP response".
    fn subprotocol(&self, fields: &Fields) -> Result<Option<String>, ClientError> {
        if !fields.contains("Sec-WebSocket-Protocol") {
            return Ok(None);
        }
        let selected = fields.single("Sec-WebSocket-Protocol").unwrap_or_default();
        let offered = &self.request.subprotocols;
        let found = offered.iter().find(|offer| offer.as_bytes() == selected);
        found
            .cloned()
            .map(Some)
            .ok_or(ClientError::SubprotocolUnoffered)
    }
}

/// Reads the head of a response. Returns the head and its size in bytes, or `None` while it is incomplete.
///
/// # Errors
///
/// [`ClientError::Malformed`], [`ClientError::Tls`], and [`ClientError::HeadTooLong`] above 64 KiB or 128 fields.
pub fn read_response_head(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, ClientError> {
    if let [TLS_ALERT | TLS_HANDSHAKE, ..] = bytes {
        return Err(ClientError::Tls);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let size = match head.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD => {
            return Err(ClientError::HeadTooLong);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ClientError::HeadTooLong),
        Err(_) => return Err(ClientError::Malformed),
    };
    let mut fields = Fields::new();
    for field in head.headers.iter() {
        fields.append(field.name, field.value);
    }
    let status = head.code.ok_or(ClientError::Malformed)?;
    // RFC 9110 §7.8: there is no upgrade in HTTP/1.0.
    match head.version {
        Some(1) => {}
        _ if status == 101 => return Err(ClientError::Malformed),
        _ => {}
    }
    Ok(Some((ResponseHead { status, fields }, size)))
}

fn check(request: &ClientRequest) -> Result<(), ClientRequestError> {
    let is_visible =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_visible(&request.host) {
        return Err(ClientRequestError::Host);
    }
    // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs".
    if !is_visible(&request.target) || request.target.contains('#') {
        return Err(ClientRequestError::Target);
    }
    for (i, subprotocol) in request.subprotocols.iter().enumerate() {
        let repeated = request
            .subprotocols
            .iter()
            .take(i)
            .any(|own| own == subprotocol);
        if repeated || !is_token(subprotocol.as_bytes()) {
            return Err(ClientRequestError::Subprotocol(subprotocol.clone()));
        }
    }
    for (name, value) in request.fields.iter() {
        let reserved = RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name));
        let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        if reserved || !is_token(name.as_bytes()) || value.iter().any(control) {
            return Err(ClientRequestError::Field(name.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = *b"the sample nonce";

    fn request() -> ClientRequest {
        ClientRequest {
            host: "server.example.com".into(),
            target: "/chat".into(),
            subprotocols: ["chat", "superchat"].map(Into::into).into(),
            compression: None,
            fields: Fields::new(),
        }
    }

    fn handshake() -> ClientHandshake {
        ClientHandshake::new(request(), NONCE).expect("a valid request")
    }

    /// The example of RFC 6455 §1.3, where the nonce is "the sample nonce".
    #[test]
    fn the_request() {
        let expected = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n";
        assert_eq!(handshake().request(), expected.as_bytes());
    }

    fn check_response(change: &str, to: &str) -> Result<Option<String>, ClientError> {
        let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
            Sec-WebSocket-Protocol: chat\r\n\r\n";
        assert!(response.contains(change));
        let response = response.replace(change, to);
        let (head, size) = read_response_head(response.as_bytes())?.expect("complete");
        assert_eq!(size, response.len());
        handshake().check(&head).map(|done| done.subprotocol)
    }

    #[test]
    fn responses() {
        assert_eq!(check_response("", ""), Ok(Some("chat".into())));
        let without = check_response("Sec-WebSocket-Protocol: chat\r\n", "");
        assert_eq!(without, Ok(None));
        let cased = check_response("Upgrade: websocket", "upgrade: foo, WebSocket");
        assert!(cased.is_ok());
        use ClientError as E;
        for (change, to, error) in [
            ("101 Switching Protocols", "200 OK", E::Refused(200)),
            ("101 Switching Protocols", "403 Forbidden", E::Refused(403)),
            ("HTTP/1.1", "HTTP/1.0", E::Malformed),
            ("HTTP/1.1", "HTTP/2.0", E::Malformed),
            ("HTTP/1.1", "HTTQ/1.1", E::Malformed),
            ("HTTP/1.1", "\x15\x03\x01", E::Tls),
            ("Upgrade: websocket", "Upgrade: h2c", E::UpgradeMissing),
            ("Upgrade: websocket\r\n", "", E::UpgradeMissing),
            (
                "Connection: Upgrade",
                "Connection: close",
                E::ConnectionMissing,
            ),
            ("xOo=", "xOo", E::AcceptMismatch),
            ("s3pPLM", "S3pPLM", E::AcceptMismatch),
            ("Sec-WebSocket-Accept", "X", E::AcceptMismatch),
            (
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Protocol: Chat",
                E::SubprotocolUnoffered,
            ),
            (
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Protocol: chat, superchat",
                E::SubprotocolUnoffered,
            ),
            (
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Protocol:",
                E::SubprotocolUnoffered,
            ),
            (
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Extensions: permessage-deflate",
                E::Extension(ResponseError::NotOffered),
            ),
        ] {
            assert_eq!(check_response(change, to), Err(error), "{change} -> {to}");
        }
        for repeated in [
            "Sec-WebSocket-Protocol: chat\r\n",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        ] {
            let twice = check_response(repeated, &repeated.repeat(2));
            assert!(twice.is_err(), "{repeated}");
        }
    }

    #[test]
    fn every_prefix_of_a_head_needs_more() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(read_response_head(&head[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn heads_are_bounded() {
        let long = [&b"HTTP/1.1 101 x\r\nA: "[..], &[b'a'; MAX_HEAD]].concat();
        assert_eq!(read_response_head(&long), Err(ClientError::HeadTooLong));
        let many = [&b"HTTP/1.1 101 x\r\n"[..], &b"a: b\r\n".repeat(129)].concat();
        assert_eq!(read_response_head(&many), Err(ClientError::HeadTooLong));
    }

    #[test]
    fn refuses_requests_that_cannot_be_sent() {
        let refused = |change: &dyn Fn(&mut ClientRequest)| {
            let mut request = request();
            change(&mut request);
            ClientHandshake::new(request, NONCE).err()
        };
        use ClientRequestError as E;
        assert_eq!(refused(&|r| r.host = "a b".into()), Some(E::Host));
        assert_eq!(refused(&|r| r.host = "a\r\nX: y".into()), Some(E::Host));
        assert_eq!(refused(&|r| r.target = String::new()), Some(E::Target));
        assert_eq!(refused(&|r| r.target = "/a#b".into()), Some(E::Target));
        assert_eq!(refused(&|r| r.target = "/a b".into()), Some(E::Target));
        for bad in ["", "a b", "chat"] {
            let error = Some(E::Subprotocol(bad.into()));
            assert_eq!(refused(&|r| r.subprotocols.push(bad.into())), error);
        }
        for (name, value) in [
            ("host", "x"),
            ("A b", "x"),
            ("A", "x\r\ny"),
            ("Sec-WebSocket-Key", "x"),
        ] {
            let error = Some(E::Field(name.into()));
            assert_eq!(refused(&|r| r.fields.append(name, value)), error);
        }
    }
}
