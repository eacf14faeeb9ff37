//! The server's side of the opening handshake (RFC 6455 §4.2).

mod accept_key;
mod authority;
mod client;
mod error;
mod origin;
mod subprotocol;
mod target;

pub use accept_key::accept_key;
pub use client::{
    ClientError, ClientHandshake, ClientRequest, ClientRequestError, Negotiated, read_response_head,
};
pub use error::HandshakeError;
pub use origin::Origins;

use alloc::string::String;

use crate::extension::{self, DeflateOptions, Extensions, PermessageDeflate};
use crate::fields::{NotSingle, is_token};
use crate::{Fields, HttpVersion, Request, ResponseHead};
use authority::Authority;

/// An opening handshake that succeeded.
#[derive(Debug)]
pub struct Accepted {
    /// The response: status 101 and its fields.
    pub response: ResponseHead,
    /// The extensions in use.
    pub extensions: Extensions,
    /// The subprotocol that was selected.
    pub subprotocol: Option<String>,
}

/// What a server accepts in an opening handshake.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// The browser origins that may connect.
    pub origins: Origins,
    /// The subprotocols the server speaks, the preferred one first; case matters.
    pub subprotocols: &'static [&'static str],
    /// The one to select instead of those, if it is offered.
    pub selected: Option<String>,
    /// What else stands in the response.
    pub fields: Fields,
    /// How messages may be compressed; not at all without.
    pub compression: Option<DeflateOptions>,
}

/// Answers an opening handshake.
///
/// # Errors
///
/// The first rule that the request breaks; [`HandshakeError::response`] is the refusal to send.
pub fn accept(request: &Request, handshake: &Handshake) -> Result<Accepted, HandshakeError> {
    check_request(request)?;
    let host = host(request)?;
    check_upgrade(&request.fields)?;
    check_websocket_version(&request.fields)?;
    let key = websocket_key(&request.fields)?;
    handshake.origins.check(request, &host)?;
    let subprotocol = handshake.select(request)?;
    let (extensions, agreed) = extensions(&request.fields, handshake.compression.as_ref())?;
    Ok(Accepted {
        response: response(key, subprotocol, agreed, &handshake.fields),
        subprotocol: subprotocol.map(Into::into),
        extensions,
    })
}

/// Answers what a proxy that speaks RFC 6455 leaves to the server behind it: which pages may connect, and
/// which subprotocol is spoken. The fields of the response that say so, and those that the app adds.
///
/// # Errors
///
/// As [`accept`].
#[cfg(feature = "grip")]
pub fn accept_proxied(request: &Request, handshake: &Handshake) -> Result<Fields, HandshakeError> {
    let host = host(request)?;
    handshake.origins.check(request, &host)?;
    let mut fields = Fields::new();
    if let Some(subprotocol) = handshake.select(request)? {
        fields.append("Sec-WebSocket-Protocol", subprotocol);
    }
    for (name, value) in handshake.fields.iter() {
        fields.append(name, value);
    }
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

/// RFC 6455 §9.1: what the client offers, as far as the server takes it up; and what to tell the
/// client. Only an offer that breaks the grammar fails the handshake; all others can be declined.
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

fn check_request(request: &Request) -> Result<(), HandshakeError> {
    match request.version {
        // RFC 9110 §7.8: "A server that receives an Upgrade header field in an HTTP/1.0 request MUST
        // ignore that Upgrade field", so the field this resource requires is missing.
        HttpVersion::Http10 => return Err(HandshakeError::UpgradeMissing),
        HttpVersion::Http11 => {}
        // RFC 8441 and RFC 9220 have an opening handshake of their own.
        HttpVersion::Http2 | HttpVersion::Http3 => return Err(HandshakeError::HttpVersion),
    }
    // RFC 6455 §4.1: "The method of the request MUST be GET".
    if request.method != "GET" {
        return Err(HandshakeError::Method);
    }
    check_body(&request.fields)?;
    // RFC 9110 §10.1.1: the one expectation that HTTP defines. It is for the host to meet: §7.8 has
    // it send 100 before 101.
    let is_met = |expected: &[u8]| expected.eq_ignore_ascii_case(b"100-continue");
    if !request.fields.list("Expect").all(is_met) {
        return Err(HandshakeError::ExpectationUnknown);
    }
    Ok(())
}

/// Stricter than RFC 6455, which does not speak of a body: bytes that one party counts as body and
/// the other as frames are how requests are smuggled. `Content-Length: 0` is the only way in which a
/// body may be mentioned.
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
    if !lists(fields, "Upgrade", b"websocket", is_protocol) {
        return Err(HandshakeError::UpgradeMissing);
    }
    if !lists(fields, "Connection", b"upgrade", is_token) {
        return Err(HandshakeError::ConnectionMissing);
    }
    Ok(())
}

/// Whether the list has this element, without regard to ASCII case. A list with an element that the
/// grammar does not allow has none: `x="a, upgrade, b"` is not to be taken for three elements.
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
    // RFC 6455 §4.2.1, item 6; §4.4: a server that does not speak the version says which it does.
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
    // RFC 9112 §3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field and to any
    // request message that contains more than one Host header field line or a Host header field with
    // an invalid field value."
    let host = request
        .fields
        .single("Host")
        .ok()
        .and_then(Authority::parse)
        .ok_or(HandshakeError::HostInvalid)?;
    // RFC 9112 §3.2.2: with an absolute target, "the origin server MUST ignore the received Host
    // header field (if any) and instead use the host information of the request-target."
    Ok(target::check(&request.target)?.unwrap_or(host))
}

fn response(
    key: &[u8],
    subprotocol: Option<&str>,
    agreed: Option<String>,
    further: &Fields,
) -> ResponseHead {
    // RFC 6455 §4.2.2, item 5.
    let mut fields = Fields::new();
    fields.append("Upgrade", "websocket");
    fields.append("Connection", "Upgrade");
    fields.append("Sec-WebSocket-Accept", accept_key(key));
    if let Some(subprotocol) = subprotocol {
        fields.append("Sec-WebSocket-Protocol", subprotocol);
    }
    if let Some(agreed) = agreed {
        fields.append(extension::FIELD_NAME, agreed);
    }
    for (name, value) in further.iter() {
        fields.append(name, value);
    }
    ResponseHead {
        status: 101,
        fields,
    }
}
