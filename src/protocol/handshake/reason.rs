//! Why a handshake was refused, for the operator: a proxy in front may have changed the values.

use alloc::string::{String, ToString};
use core::fmt::Write;

use super::HandshakeError;
use crate::head::{HttpVersion, Request};

/// The most bytes of a value, and the most lines of a field, that a reason has.
const MAX_VALUE: usize = 256;
const MAX_LINES: usize = 2;

impl HandshakeError {
    /// The rule that the request breaks, and the values that were compared, such as its origin and its host: for the
    /// operator's log, not for the client. What comes from the client is quoted, with all but visible ASCII
    /// characters escaped.
    ///
    /// It has neither the query of the target nor subprotocols, since pages put tokens into both.
    #[must_use]
    pub fn reason(self, request: &Request) -> String {
        let mut values = Values {
            text: self.to_string(),
            separator: ": ",
        };
        match self {
            Self::Method | Self::NotConnect => values.add("method", request.method.as_bytes()),
            Self::ProtocolUnsupported => {
                values.add_or_none(":protocol", request.protocol.as_deref());
            }
            Self::TargetInvalid => values.add("path", path(&request.target).as_bytes()),
            Self::HostInvalid => values.add_hosts(request),
            Self::OriginRepeated | Self::OriginForbidden => {
                values.add_field("Origin", request);
                values.add_hosts(request);
                values.add_word(if request.secure {
                    "over TLS"
                } else {
                    "without TLS"
                });
            }
            Self::UpgradeMissing if request.version == HttpVersion::Http10 => {
                values.add_word("this is HTTP/1.0");
            }
            Self::UpgradeMissing | Self::ConnectionMissing => {
                values.add_field("Upgrade", request);
                values.add_field("Connection", request);
            }
            Self::Body => {
                values.add_field("Content-Length", request);
                values.add_field("Transfer-Encoding", request);
            }
            Self::ExpectationUnknown => values.add_field("Expect", request),
            Self::VersionUnsupported | Self::VersionNotSingle => {
                values.add_field("Sec-WebSocket-Version", request);
            }
            Self::KeyMissing | Self::KeyRepeated | Self::KeyInvalid => {
                values.add_field("Sec-WebSocket-Key", request);
            }
            Self::ExtensionsInvalid => values.add_field("Sec-WebSocket-Extensions", request),
            Self::SubprotocolsInvalid => {}
        }
        values.text
    }
}

/// The target up to its query.
fn path(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// The text of a reason, to which values are added.
struct Values {
    text: String,
    separator: &'static str,
}

impl Values {
    fn add_word(&mut self, word: &str) {
        self.text += self.separator;
        self.text += word;
        self.separator = ", ";
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        self.add_word(name);
        let beginning = value.get(..MAX_VALUE).unwrap_or(value);
        // Writing to a string cannot fail.
        let _ = write!(self.text, " '{}'", beginning.escape_ascii());
    }

    fn add_or_none(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.add(name, value.as_bytes()),
            None => self.add_none(name),
        }
    }

    fn add_none(&mut self, name: &str) {
        self.add_word("no ");
        self.text += name;
    }

    fn add_field(&mut self, name: &str, request: &Request) {
        if !request.fields.contains(name) {
            return self.add_none(name);
        }
        for value in request.fields.values(name).take(MAX_LINES) {
            self.add(name, value);
        }
    }

    /// All the places in which a request may name its host.
    fn add_hosts(&mut self, request: &Request) {
        if let Some(authority) = &request.authority {
            self.add(":authority", authority.as_bytes());
        }
        if request.authority.is_none() || request.fields.contains("Host") {
            self.add_field("Host", request);
        }
        if let Some((_, rest)) = request.target.split_once("://")
            && !request.target.starts_with('/')
        {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            // Without a user name and a password.
            let host = authority.rsplit('@').next().unwrap_or_default();
            self.add("host of the target", host.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn reason(error: HandshakeError, fields: &[(&str, &str)]) -> String {
        let lines = fields
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let request = Request {
            method: "POST".into(),
            target: "/a?token=secret".into(),
            fields: lines.collect::<Vec<_>>().into(),
            ..Request::default()
        };
        error.reason(&request)
    }

    #[test]
    fn has_the_values_that_were_compared() {
        use HandshakeError::{Method, OriginForbidden, TargetInvalid, UpgradeMissing};
        let behind_nginx = [("origin", "http://a.test:8080"), ("host", "a.test")];
        for (error, fields, expected) in [
            (
                OriginForbidden,
                &behind_nginx[..],
                "this Origin is not allowed here: Origin 'http://a.test:8080', Host 'a.test', without TLS",
            ),
            (
                UpgradeMissing,
                &[("Connection", "close")],
                "this is a WebSocket endpoint: send HTTP/1.1 with Upgrade: websocket: no Upgrade, Connection 'close'",
            ),
            (Method, &[], "a WebSocket is opened with GET: method 'POST'"),
            (
                TargetInvalid,
                &[],
                "the request target is not a path, or has bytes it cannot have: path '/a'",
            ),
        ] {
            assert_eq!(reason(error, fields), expected);
        }
    }

    #[test]
    fn quotes_what_the_client_wrote_and_cuts_it() {
        let forged = "x', Host 'b\n\u{e4}";
        let reason_of = |value| reason(HandshakeError::OriginForbidden, &[("Origin", value)]);
        let text = reason_of(forged);
        assert!(
            text.contains(r"Origin 'x\', Host \'b\n\xc3\xa4', no Host"),
            "{text}"
        );
        let long = "a".repeat(10_000);
        assert!(reason_of(&long).len() < 2 * MAX_VALUE);
    }

    #[test]
    fn never_has_a_subprotocol() {
        let fields = [("Sec-WebSocket-Protocol", "token.secret, token.secret")];
        let text = reason(HandshakeError::SubprotocolsInvalid, &fields);
        assert!(!text.contains("secret"), "{text}");
    }
}
