//! The HTTP backends that guests may send requests to.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::Duration;

use crate::net::dial::url::Url;

use crate::net::host_pattern::Host;

/// Limits on the HTTP requests of guests.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The backends that are allowed.
    pub allowed: Vec<Allowed>,
    /// The most requests of an instance in progress. A request ends when its response is read or dropped.
    pub max_in_progress: usize,
    /// Time to connect, including TLS.
    pub connect_timeout: Duration,
    /// Time from then until the response's head, and between the parts of its body.
    pub silence_timeout: Duration,
}

impl Default for Policy {
    /// No backends; 64 requests, 10 s, 60 s.
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            max_in_progress: 64,
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(60),
        }
    }
}

impl Policy {
    /// The most resources a guest may hold in the host.
    pub(crate) fn max_resources(&self) -> usize {
        self.max_in_progress.saturating_mul(16).saturating_add(256)
    }
}

/// Allowed backends: `HOST[:PORT]`, where `*` is any host, `*.` before a name any one label, and `:*` any port. Without
/// a port, the default ports of `http` and `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    host: Host,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    Default,
    Is(u16),
}

impl Allowed {
    /// Whether a request to a URL is allowed.
    #[must_use]
    pub fn matches(&self, url: &Url) -> bool {
        self.host.matches(&url.host) && self.port.matches(url)
    }

    /// Whether the host is a pattern. Then it must have a public address.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        !matches!(self.host, Host::Is(_))
    }
}

impl Port {
    fn matches(self, url: &Url) -> bool {
        match self {
            Self::Any => true,
            Self::Default => url.port == if url.secure { 443 } else { 80 },
            Self::Is(port) => url.port == port,
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        if text.contains('/') {
            return Err(AllowedError::Url);
        }
        let (host, port) = match text.rsplit_once(':') {
            // IPv6 addresses are in brackets, with colons inside.
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None => Port::Default,
            Some("*") => Port::Any,
            Some(port) => Port::Is(port.parse().map_err(|_| AllowedError::Port)?),
        };
        Ok(Self {
            host: host.parse()?,
            port,
        })
    }
}

impl FromStr for Host {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = text.to_ascii_lowercase();
        if let Some(address) = text.strip_prefix('[') {
            let address = address.strip_suffix(']').ok_or(AllowedError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| AllowedError::Host)?;
            return Ok(Self::Is(address.to_string()));
        }
        let (name, of): (&str, fn(String) -> Self) = match text.strip_prefix("*.") {
            Some(parent) => (parent, Self::LabelOf),
            None => (&text, Self::Is),
        };
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        if is_name {
            Ok(of(name.to_owned()))
        } else {
            Err(AllowedError::Host)
        }
    }
}

/// Why a text does not name allowed backends, or hosts to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedError {
    /// It is a URL, or has a path.
    Url,
    /// The part before the port is not a host.
    Host,
    /// The port is not a number from 0 to 65535.
    Port,
}

impl fmt::Display for AllowedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "expected HOST or HOST:PORT, without http:// and without a path",
            Self::Host => {
                "expected a host, such as api.example.com, *.example.com, 127.0.0.1, [::1], or *"
            }
            Self::Port => "expected a port, such as 8080, or * for any",
        })
    }
}

impl std::error::Error for AllowedError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &str, url: &str) -> Option<bool> {
        Some(allowed.parse::<Allowed>().ok()?.matches(&url.parse().ok()?))
    }

    #[test]
    fn hosts_and_ports_are_compared() {
        for (allowed, url, expected) in [
            ("a.test", "http://a.test/x", true),
            ("a.test", "https://A.TEST", true),
            ("a.test", "http://a.test.:80", true),
            ("a.test", "http://a.test:443", false),
            ("a.test", "https://a.test:8443", false),
            ("a.test", "http://b.a.test", false),
            ("a.test", "http://a.test.evil", false),
            ("a.test:8443", "https://a.test:8443", true),
            ("a.test:8443", "https://a.test", false),
            ("a.test:*", "http://a.test:1", true),
            ("*.a.test", "http://b.a.test", true),
            ("*.a.test", "http://c.b.a.test", false),
            ("*.a.test", "http://a.test", false),
            ("*.a.test", "http://.a.test", false),
            ("*", "http://a.test", true),
            ("*", "http://a.test:81", false),
            ("*:*", "https://[::1]:81", true),
            ("[::1]:81", "http://[0:0::1]:81", false),
            ("[0:0::1]:81", "http://[::1]:81", true),
            ("127.0.0.1:81", "http://127.0.0.1:81", true),
        ] {
            assert_eq!(allows(allowed, url), Some(expected), "{allowed} {url}");
        }
    }

    #[test]
    fn invalid_hosts_are_refused() {
        for (text, error) in [
            ("http://a.test", AllowedError::Url),
            ("a.test/x", AllowedError::Url),
            ("", AllowedError::Host),
            (":80", AllowedError::Host),
            ("a b", AllowedError::Host),
            ("a*.test", AllowedError::Host),
            ("*.*.test", AllowedError::Host),
            ("::1", AllowedError::Host),
            ("[::1", AllowedError::Host),
            ("a.test:", AllowedError::Port),
            ("a.test:65536", AllowedError::Port),
        ] {
            assert_eq!(text.parse::<Allowed>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn only_a_host_named_in_full_may_be_private() {
        for (text, is_wildcard) in [("localhost:*", false), ("*.a.test", true), ("*:80", true)] {
            let allowed = text.parse::<Allowed>();
            assert_eq!(
                allowed.map(|allowed| allowed.is_wildcard()),
                Ok(is_wildcard),
                "{text}"
            );
        }
    }
}
