//! Who may see topics and publish.

use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;
use ring::digest::{SHA256, digest};
use wasocket_host_core::http1::Request;

use super::pages::Answer;
use crate::http::hosts::Hosts;

/// The shortest token, in bytes: what a random number of 96 bits takes in base64.
const MIN_TOKEN: usize = 16;

/// A secret that a request must carry. Only its digest is kept, so that comparing it tells nothing by its time.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// A text that cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenError;

impl Token {
    /// The token in the content of a file: white space around it does not count.
    ///
    /// # Errors
    ///
    /// If it has less than 16 bytes, or others than visible ASCII.
    pub fn from_file(content: &str) -> Result<Self, TokenError> {
        let token = content.trim();
        if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError);
        }
        Ok(Self::of(token.as_bytes()))
    }

    fn of(token: &[u8]) -> Self {
        let mut own = [0; 32];
        own.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(own)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a token of at least {MIN_TOKEN} visible ASCII characters on one line"
        )
    }
}

impl std::error::Error for TokenError {}

/// What a request must have.
pub(super) struct Access {
    token: Option<Token>,
    /// Whether only users of this machine reach the listener.
    is_private: bool,
    hosts: Hosts,
}

impl Access {
    /// For a listener with these addresses; none for a Unix socket.
    pub(super) fn new(token: Option<Token>, addresses: &[SocketAddr]) -> Self {
        let is_loopback = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        Self {
            token,
            is_private: addresses.iter().all(is_loopback),
            hosts: Hosts::new(&[], addresses),
        }
    }

    /// Checks a request about topics.
    ///
    /// # Errors
    ///
    /// The answer to one that is not permitted.
    pub(super) fn check(&self, request: &Request) -> Result<(), Answer> {
        let forbidden = |text| Err(Answer::text(StatusCode::FORBIDDEN, text));
        if is_of_a_page(request) {
            return forbidden("not for pages in a browser");
        }
        match &self.token {
            Some(token) => match bearer(request) {
                Some(given) if Token::of(given) == *token => Ok(()),
                _ => Err(Answer::unauthorized()),
            },
            None if !self.is_private => forbidden(
                "this address is neither loopback nor a Unix socket: set --admin-token-file to use topics here",
            ),
            // A page could have its own name resolve to this address (DNS rebinding).
            None if !self.hosts.serve(&host(request)) => {
                forbidden("not for pages in a browser: use localhost or an IP address in the URL")
            }
            None => Ok(()),
        }
    }
}

/// Whether a browser sends the request for a page, of whatever site: it could be anybody's.
fn is_of_a_page(request: &Request) -> bool {
    let fetch = value(request, "sec-fetch-site");
    value(request, "origin").is_some() || fetch.is_some_and(|site| site != b"none")
}

/// The token of RFC 6750 §2.1.
fn bearer(request: &Request) -> Option<&[u8]> {
    let value = value(request, "authorization")?;
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn host(request: &Request) -> String {
    let host = value(request, "host").unwrap_or_default();
    String::from_utf8_lossy(host).into_owned()
}

pub(super) fn value<'a>(request: &'a Request, name: &str) -> Option<&'a [u8]> {
    let mut fields = request.fields.iter();
    let field = fields.find(|(own, _)| own.eq_ignore_ascii_case(name));
    field.map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasocket_host_core::http1::Version;

    fn request(fields: &[(&str, &str)]) -> Request {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Request {
            method: "GET".to_owned(),
            target: "/topics".to_owned(),
            version: Version::Http11,
            fields: fields.iter().map(field).collect(),
        }
    }

    fn permits(token: Option<&str>, address: Option<&str>, fields: &[(&str, &str)]) -> bool {
        let token = token.map(|token| Token::from_file(token).unwrap());
        let addresses: Vec<_> = address
            .map(|one| one.parse().unwrap())
            .into_iter()
            .collect();
        let access = Access::new(token, &addresses);
        access.check(&request(fields)).is_ok()
    }

    #[test]
    fn local_listeners_need_no_token() {
        for address in [None, Some("127.0.0.1:9"), Some("[::1]:9")] {
            assert!(permits(None, address, &[("Host", "localhost:9")]));
            assert!(
                permits(None, address, &[("Host", "127.0.0.1:9")])
                    || address != Some("127.0.0.1:9")
            );
        }
        assert!(!permits(
            None,
            Some("0.0.0.0:9"),
            &[("Host", "localhost:9")]
        ));
        assert!(!permits(
            None,
            Some("192.0.2.1:9"),
            &[("Host", "192.0.2.1:9")]
        ));
    }

    #[test]
    fn a_token_is_needed_where_there_is_one() {
        let token = "0123456789abcdef";
        for address in [None, Some("127.0.0.1:9"), Some("192.0.2.1:9")] {
            assert!(!permits(Some(token), address, &[]));
            for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef"] {
                assert!(permits(Some(token), address, &[("authorization", right)]));
            }
            for wrong in [
                "Bearer 0123456789abcdeF",
                "Bearer",
                "Basic 0123456789abcdef",
                "",
            ] {
                assert!(!permits(Some(token), address, &[("authorization", wrong)]));
            }
        }
    }

    #[test]
    fn pages_in_a_browser_may_do_nothing() {
        let host = ("Host", "localhost:9");
        let loopback = Some("127.0.0.1:9");
        for field in [
            ("Origin", "null"),
            ("Origin", "http://localhost:9"),
            ("Sec-Fetch-Site", "cross-site"),
        ] {
            assert!(!permits(None, loopback, &[host, field]));
        }
        assert!(!permits(None, loopback, &[("Host", "evil.example:9")]));
        // Typed into the address bar.
        assert!(permits(None, loopback, &[host, ("Sec-Fetch-Site", "none")]));
    }

    #[test]
    fn tokens_are_long_enough_and_visible() {
        assert!(Token::from_file(" 0123456789abcdef\n").is_ok());
        for bad in [
            "",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdé",
        ] {
            assert!(Token::from_file(bad).is_err(), "{bad}");
        }
    }
}
