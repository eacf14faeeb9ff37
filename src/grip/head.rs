//! Translates the heads of requests and responses between a GRIP proxy and an app.

use alloc::string::String;
use core::fmt;

use crate::head::{Fields, HttpVersion, Request, ResponseHead, is_token};

/// The media type of events. Byte for byte: Pushpin keeps its clients from sending this type, but not
/// from sending another spelling of it.
pub(super) const EVENTS: &str = "application/websocket-events";

/// The client's request for a WebSocket, as far as the proxy passes it on.
pub(super) fn opening(mut request: Request) -> Request {
    request.method = "GET".into();
    request.version = HttpVersion::Http11;
    for name in [
        "Accept",
        "Connection-Id",
        "Content-Length",
        "Content-Type",
        "Sec-WebSocket-Extensions",
    ] {
        request.fields.remove(name);
    }
    let mut request = without(request, &["meta-"]);
    request.fields.set("Upgrade", "websocket");
    request.fields.set("Connection", "Upgrade");
    request
}

/// The request without the fields whose names, in lower case, have these prefixes.
pub(super) fn without(mut request: Request, prefixes: &[&str]) -> Request {
    let kept = Fields::default();
    let fields = core::mem::replace(&mut request.fields, kept);
    for (name, value) in fields.iter() {
        if !begins_with(name, prefixes) {
            request.fields.append(name, value);
        }
    }
    request
}

fn begins_with(name: &str, prefixes: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The fields that an app adds to the response that accepts a WebSocket.
///
/// # Errors
///
/// A field that cannot be sent, or that would instruct the proxy.
pub(super) fn accepted(fields: &Fields) -> Result<Fields, HeadError> {
    const RESERVED: [&str; 8] = [
        "content-bytes-accepted",
        "content-length",
        "content-type",
        "grip-",
        "keep-alive-interval",
        "sec-websocket-extensions",
        "set-meta-",
        "transfer-encoding",
    ];
    screen(fields, &RESERVED)
}

/// The head of an app's own response.
///
/// # Errors
///
/// As [`accepted`].
pub(super) fn response(head: &ResponseHead) -> Result<ResponseHead, HeadError> {
    if !(200..600).contains(&head.status) {
        return Err(HeadError::Status(head.status));
    }
    // The proxy would take these bodies for instructions.
    let is_the_proxys = |value: &[u8]| {
        let value = value.to_ascii_lowercase();
        value.starts_with(EVENTS.as_bytes()) || value.starts_with(b"application/grip-")
    };
    if head.fields.values("Content-Type").any(is_the_proxys) {
        return Err(HeadError::Reserved("Content-Type".into()));
    }
    let reserved = ["content-length", "grip-", "trailer", "transfer-encoding"];
    Ok(ResponseHead {
        status: head.status,
        fields: screen(&head.fields, &reserved)?,
    })
}

fn screen(fields: &Fields, reserved: &[&str]) -> Result<Fields, HeadError> {
    let mut kept = Fields::new();
    for (name, value) in fields.iter() {
        if !is_token(name.as_bytes()) {
            return Err(HeadError::Name);
        }
        // RFC 9110 §5.5: a CR or LF would let the sender begin a line of its choice.
        if value
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err(HeadError::Value(name.into()));
        }
        if begins_with(name, reserved) {
            return Err(HeadError::Reserved(name.into()));
        }
        if !is_of_this_hop(name) {
            kept.append(name, value);
        }
    }
    Ok(kept)
}

/// RFC 9110 §7.6.1: fields about the connection to the proxy, which are the host's.
fn is_of_this_hop(name: &str) -> bool {
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Upgrade",
    ]
    .iter()
    .any(|own| name.eq_ignore_ascii_case(own))
}

/// Why an app's head cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    Status(u16),
    Name,
    Value(String),
    Reserved(String),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the app's response has status {status}"),
            Self::Name => f.write_str("a field of the app's response has an invalid name"),
            Self::Value(name) => write!(f, "the field {name} has bytes it cannot have"),
            Self::Reserved(name) => write!(f, "the field {name} is not for an app to send"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(*name, *value);
        }
        fields
    }

    #[test]
    fn refuses_fields_for_the_proxy() {
        for line in [
            ("Grip-Hold", "stream"),
            ("grip-channel", "x"),
            ("Content-Length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "Application/WebSocket-Events; x"),
            ("Content-Type", "application/grip-instruct"),
            ("a b", "x"),
            ("X", "a\r\nGrip-Hold: stream"),
        ] {
            let head = |status| ResponseHead {
                status,
                fields: fields(&[line]),
            };
            assert!(response(&head(200)).is_err(), "{line:?}");
            assert!(accepted(&fields(&[line])).is_err(), "{line:?}");
        }
        for name in [
            "Set-Meta-Wasocket",
            "Sec-WebSocket-Extensions",
            "Keep-Alive-Interval",
            "Content-Bytes-Accepted",
        ] {
            assert!(accepted(&fields(&[(name, "x")])).is_err(), "{name}");
        }
        for status in [0, 101, 199, 600] {
            let fields = Fields::new();
            assert!(response(&ResponseHead { status, fields }).is_err());
        }
    }

    #[test]
    fn leaves_out_hop_by_hop_fields() {
        let own = fields(&[
            ("Connection", "close"),
            ("Set-Cookie", "a=b"),
            ("upgrade", "x"),
        ]);
        let kept = accepted(&own).expect("valid");
        let names: Vec<&str> = kept.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Set-Cookie"]);
    }
}
