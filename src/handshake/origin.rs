use super::HandshakeError;
use super::authority::Authority;
use crate::Request;
use crate::fields::NotSingle;

/// Which origins (RFC 6454) a browser may connect from. It protects users: without it every page they
/// visit could use their cookies to talk to this server (RFC 6455 §10.2).
///
/// A request without `Origin` does not come from a browser's page and is accepted by all of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Only pages of the server itself: the origin's host and port are those of `Host`.
    ///
    /// Over TLS the scheme must be `https`. Without, it may be `http` or `https`, as a proxy in front
    /// of the host may terminate TLS.
    #[default]
    Same,
    /// The server's own, and these, written as browsers send them: `https://example.com`,
    /// `http://localhost:8080`.
    SameOr(&'static [&'static str]),
    /// Every origin. Only for servers that know their users by nothing that a browser adds by itself:
    /// no cookies, no HTTP authentication, no client certificates, no private network.
    DangerouslyAllowAny,
}

impl Origins {
    /// Checks the `Origin` of a request whose `Host` is `host`.
    pub(super) fn check(&self, request: &Request, host: &Authority) -> Result<(), HandshakeError> {
        let origin = match request.fields.single("Origin") {
            Ok(origin) => origin,
            Err(NotSingle::Missing) => return Ok(()),
            Err(NotSingle::Repeated) => return Err(HandshakeError::OriginRepeated),
        };
        let allowed = match self {
            Self::Same => is_same(origin, request.secure, host),
            Self::SameOr(others) => {
                is_same(origin, request.secure, host)
                    || others
                        .iter()
                        .any(|own| origin.eq_ignore_ascii_case(own.as_bytes()))
            }
            Self::DangerouslyAllowAny => true,
        };
        allowed.then_some(()).ok_or(HandshakeError::OriginForbidden)
    }
}

/// Whether an origin is that of the server. `null` and everything malformed is not.
fn is_same(origin: &[u8], secure: bool, host: &Authority) -> bool {
    let (authority, default_port) =
        if let Some(rest) = strip_prefix_ignore_case(origin, b"https://") {
            (rest, 443)
        } else if let Some(rest) = strip_prefix_ignore_case(origin, b"http://")
            && !secure
        {
            (rest, 80)
        } else {
            return false;
        };
    Authority::parse(authority).is_some_and(|authority| authority.matches(host, default_port))
}

fn strip_prefix_ignore_case<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fields, HttpVersion};
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
            remote: None,
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
            ("HTTP://A.test:1234", "a.TEST:1234", false),
            ("https://a.test", "a.test", true),
            ("https://a.test", "a.test:443", true),
            // A proxy terminates TLS.
            ("https://a.test", "a.test", false),
            ("http://[::1]:1234", "[::1]:1234", false),
        ] {
            assert!(
                check(&Origins::Same, origin, host, secure),
                "{origin} {host}"
            );
        }
        for (origin, host, secure) in [
            ("http://b.test", "a.test", false),
            ("http://a.test:81", "a.test", false),
            ("http://a.test", "a.test", true),
            ("http://a.test.evil.test", "a.test", false),
            ("http://sub.a.test", "a.test", false),
            ("http://a.test@evil.test", "a.test", false),
            ("http://evil.test@a.test", "a.test", false),
            ("http://a.test/", "a.test", false),
            ("null", "a.test", false),
            ("", "a.test", false),
            ("a.test", "a.test", false),
            ("//a.test", "a.test", false),
            ("file://", "a.test", false),
            ("http://", "a.test", false),
            ("http://a.test, http://a.test", "a.test", false),
            ("::::", "a.test", false),
        ] {
            assert!(
                !check(&Origins::Same, origin, host, secure),
                "{origin} {host}"
            );
        }
    }

    #[test]
    fn lists_and_any() {
        let list = Origins::SameOr(&["https://b.test"]);
        assert!(check(&list, "http://a.test", "a.test", false));
        assert!(check(&list, "https://B.test", "a.test", false));
        assert!(!check(&list, "https://b.test:444", "a.test", false));
        assert!(!check(&list, "http://b.test", "a.test", false));
        assert!(check(
            &Origins::DangerouslyAllowAny,
            "null",
            "a.test",
            false
        ));
    }
}
