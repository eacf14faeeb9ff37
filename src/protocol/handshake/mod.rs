//! The server's side of the opening handshake (RFC 6455 §4.2, RFC 8441 §5).

mod accept_key;
mod authority;
mod client;
mod client_error;
mod error;
mod origin;
mod reason;
mod subprotocol;
mod target;

pub use accept_key::accept_key;
pub use client::{ClientHandshake, ClientRequest, Negotiated, read_response_head};
pub use client_error::{ClientError, ClientRequestError};
pub use error::HandshakeError;
pub use origin::Origins;

use alloc::string::String;

use crate::head::{Fields, HttpVersion, NotSingle, PROTOCOL, Request, ResponseHead, is_token};
use crate::protocol::extension::{self, DeflateOptions, Extensions, PermessageDeflate};
use authority::Authority;

/// An opening handshake that succeeded.
#[derive(Debug)]
pub struct Accepted {
    /// The response: status 101 (200 in HTTP/2 and HTTP/3) and its fields.
    pub response: ResponseHead,
    /// The extensions in use.
    pub extensions: Extensions,
    /// The subprotocol that was selected.
    pub subprotocol: Option<String>,
}

/// A server's settings for an opening handshake.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// The browser origins that may connect.
    pub origins: Origins,
    /// The subprotocols the server speaks, in order of preference; case matters.
    pub subprotocols: &'static [&'static str],
    /// The subprotocol to select instead, if it is offered.
    pub selected: Option<String>,
    /// Further fields of the response.
    pub fields: Fields,
    /// How messages may be compressed; `None` for no compression.
    pub compression: Option<DeflateOptions>,
}

/// Answers an opening handshake.
///
/// # Errors
///
/// The first rule that the request breaks; [`HandshakeError::response`] is the refusal to send.
pub fn accept(request: &Request, handshake: &Handshake) -> Result<Accepted, HandshakeError> {
    let way = Way::of(request)?;
    check_message(&request.fields)?;
    let host = host(request)?;
    if way == Way::Upgrade {
        check_upgrade(&request.fields)?;
    }
    check_websocket_version(&request.fields)?;
    let mut fields = way.answer(&request.fields)?;
    handshake.origins.check(request, &host)?;
    let subprotocol = handshake.select(request)?;
    let (extensions, agreed) = extensions(&request.fields, handshake.compression.as_ref())?;
    add(&mut fields, subprotocol, agreed, &handshake.fields);
    Ok(Accepted {
        response: ResponseHead {
            status: way.status(),
            fields,
        },
        subprotocol: subprotocol.map(Into::into),
        extensions,
    })
}

/// Decides what a proxy that speaks RFC 6455 leaves to the server behind it: which pages may connect, and
/// which subprotocol is spoken. Returns the fields of the response that say so, and those that the app adds.
///
/// # Errors
///
/// As [`accept`].
#[cfg(feature = "grip")]
pub fn accept_proxied(request: &Request, handshake: &Handshake) -> Result<Fields, HandshakeError> {
    let host = host(request)?;
    handshake.origins.check(request, &host)?;
    let mut fields = Fields::new();
    let subprotocol = handshake.select(request)?;
    add(&mut fields, subprotocol, None, &handshake.fields);
    Ok(fields)
}

impl Handshake {
    fn select(&self, request: &Request) -> Result<Option<&str>, HandshakeError> {
        match &self.selected {
            Some(name) => subprotocol::select(&request.fields, &[name]),
            None => subprotocol::select(&request.fields, self.subprotocols),
        }
    }
}

/// RFC 6455 §9.1: the offers of the client that the server accepts, and what to tell the client. Only an
/// offer that breaks the grammar fails the handshake; all others can be declined.
fn extensions(
    fields: &Fields,
    compression: Option<&DeflateOptions>,
) -> Result<(Extensions, Option<String>), HandshakeError> {
    let offers = extension::parse(fields.values(extension::FIELD_NAME))
        .map_err(|_| HandshakeError::ExtensionsInvalid)?;
    let Some(options) = compression else {
        return Ok((Extensions::default(), None));
    };
    Ok(match extension::accept_offers(&offers, options) {
        Some((agreed, value)) => {
            let deflate = PermessageDeflate::server(agreed, options);
            (deflate.into(), Some(value))
        }
        None => (Extensions::default(), None),
    })
}

/// How a connection, or a stream, becomes a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By `Upgrade`, in HTTP/1.1 (RFC 6455 §4).
    Upgrade,
    /// By extended CONNECT, in HTTP/2 (RFC 8441 §5) and HTTP/3 (RFC 9220).
    Connect,
}

impl Way {
    /// The way for this request, by its version and method.
    fn of(request: &Request) -> Result<Self, HandshakeError> {
        match request.version {
            // RFC 9110 §7.8: "A server that receives an Upgrade header field in an HTTP/1.0 request MUST
            // ignore that Upgrade field", so the field this resource requires is missing.
            HttpVersion::Http10 => Err(HandshakeError::UpgradeMissing),
            // RFC 6455 §4.1: "The method of the request MUST be GET".
            HttpVersion::Http11 if request.method != "GET" => Err(HandshakeError::Method),
            HttpVersion::Http11 => Ok(Self::Upgrade),
            // RFC 8441 §4: `:protocol` is for requests that have `:method` CONNECT.
            HttpVersion::Http2 | HttpVersion::Http3 if request.method != "CONNECT" => {
                Err(HandshakeError::NotConnect)
            }
            HttpVersion::Http2 | HttpVersion::Http3 if !request.wants_websocket() => {
                Err(HandshakeError::ProtocolUnsupported)
            }
            HttpVersion::Http2 | HttpVersion::Http3 => Ok(Self::Connect),
        }
    }

    /// RFC 8441 §5: "The Sec-WebSocket-Accept header field is not used", nor the key that it answers.
    fn answer(self, request: &Fields) -> Result<Fields, HandshakeError> {
        let mut fields = Fields::new();
        if self == Self::Upgrade {
            // RFC 6455 §4.2.2, item 5.
            let key = websocket_key(request)?;
            fields.append("Upgrade", PROTOCOL);
            fields.append("Connection", "Upgrade");
            fields.append("Sec-WebSocket-Accept", accept_key(key));
        }
        Ok(fields)
    }

    /// RFC 8441 §5: a 2xx in place of the 101.
    const fn status(self) -> u16 {
        match self {
            Self::Upgrade => 101,
            Self::Connect => 200,
        }
    }
}

fn check_message(fields: &Fields) -> Result<(), HandshakeError> {
    check_body(fields)?;
    // RFC 9110 §10.1.1: the only expectation that HTTP defines. The host has to meet it: §7.8 has it send 100
    // before 101.
    let is_met = |expected: &[u8]| expected.eq_ignore_ascii_case(b"100-continue");
    if !fields.list("Expect").all(is_met) {
        return Err(HandshakeError::ExpectationUnknown);
    }
    Ok(())
}

/// Stricter than RFC 6455, which does not mention a body: requests are smuggled in bytes that one party
/// counts as body and the other as frames. `Content-Length: 0` is the only mention of a body that is allowed.
fn check_body(fields: &Fields) -> Result<(), HandshakeError> {
    let length = fields.single("Content-Length");
    let empty = matches!(length, Ok(b"0") | Err(NotSingle::Missing));
    if !empty || fields.contains("Transfer-Encoding") {
        return Err(HandshakeError::Body);
    }
    Ok(())
}

fn check_upgrade(fields: &Fields) -> Result<(), HandshakeError> {
    // RFC 6455 §4.2.1, items 3 and 4.
    if !lists(fields, "Upgrade", PROTOCOL.as_bytes(), is_protocol) {
        return Err(HandshakeError::UpgradeMissing);
    }
    if !lists(fields, "Connection", b"upgrade", is_token) {
        return Err(HandshakeError::ConnectionMissing);
    }
    Ok(())
}

/// Whether the list has this element, without regard to ASCII case. A list with an element that breaks the
/// grammar has no elements: `x="a, upgrade, b"` must not be taken for three.
fn lists(fields: &Fields, name: &str, element: &[u8], is_element: fn(&[u8]) -> bool) -> bool {
    fields.list(name).all(is_element)
        && fields
            .list(name)
            .any(|own| own.eq_ignore_ascii_case(element))
}

/// RFC 9110 §7.8: `protocol-name ["/" protocol-version]`, both tokens.
fn is_protocol(element: &[u8]) -> bool {
    let mut parts = element.splitn(2, |byte| *byte == b'/');
    parts.all(is_token)
}

fn check_websocket_version(fields: &Fields) -> Result<(), HandshakeError> {
    // RFC 6455 §4.2.1, item 6; §4.4: a server that does not speak the version says which one it speaks.
    match fields.single("Sec-WebSocket-Version") {
        Ok(b"13") => Ok(()),
        Ok(_) => Err(HandshakeError::VersionUnsupported),
        Err(_) => Err(HandshakeError::VersionNotSingle),
    }
}

fn websocket_key(fields: &Fields) -> Result<&[u8], HandshakeError> {
    // RFC 6455 §4.2.1, item 5; §11.3.1: it "MUST NOT appear more than once in an HTTP request".
    match fields.single("Sec-WebSocket-Key") {
        Ok(key) if accept_key::is_valid_key(key) => Ok(key),
        Ok(_) => Err(HandshakeError::KeyInvalid),
        Err(NotSingle::Missing) => Err(HandshakeError::KeyMissing),
        Err(NotSingle::Repeated) => Err(HandshakeError::KeyRepeated),
    }
}

/// The host that the request is for.
fn host(request: &Request) -> Result<Authority<'_>, HandshakeError> {
    let invalid = || HandshakeError::HostInvalid;
    let parse = |text| Authority::parse(text).ok_or_else(invalid);
    // RFC 9112 §3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field and to any
    // request message that contains more than one Host header field line or a Host header field with
    // an invalid field value."
    let host = match request.fields.single("Host") {
        Ok(host) => Some(parse(host)?),
        Err(NotSingle::Missing) => None,
        Err(NotSingle::Repeated) => return Err(invalid()),
    };
    let authority = request.authority.as_deref();
    let authority = authority.map(|text| parse(text.as_bytes())).transpose()?;
    let host = match (authority, host) {
        // RFC 9113 §8.3.1: malformed, if the two identify different entities.
        (Some(authority), Some(host)) if !authority.matches(&host, None) => return Err(invalid()),
        (authority, host) => authority.or(host).ok_or_else(invalid)?,
    };
    // RFC 9112 §3.2.2: with an absolute target, "the origin server MUST ignore the received Host
    // header field (if any) and instead use the host information of the request-target."
    Ok(target::check(&request.target)?.unwrap_or(host))
}

/// Adds what was agreed on, and the app's own fields.
fn add(fields: &mut Fields, subprotocol: Option<&str>, agreed: Option<String>, further: &Fields) {
    if let Some(subprotocol) = subprotocol {
        fields.append("Sec-WebSocket-Protocol", subprotocol);
    }
    if let Some(agreed) = agreed {
        fields.append(extension::FIELD_NAME, agreed);
    }
    for (name, value) in further.iter() {
        fields.append(name, value);
    }
}
