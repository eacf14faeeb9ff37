use core::net::Ipv6Addr;
use core::str;

/// A host with an optional port: the value of `Host`, what follows `//` in an absolute target or in
/// an origin (RFC 3986 §3.2, without user information).
#[derive(Clone, Copy, Debug)]
pub(super) struct Authority<'a> {
    pub(super) host: Host<'a>,
    port: Option<u16>,
}

/// A name never equals an address, and a trailing dot counts, as it does for browsers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Host<'a> {
    /// A registered name, or an IPv4 address, which looks like one.
    Name(&'a str),
    V6(Ipv6Addr),
}

impl<'a> Authority<'a> {
    /// `None` if the bytes are not an authority, or the host is empty.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (Host::V6(address.parse().ok()?), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (is_name(name).then_some(Host::Name(name))?, port)
            }
        };
        let port = parse_port(port)?;
        Some(Self { host, port })
    }

    /// Whether both name the same host and port, with `default_port` in place of a missing one.
    pub(super) fn matches(&self, other: &Self, default_port: Option<u16>) -> bool {
        self.host.matches(&other.host) && self.port_or(default_port) == other.port_or(default_port)
    }

    /// The port, or this one if none is given.
    pub(super) fn port_or(&self, default_port: Option<u16>) -> Option<u16> {
        self.port.or(default_port)
    }
}

impl Host<'_> {
    /// Whether both are the same host. RFC 3986 §3.2.2: the host "is case-insensitive".
    pub(super) fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(own), Self::Name(other)) => own.eq_ignore_ascii_case(other),
            (Self::V6(own), Self::V6(other)) => own == other,
            _ => false,
        }
    }
}

/// `reg-name` of RFC 3986 §3.2.2. RFC 9110 §4.2.1: an empty host is invalid.
fn is_name(text: &str) -> bool {
    let regular = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    let is_escape = |tail: &str| {
        let digits = tail.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    !text.is_empty() && text.bytes().all(regular) && text.split('%').skip(1).all(is_escape)
}

/// A colon and a port, or nothing: `[":" *DIGIT]`. RFC 3986 §3.2.3: an empty port is the default.
#[allow(clippy::option_option, reason = "no port, and no valid port")]
fn parse_port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None if text.is_empty() => Some(None),
        None => None,
        Some("") => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().map(Some)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for valid in [
            "a",
            "example.com:80",
            "example.com:",
            "example.com.",
            "a_b.test",
            "%41.test",
            "[::1]",
            "[::1]:1234",
            "[::ffff:127.0.0.1]",
            "127.0.0.1:1",
            "a:0",
            "a:65535",
            "a:00080",
        ] {
            assert!(Authority::parse(valid.as_bytes()).is_some(), "{valid}");
        }
        for invalid in [
            "",
            ":80",
            "a b",
            "a@b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:+1",
            "a: 1",
            "%4.test",
            "%zz",
            "[",
            "[::1",
            "[]",
            "[::1]80",
            "[::1]:x",
            "[a]",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "::1",
            "caf\u{e9}",
            "a\0",
            "a,b:c",
        ] {
            assert!(Authority::parse(invalid.as_bytes()).is_none(), "{invalid}");
        }
        assert!(Authority::parse(b"\xff").is_none());
    }

    #[test]
    fn compares_hosts_by_kind() {
        let parse = |text: &'static str| {
            Authority::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
        };
        for (one, other, same) in [
            ("a.test", "A.TEST:80", true),
            ("a.test:", "a.test", true),
            ("a.test:81", "a.test", false),
            ("a.test.", "a.test", false),
            ("[::1]", "[0:0:0:0:0:0:0:1]:80", true),
            ("[::1]", "localhost", false),
        ] {
            assert_eq!(
                parse(one).matches(&parse(other), Some(80)),
                same,
                "{one} {other}"
            );
        }
    }
}
