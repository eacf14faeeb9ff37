use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::str;

use percent_encoding::percent_decode_str;

use super::Fields;

/// The name of WebSocket in `Upgrade` and `:protocol` (RFC 6455 §11.2, RFC 8441 §9.2).
pub(crate) const PROTOCOL: &str = "websocket";

/// The HTTP version of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HttpVersion {
    /// HTTP/1.0, which has no upgrade.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

/// The head of an HTTP request, as the host parsed it. See `types.request` of the WIT package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, case-sensitive.
    pub method: String,
    /// The request-target, as received.
    pub target: String,
    /// The version of the protocol.
    pub version: HttpVersion,
    /// The `:authority` of HTTP/2 and HTTP/3; `None` in HTTP/1.
    pub authority: Option<String>,
    /// The `:protocol` of an extended CONNECT (RFC 8441 §4); `None` for other requests.
    pub protocol: Option<String>,
    /// All field lines.
    pub fields: Fields,
    /// Whether the request reached the host over TLS.
    pub secure: bool,
    /// The peer's address, for logs.
    pub remote: Option<String>,
    /// The values that a `Router` found for the names in its path, undecoded; [`param`](Self::param) decodes
    /// it.
    pub params: Vec<(String, String)>,
}

impl Request {
    /// The path of the target, without the query: `/chat` for both `/chat?room=1` and
    /// `http://example.com/chat` (the origin-form and the absolute-form, RFC 9112 §3.2). Escapes are not
    /// decoded. `*` and the authority-form are returned as they are. A fragment, which no target may have, is
    /// not part of the path; [`Upgrade::accept`](crate::Upgrade::accept) refuses it.
    #[must_use]
    pub fn path(&self) -> &str {
        let (_, target) = self.split_target();
        match target.split(['?', '#']).next() {
            None | Some("") => "/",
            Some(path) => path,
        }
    }

    /// The host that the request is for, with its port if the client gave one, as received: `chat.example:8080`. That
    /// of an absolute target (RFC 9112 §3.2.2), or else `:authority`, or else `Host`. `None` if there is none, and if
    /// `Host` is repeated. Hosts are compared without regard to ASCII case.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let (in_target, _) = self.split_target();
        in_target
            .or(self.authority.as_deref())
            .or_else(|| self.fields.text("Host"))
    }

    /// The host in an absolute target, and the target without it.
    fn split_target(&self) -> (Option<&str>, &str) {
        match self.target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => {
                let start = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, rest) = rest.split_at(start);
                (Some(host), rest)
            }
            _ => (None, &self.target),
        }
    }

    /// The part of the path that a `Router` matched to this name, with escapes decoded (RFC 3986 §2.1); bytes
    /// that are not UTF-8 are replaced.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut params = self.params.iter();
        let (_, value) = params.find(|(own, _)| own == name)?;
        Some(percent_decode_str(value).decode_utf8_lossy())
    }

    /// The query of the target: everything after the first question mark, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        let target = self.target.split('#').next().unwrap_or_default();
        target.split_once('?').map(|(_, query)| query)
    }

    /// The names and values in the query, as HTML forms write them, in order, with escapes decoded.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// The value of the first pair in the query with this name.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = self.query_pairs();
        pairs.find_map(|(own, value)| (own == name).then_some(value))
    }

    /// The subprotocols that the client offers, in order of preference (RFC 6455 §11.3.4).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let offers = self.fields.list("Sec-WebSocket-Protocol");
        offers.filter_map(|offer| str::from_utf8(offer).ok())
    }

    /// Whether the client asks to speak WebSocket: `Upgrade` lists `websocket`, or in HTTP/2 and HTTP/3
    /// `:protocol` is `websocket`. The handshake may still be invalid;
    /// [`Upgrade::accept`](crate::Upgrade::accept) says so.
    #[must_use]
    pub fn wants_websocket(&self) -> bool {
        let protocol = PROTOCOL;
        match &self.protocol {
            Some(own) => own.eq_ignore_ascii_case(protocol),
            None => {
                self.version < HttpVersion::Http2 && self.fields.list_contains("Upgrade", protocol)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    #[test]
    fn paths() {
        for (target, path) in [
            ("/", "/"),
            ("/echo", "/echo"),
            ("/echo?x=/y", "/echo"),
            ("/a?u=http://b/c", "/a"),
            ("http://example.com/echo?x", "/echo"),
            ("http://example.com", "/"),
            ("http://example.com?x", "/"),
            ("/echo#x", "/echo"),
            ("/#http://x/y", "/"),
            ("http://example.com#/x", "/"),
            ("*", "*"),
        ] {
            let request = Request {
                method: "GET".into(),
                target: target.into(),
                version: HttpVersion::Http11,
                authority: None,
                protocol: None,
                fields: Fields::new(),
                secure: false,
                ..Request::default()
            };
            assert_eq!(request.path(), path, "{target}");
        }
    }

    #[test]
    fn the_host_may_come_in_three_ways() {
        let host = |target: &str, authority: Option<&str>, hosts: &[&str]| {
            let mut request = Request {
                target: target.into(),
                authority: authority.map(Into::into),
                ..Request::default()
            };
            for host in hosts {
                request.fields.append("host", *host);
            }
            request.host().map(ToOwned::to_owned)
        };
        let a = Some("a.test:80".to_owned());
        assert_eq!(host("/", None, &["a.test:80"]), a);
        assert_eq!(host("/x?http://b.test/", Some("a.test:80"), &[]), a);
        assert_eq!(host("/", Some("a.test:80"), &["a.test:80"]), a);
        assert_eq!(host("http://a.test:80/x", None, &["b.test"]), a);
        assert_eq!(host("http://a.test:80?x", None, &[]), a);
        assert_eq!(host("/", None, &[]), None);
        assert_eq!(host("/", None, &["a.test", "b.test"]), None);
    }
}
