use alloc::format;
use core::fmt;

use crate::head::{HttpVersion, Response};

/// A rule that a request for a WebSocket breaks (RFC 6455 §4.2.1). Nothing is upgraded;
/// [`response`](Self::response) is what to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The method is not GET.
    Method,
    /// In HTTP/2 or HTTP/3, the method is not CONNECT.
    NotConnect,
    /// `:protocol` is not `websocket`.
    ProtocolUnsupported,
    /// The request has, or may have, a body.
    Body,
    /// `Expect` asks for something other than `100-continue`.
    ExpectationUnknown,
    /// The request-target is neither a path nor an `http` or `https` URI, or has bytes that it cannot
    /// have.
    TargetInvalid,
    /// `Upgrade` does not list `websocket`, or the request is HTTP/1.0.
    UpgradeMissing,
    /// `Connection` does not list `upgrade`.
    ConnectionMissing,
    /// `Sec-WebSocket-Version` is not 13.
    VersionUnsupported,
    /// `Sec-WebSocket-Version` is missing or repeated.
    VersionNotSingle,
    /// `Sec-WebSocket-Key` is missing.
    KeyMissing,
    /// `Sec-WebSocket-Key` is repeated.
    KeyRepeated,
    /// `Sec-WebSocket-Key` is not the base64 of 16 bytes.
    KeyInvalid,
    /// The host is missing or ambiguous: `:authority` and `Host` differ, are repeated, or are malformed.
    HostInvalid,
    /// `Origin` is repeated.
    OriginRepeated,
    /// The origin is not among those allowed.
    OriginForbidden,
    /// `Sec-WebSocket-Protocol` is not a list of unique tokens, or of more than 64.
    SubprotocolsInvalid,
    /// `Sec-WebSocket-Extensions` breaks its grammar.
    ExtensionsInvalid,
}

impl HandshakeError {
    /// The status code of the refusal.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::OriginForbidden => 403,
            Self::Method | Self::NotConnect => 405,
            Self::ExpectationUnknown => 417,
            Self::UpgradeMissing | Self::ConnectionMissing | Self::VersionUnsupported => 426,
            // RFC 9220 §3, for an unknown `:protocol`.
            Self::ProtocolUnsupported => 501,
            _ => 400,
        }
    }

    /// The refusal: a status, the fields that go with it, and a line of text that says what was wrong.
    ///
    /// It closes the connection, so that bytes which the client sent in the belief that it was
    /// upgraded are never read as a request.
    #[must_use]
    pub fn response(self) -> Response {
        let response = Response::text(self.status(), format!("{self}\n"));
        let response = match self {
            // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field".
            Self::Method => response.with_field("Allow", "GET"),
            Self::NotConnect => response.with_field("Allow", "CONNECT"),
            // RFC 6455 §4.2.2, item 4: "a |Sec-WebSocket-Version| header field indicating the
            // version(s) the server is capable of understanding".
            Self::VersionUnsupported | Self::VersionNotSingle => {
                response.with_field("Sec-WebSocket-Version", "13")
            }
            _ => response,
        };
        if self.status() == 426 {
            // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response";
            // §7.8: its sender "MUST also send an "Upgrade" connection option".
            return response
                .with_field("Upgrade", "websocket")
                .with_field("Connection", "Upgrade, close");
        }
        response.with_field("Connection", "close")
    }

    /// The refusal of a request in this version of HTTP: [`response`](Self::response), without the fields
    /// that HTTP/2 and HTTP/3 do not allow.
    #[must_use]
    pub fn response_over(self, version: HttpVersion) -> Response {
        let mut response = self.response();
        if version < HttpVersion::Http2 {
            return response;
        }
        // RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing
        // connection-specific header fields." Without `Upgrade` there is no 426.
        response.head.fields.remove("Connection");
        if response.head.fields.remove("Upgrade") {
            response.head.status = 400;
        }
        response
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "a WebSocket is opened with GET",
            Self::NotConnect => {
                "this is a WebSocket endpoint: send CONNECT with :protocol websocket, or use HTTP/1.1"
            }
            Self::ProtocolUnsupported => "only the :protocol websocket is supported",
            Self::Body => "a request for a WebSocket has no body",
            Self::ExpectationUnknown => "Expect asks for something other than 100-continue",
            Self::TargetInvalid => "the request target is not a path, or has bytes it cannot have",
            Self::UpgradeMissing => {
                "this is a WebSocket endpoint: send HTTP/1.1 with Upgrade: websocket"
            }
            Self::ConnectionMissing => "Upgrade needs Connection: Upgrade as well",
            Self::VersionUnsupported => "only Sec-WebSocket-Version 13 is supported",
            Self::VersionNotSingle => "send Sec-WebSocket-Version: 13, once",
            Self::KeyMissing => "Sec-WebSocket-Key is missing",
            Self::KeyRepeated => "Sec-WebSocket-Key is repeated",
            Self::KeyInvalid => "Sec-WebSocket-Key is not the base64 of 16 bytes",
            Self::HostInvalid => "the host is missing or ambiguous",
            Self::OriginRepeated => "Origin is repeated",
            Self::OriginForbidden => "this Origin is not allowed here",
            Self::ExtensionsInvalid => "Sec-WebSocket-Extensions is malformed",
            Self::SubprotocolsInvalid => {
                "Sec-WebSocket-Protocol is not a list of unique tokens, 64 at most"
            }
        })
    }
}

impl core::error::Error for HandshakeError {}
