//! The server's side of the opening handshake (RFC 6455 §4.2).

mod accept_key;
mod authority;
mod client;
mod error;
mod origin;
mod subprotocol;

pub use accept_key::accept_key;
pub use client::{
    ClientError, ClientHandshake, ClientRequest, ClientRequestError, read_response_head,
};
pub use error::HandshakeError;
pub use origin::Origins;

use crate::fields::NotSingle;
use crate::{Fields, HttpVersion, Request, ResponseHead};
use authority::Authority;

/// An opening handshake that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The response: status 101 and its fields.
    pub response: ResponseHead,
    /// The subprotocol in use.
    pub subprotocol: Option<&'static str>,
}

/// Answers an opening handshake. Extensions are declined: none is implemented yet.
///
/// `subprotocols` are those the server speaks, the preferred one first; case matters.
///
/// # Errors
///
/// The first rule that the request breaks; [`HandshakeError::response`] is the refusal to send.
pub fn accept(
    request: &Request,
    origins: &Origins,
    subprotocols: &[&'static str],
) -> Result<Accepted, HandshakeError> {
    check_request(request)?;
    check_upgrade(&request.fields)?;
    check_websocket_version(&request.fields)?;
    let key = websocket_key(&request.fields)?;
    let host = host(&request.fields)?;
    origins.check(request, &host)?;
    let subprotocol = subprotocol::select(&request.fields, subprotocols)?;
    Ok(Accepted {
        response: response(key, subprotocol),
        subprotocol,
    })
}

fn check_request(request: &Request) -> Result<(), HandshakeError> {
    match request.version {
        // RFC 9110 §7.8: a server "MUST ignore an Upgrade header field that is received in an
        // HTTP/1.0 request", so the field this resource requires is missing.
        HttpVersion::Http10 => return Err(HandshakeError::UpgradeMissing),
        HttpVersion::Http11 => {}
        // RFC 8441 and RFC 9220 have an opening handshake of their own.
        HttpVersion::Http2 | HttpVersion::Http3 => return Err(HandshakeError::HttpVersion),
    }
    // RFC 6455 §4.1: "The method of the request MUST be GET".
    if request.method != "GET" {
        return Err(HandshakeError::Method);
    }
    // Stricter than RFC 6455, which does not speak of a body: bytes that one party counts as body
    // and the other as frames are how requests are smuggled.
    let fields = &request.fields;
    let empty = fields.values("Content-Length").all(|length| length == b"0");
    if !empty || fields.contains("Transfer-Encoding") {
        return Err(HandshakeError::Body);
    }
    Ok(())
}

fn check_upgrade(fields: &Fields) -> Result<(), HandshakeError> {
    // RFC 6455 §4.2.1, items 3 and 4.
    if !fields.list_contains("Upgrade", "websocket") {
        return Err(HandshakeError::UpgradeMissing);
    }
    if !fields.list_contains("Connection", "upgrade") {
        return Err(HandshakeError::ConnectionMissing);
    }
    Ok(())
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

fn host(fields: &Fields) -> Result<Authority<'_>, HandshakeError> {
    // RFC 9112 §3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field and to any
    // request message that contains more than one Host header field line or a Host header field with
    // an invalid field value."
    fields
        .single("Host")
        .ok()
        .and_then(Authority::parse)
        .ok_or(HandshakeError::HostInvalid)
}

fn response(key: &[u8], subprotocol: Option<&str>) -> ResponseHead {
    // RFC 6455 §4.2.2, item 5.
    let mut fields = Fields::new();
    fields.append("Upgrade", "websocket");
    fields.append("Connection", "Upgrade");
    fields.append("Sec-WebSocket-Accept", accept_key(key));
    if let Some(subprotocol) = subprotocol {
        fields.append("Sec-WebSocket-Protocol", subprotocol);
    }
    ResponseHead {
        status: 101,
        fields,
    }
}
