use alloc::string::String;
use alloc::vec::Vec;
use core::str;

use super::HandshakeError;
use super::authority::{Authority, Host};
use crate::head::{NotSingle, Request};

/// Which origins (RFC 6454) a browser may connect from. It protects users: without it every page they
/// visit could use their cookies to talk to this server (RFC 6455 §10.2).
///
/// A request without `Origin` does not come from a browser's page and is accepted by all of these.
/// `null`, which is the origin of sandboxed frames and of files, is refused by all but
/// [`DangerouslyAllowAny`](Self::DangerouslyAllowAny).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Only pages of the server itself: the origin's host and port are those the request names, in an
    /// absolute target or else in `Host`.
    ///
    /// Over TLS the scheme must be `https`. Without, it may be `http` or `https`, because a proxy in front of
    /// the host may terminate TLS.
    #[default]
    Same,
    /// The server's own, and those that match one of these patterns.
    ///
    /// A pattern is an origin as browsers send it, such as `https://example.com` or
    /// `http://localhost:8080`: a scheme, a host, and a port unless it is the scheme's default. Case
    /// does not matter; everything else does. There are two wildcards:
    ///
    /// - `https://*.example.com`: a first label `*` stands for exactly one label, as in certificates
    ///   (RFC 9525 §6.3). `https://app.example.com` matches; `https://example.com` and
    ///   `https://a.b.example.com` do not.
    /// - `http://localhost:*`: any port, the default included.
    ///
    /// A pattern of any other form, such as `https://*`, `https://app*.example.com` or
    /// `https://example.com/`, matches nothing.
    SameOr(&'static [&'static str]),
    /// As [`SameOr`](Self::SameOr), with patterns that are only known when the app runs.
    SameOrListed(Vec<String>),
    /// Every origin. Only for servers that do not identify users by anything a browser adds by itself: no
    /// cookies, no HTTP authentication, no client certificates, no private network.
    DangerouslyAllowAny,
}

impl Origins {
    /// Checks the `Origin` of a request for this host.
    pub(super) fn check(&self, request: &Request, host: &Authority) -> Result<(), HandshakeError> {
        let origin = match request.fields.single("Origin") {
            Ok(origin) => origin,
            Err(NotSingle::Missing) => return Ok(()),
            // RFC 6454 §7.3: "The user agent MUST NOT include more than one Origin header field".
            Err(NotSingle::Repeated) => return Err(HandshakeError::OriginRepeated),
        };
        if *self == Self::DangerouslyAllowAny {
            return Ok(());
        }
        let allows = |origin: Origin| origin.is_same(request.secure, host) || self.lists(&origin);
        let allowed = Origin::parse(origin).is_some_and(allows);
        allowed.then_some(()).ok_or(HandshakeError::OriginForbidden)
    }

    fn lists(&self, origin: &Origin<'_>) -> bool {
        match self {
            Self::SameOr(patterns) => patterns.iter().any(|own| origin.matches(own)),
            Self::SameOrListed(patterns) => patterns.iter().any(|own| origin.matches(own)),
            Self::Same | Self::DangerouslyAllowAny => false,
        }
    }
}

/// RFC 6454 §7.1: `scheme "://" host [ ":" port ]`. `null` and lists are not origins.
struct Origin<'a> {
    scheme: &'a str,
    authority: Authority<'a>,
}

impl<'a> Origin<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (scheme, authority) = str::from_utf8(bytes).ok()?.split_once("://")?;
        let authority = Authority::parse(authority.as_bytes())?;
        Some(Self { scheme, authority })
    }

    fn has_scheme(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The port that applies when none is given (RFC 6454 §4, item 4).
    fn default_port(&self) -> Option<u16> {
        let ports = [("http", 80), ("https", 443)];
        let default = ports.iter().find(|(scheme, _)| self.has_scheme(scheme));
        default.map(|(_, port)| *port)
    }

    /// Whether this is the origin of the server.
    fn is_same(&self, secure: bool, host: &Authority) -> bool {
        (self.has_scheme("https") || self.has_scheme("http") && !secure)
            && self.authority.matches(host, self.default_port())
    }

    /// Whether a pattern of [`Origins::SameOr`] matches this origin.
    fn matches(&self, pattern: &str) -> bool {
        let Some((scheme, rest)) = pattern.split_once("://") else {
            return false;
        };
        let (rest, any_port) = match rest.strip_suffix(":*") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (rest, host) = match rest.strip_prefix("*.") {
            Some(rest) => (rest, after_first_label(self.authority.host)),
            None => (rest, Some(self.authority.host)),
        };
        let (Some(own), Some(host)) = (Authority::parse(rest.as_bytes()), host) else {
            return false;
        };
        let port = |authority: &Authority| authority.port_or(self.default_port());
        !rest.contains('*')
            && self.has_scheme(scheme)
            && own.host.matches(&host)
            && (any_port || port(&own) == port(&self.authority))
    }
}

/// `example.com` for `app.example.com`. Addresses have no labels.
fn after_first_label(host: Host) -> Option<Host> {
    match host {
        Host::Name(name) => match name.split_once('.')? {
            ("", _) => None,
            (_, rest) => Some(Host::Name(rest)),
        },
        Host::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Fields, HttpVersion};
    use alloc::string::ToString;

    fn check(origins: &Origins, origin: &str, host: &str, secure: bool) -> bool {
        let mut fields = Fields::new();
        fields.append("Origin", origin);
        let request = Request {
            method: "GET".to_string(),
            target: "/".to_string(),
            version: HttpVersion::Http11,
            authority: None,
            fields,
            secure,
            ..Request::default()
        };
        let host = Authority::parse(host.as_bytes()).unwrap_or_else(|| panic!("{host}"));
        origins.check(&request, &host).is_ok()
    }

    #[test]
    fn same_origin() {
        for (origin, host, secure) in [
            ("http://a.test", "a.test", false),
            ("http://a.test", "a.test:80", false),
            ("http://a.test:80", "a.test", false),
            ("http://a.test:", "a.test", false),
            ("HTTP://A.test:1234", "a.TEST:1234", false),
            ("https://a.test", "a.test", true),
            ("https://a.test", "a.test:443", true),
            // A proxy terminates TLS.
            ("https://a.test", "a.test", false),
            ("http://[::1]:1234", "[::1]:1234", false),
            ("http://a.test.", "a.test.", false),
        ] {
            assert!(
                check(&Origins::Same, origin, host, secure),
                "{origin} {host}"
            );
        }
        for (origin, host, secure) in [
            ("http://b.test", "a.test", false),
            ("http://a.test:81", "a.test", false),
            ("http://a.test:443", "a.test", false),
            ("https://a.test:80", "a.test", false),
            ("http://a.test", "a.test", true),
            ("http://a.test.evil.test", "a.test", false),
            ("http://sub.a.test", "a.test", false),
            ("http://\u{430}.test", "a.test", false),
            ("http://evila.test", "a.test", false),
            ("http://a.test.", "a.test", false),
            ("http://a.test@evil.test", "a.test", false),
            ("http://evil.test@a.test", "a.test", false),
            ("http://evil.test#a.test", "a.test", false),
            ("http://evil.test\\a.test", "a.test", false),
            ("http://a.test/", "a.test", false),
            ("http://a.test/b", "a.test", false),
            ("http://a.test:80:80", "a.test", false),
            ("ws://a.test", "a.test", false),
            ("file://a.test", "a.test", false),
            ("null", "a.test", false),
            ("null", "null", false),
            ("", "a.test", false),
            ("a.test", "a.test", false),
            ("//a.test", "a.test", false),
            ("file://", "a.test", false),
            ("http://", "a.test", false),
            ("http://a.test, http://a.test", "a.test", false),
            ("http://a.test http://a.test", "a.test", false),
            ("::::", "a.test", false),
        ] {
            assert!(
                !check(&Origins::Same, origin, host, secure),
                "{origin} {host}"
            );
        }
    }

    /// Whether a list of this one pattern allows this origin.
    fn lists(pattern: &'static str, origin: &str) -> bool {
        let list: &'static [&'static str] = std::vec![pattern].leak();
        check(&Origins::SameOr(list), origin, "a.test", false)
    }

    #[test]
    fn lists_have_the_servers_own() {
        assert!(lists("https://b.test", "http://a.test"));
        assert!(!lists("https://b.test", "http://c.test"));
    }

    #[test]
    fn patterns() {
        for (pattern, origin) in [
            ("https://b.test", "https://b.test"),
            ("https://b.test", "https://B.test:443"),
            ("https://b.test:443", "https://b.test"),
            ("http://b.test:8080", "http://b.test:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://*.b.test", "https://app.b.test"),
            ("HTTPS://*.B.test", "https://app.b.test"),
            ("https://*.b.test:8443", "https://app.b.test:8443"),
            ("http://localhost:*", "http://localhost:8080"),
            ("http://localhost:*", "http://localhost"),
            ("http://[::1]:*", "http://[::1]:8080"),
            ("https://*.b.test:*", "https://app.b.test:8443"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert!(lists(pattern, origin), "{pattern} {origin}");
        }
        for (pattern, origin) in [
            ("https://b.test", "http://b.test"),
            ("https://b.test", "https://b.test:444"),
            ("https://b.test", "https://app.b.test"),
            ("https://b.test", "https://b.test.evil.test"),
            ("https://b.test", "https://b.test."),
            ("https://*.b.test", "https://b.test"),
            ("https://*.b.test", "https://.b.test"),
            ("https://*.b.test", "https://a.c.b.test"),
            ("https://*.b.test", "https://evilb.test"),
            ("https://*.b.test", "https://app.b.test.evil.test"),
            ("https://*.b.test", "https://app.b.test:8443"),
            ("https://*.b.test", "http://app.b.test"),
            ("https://*.b.test", "https://evil.test@app.b.test"),
            ("https://*.1", "https://[::1]"),
            ("http://localhost:*", "http://localhost.evil.test:80"),
            ("http://localhost:*", "https://localhost"),
            ("*", "https://b.test"),
            ("https://*", "https://b.test"),
            ("https://*", "https://*"),
            ("https://*.*", "https://b.test"),
            ("https://app*.b.test", "https://app1.b.test"),
            ("https://a.*.b.test", "https://a.c.b.test"),
            ("https://b.test/", "https://b.test"),
            ("b.test", "https://b.test"),
            ("", "https://b.test"),
            ("null", "null"),
        ] {
            assert!(!lists(pattern, origin), "{pattern} {origin}");
        }
    }

    #[test]
    fn any() {
        for origin in ["null", "", "::::", "http://evil.test"] {
            assert!(check(
                &Origins::DangerouslyAllowAny,
                origin,
                "a.test",
                false
            ));
        }
    }
}
