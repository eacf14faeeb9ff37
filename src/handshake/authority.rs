use core::str;

/// A host with an optional port: the value of `Host`, or what follows `//` in an origin
/// (RFC 3986 §3.2 without user information).
#[derive(Clone, Copy, Debug)]
pub(super) struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// None where the bytes are no authority, or where the host is empty.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (host, port) = split_port(text)?;
        let port = match port {
            // RFC 3986 §3.2.3: the port may be empty, which means the default.
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        is_host(host).then_some(Self { host, port })
    }

    /// Whether both name the same host and port where `default_port` stands for none.
    pub(super) fn matches(&self, other: &Self, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// The host, and the digits behind the colon that follows it.
fn split_port(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('[') {
        let (host, rest) = text.split_at(text.find(']')?.checked_add(1)?);
        return match rest {
            "" => Some((host, "")),
            _ => Some((host, rest.strip_prefix(':')?)),
        };
    }
    Some(text.split_once(':').unwrap_or((text, "")))
}

/// A name or an address (RFC 3986 §3.2.2).
fn is_host(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return address.parse::<core::net::Ipv6Addr>().is_ok();
    }
    let is_regular = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    !host.is_empty() && host.bytes().all(is_regular)
}

#[cfg(test)]
mod tests {
    use super::Authority;

    #[test]
    fn authorities() {
        for valid in [
            "a",
            "example.com:80",
            "example.com:",
            "[::1]",
            "[::1]:1234",
            "127.0.0.1:1",
        ] {
            assert!(Authority::parse(valid.as_bytes()).is_some(), "{valid}");
        }
        for invalid in [
            "",
            ":80",
            "a b",
            "a@b",
            "a/b",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:+1",
            "[",
            "[::1",
            "[]",
            "[::1]80",
            "[a]",
            "::1",
            "caf\u{e9}",
            "a\0",
        ] {
            assert!(Authority::parse(invalid.as_bytes()).is_none(), "{invalid}");
        }
        assert!(Authority::parse(b"\xff").is_none());
    }
}
