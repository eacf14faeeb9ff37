//! WebSocket URLs (RFC 6455 §3).

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// A `ws` or `wss` URL, split into its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether the scheme is `wss`, so TLS is used.
    pub secure: bool,
    /// The name or address to connect to; IPv6 without brackets.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// The value of `Host`, with the port unless it is the scheme's default.
    pub authority: String,
    /// The request-target: path and query.
    pub target: String,
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and
        // MUST NOT be used on these URIs."
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Character);
        }
        let (scheme, _) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = is_secure(scheme)?;
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        // RFC 6455 §3 has no userinfo in its grammar.
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        let host = authority.host();
        let default_port = if secure { 443 } else { 80 };
        let port = port(authority.as_str(), host)?.unwrap_or(default_port);
        Ok(Self {
            secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: if port == default_port {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            },
            target: target(&uri),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name or address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Place {
    /// The place that a URL names.
    pub fn of(url: &Url) -> Self {
        Self {
            host: url.host.clone(),
            port: url.port,
        }
    }
}

impl FromStr for Place {
    type Err = UrlError;

    /// `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (host, digits) = text.rsplit_once(':').ok_or(UrlError::Port)?;
        let port = port(&format!("{host}:{digits}"), host)?.ok_or(UrlError::Port)?;
        let url: Url = format!("ws://{text}").parse()?;
        if url.target != "/" {
            return Err(UrlError::Malformed);
        }
        Ok(Self {
            host: url.host,
            port,
        })
    }
}

/// As in `CONNECT`: IPv6 in brackets.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// `http` and `https` mean `ws` and `wss`, as in browsers (WHATWG WebSockets §3.1).
fn is_secure(scheme: &str) -> Result<bool, UrlError> {
    match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => Ok(false),
        "wss" | "https" => Ok(true),
        _ => Err(UrlError::Scheme),
    }
}

/// The port after a host, if any; a colon without a port means none (RFC 3986 §3.2.3).
fn port(authority: &str, host: &str) -> Result<Option<u16>, UrlError> {
    if host.trim_matches(['[', ']']).is_empty() {
        return Err(UrlError::Malformed);
    }
    match authority.strip_prefix(host).unwrap_or_default() {
        "" | ":" => Ok(None),
        port => port
            .strip_prefix(':')
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|port| *port != 0)
            .map(Some)
            .ok_or(UrlError::Port),
    }
}

fn target(uri: &Uri) -> String {
    // RFC 6455 §3: "/" if the path is empty, followed by the query.
    match uri.query() {
        Some(query) => format!("{}?{query}", path(uri)),
        None => path(uri).to_owned(),
    }
}

fn path(uri: &Uri) -> &str {
    match uri.path() {
        "" => "/",
        path => path,
    }
}

/// Why a text is not a WebSocket URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Its scheme is not one of WebSockets.
    Scheme,
    /// It contains a user or a password.
    UserInfo,
    /// It contains a fragment.
    Fragment,
    /// It contains a space, a control character or a character outside ASCII.
    Character,
    /// Its port is not a number from 1 to 65535.
    Port,
    /// It is not a URL.
    Malformed,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "expected ws://HOST/PATH or wss://HOST/PATH",
            Self::UserInfo => {
                "a WebSocket URL has no user and password; send them with \
                 --header 'Authorization: Basic ..'"
            }
            Self::Fragment => "a WebSocket URL has no fragment; write a # in a query as %23",
            Self::Character => {
                "only visible ASCII may be in a URL; write other characters percent-encoded, \
                 and host names in punycode"
            }
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Malformed => "this is not a URL, such as ws://127.0.0.1:1234/echo",
        })
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_urls_into_parts() -> Result<(), UrlError> {
        for (text, secure, host, port, authority, target) in [
            ("ws://a.test", false, "a.test", 80, "a.test", "/"),
            ("WS://a.test:80/x", false, "a.test", 80, "a.test", "/x"),
            ("wss://a.test", true, "a.test", 443, "a.test", "/"),
            ("wss://a.test:80/", true, "a.test", 80, "a.test:80", "/"),
            ("ws://[::1]:1/a?b", false, "::1", 1, "[::1]:1", "/a?b"),
            ("ws://[::1]", false, "::1", 80, "[::1]", "/"),
            ("ws://a?b=ws://c", false, "a", 80, "a", "/?b=ws://c"),
            ("http://a:/x", false, "a", 80, "a", "/x"),
            ("https://a/?", true, "a", 443, "a", "/?"),
        ] {
            let expected = Url {
                secure,
                host: host.to_owned(),
                port,
                authority: authority.to_owned(),
                target: target.to_owned(),
            };
            assert_eq!(text.parse::<Url>()?, expected, "{text}");
        }
        Ok(())
    }

    #[test]
    fn refuses_other_texts() {
        for (text, error) in [
            ("", UrlError::Scheme),
            ("a.test/echo", UrlError::Scheme),
            ("localhost:1234", UrlError::Scheme),
            ("ftp://a.test/", UrlError::Scheme),
            ("ws://me:secret@a.test/", UrlError::UserInfo),
            ("ws://me@a.test/", UrlError::UserInfo),
            ("ws://a.test/#there", UrlError::Fragment),
            ("ws://a.test/a b", UrlError::Character),
            ("ws://a.test/\u{e4}", UrlError::Character),
            ("ws://a.test:0/", UrlError::Port),
            ("ws://a.test:65536/", UrlError::Port),
            ("ws://", UrlError::Malformed),
            ("ws:///x", UrlError::Malformed),
            ("ws://[::1/", UrlError::Malformed),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
    }
}
