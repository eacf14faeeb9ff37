use super::HandshakeError;
use super::authority::Authority;

/// Checks the request-target of an opening handshake. Returns its authority, if it has one.
///
/// RFC 6455 §4.2.1, item 1: a resource name, which is a path with an optional query (§3), "or an absolute
/// HTTP/HTTPS URI containing the /resource name/". So a `ws` URI is not allowed. `https` may come over a
/// connection without TLS, because a proxy in front of the host may terminate it.
pub(super) fn check(target: &str) -> Result<Option<Authority<'_>>, HandshakeError> {
    // RFC 9112 §3.2; §3 of RFC 6455: "Fragment identifiers are meaningless in the context of WebSocket
    // URIs and MUST NOT be used". Looser than RFC 3986, as browsers send `"`, `{`, `|` unescaped.
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('#') {
        return Err(HandshakeError::TargetInvalid);
    }
    if target.starts_with('/') {
        return Ok(None);
    }
    let (scheme, rest) = target
        .split_once("://")
        .ok_or(HandshakeError::TargetInvalid)?;
    if !["http", "https"]
        .iter()
        .any(|http| scheme.eq_ignore_ascii_case(http))
    {
        return Err(HandshakeError::TargetInvalid);
    }
    // RFC 9110 §4.2.4: user information is to be treated as an error, and `Authority` does not parse it.
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    Authority::parse(authority.as_bytes())
        .map(Some)
        .ok_or(HandshakeError::TargetInvalid)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn targets() {
        for valid in [
            "/",
            "/a?b=c",
            "//a",
            "/a://b",
            "/%zz",
            "/?{\"a\":[1|2]}",
            "/a\\b",
        ] {
            assert!(matches!(check(valid), Ok(None)), "{valid}");
        }
        for valid in [
            "http://a.test",
            "http://a.test/b",
            "http://a.test?b",
            "HTTPS://[::1]:1/b",
            "http://a.test/b?c=x@y://z",
        ] {
            assert!(matches!(check(valid), Ok(Some(_))), "{valid}");
        }
        for invalid in [
            "",
            "*",
            "a",
            "a.test:80",
            "/a b",
            "/a#b",
            "/#",
            "/caf\u{e9}",
            "/a\0",
            "/a\x7f",
            "http:/a",
            "http:///a",
            "http://",
            "http://:80/a",
            "http://x@a.test/b",
            "http://x:y@a.test/b",
            "http://a.test:65536/b",
            "http://[::1/b",
            "http://a.test\\b",
            "ws://a.test/b",
            "wss://a.test/b",
            "ftp://a.test/b",
        ] {
            assert!(check(invalid).is_err(), "{invalid}");
        }
    }
}
