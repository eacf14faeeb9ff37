//! The HTTP backends that the operator allows guests to ask.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::Duration;

use crate::net::dial::url::Url;

use crate::net::host_pattern::Host;

/// What the requests of guests are held to.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The backends that may be asked.
    pub allowed: Vec<Allowed>,
    /// The requests that an instance may have under way, until the answer is read or dropped.
    pub max_under_way: usize,
    /// The time to connect, TLS included.
    pub connect_timeout: Duration,
    /// The time from then on until the head of the answer is there, and between the parts of its body.
    pub silence_timeout: Duration,
}

impl Default for Policy {
    /// Nobody may be asked; 64 requests, 10 s, 60 s.
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            max_under_way: 64,
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(60),
        }
    }
}

impl Policy {
    /// How many resources a guest may hold in the host.
    pub(crate) fn max_resources(&self) -> usize {
        self.max_under_way.saturating_mul(16).saturating_add(256)
    }
}

/// Backends that may be asked: `HOST[:PORT]`, where `*` is any host, `*.` before a name one more label, and
/// `:*` any port. Without a port, those of `http` and `https`.
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

    /// Whether the host is not named in full: then it must be one that everybody can reach.
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
            // The colons of an IPv6 address are in brackets.
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
        match is_name {
            true => Ok(of(name.to_owned())),
            false => Err(AllowedError::Host),
        }
    }
}

/// Why a text names no backends, or no hosts to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedError {
    /// It is a URL, or has a path.
    Url,
    /// What stands before the port is no host.
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
    fn what_names_no_host_is_refused() {
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
    fn only_a_host_in_full_may_be_inside() {
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
