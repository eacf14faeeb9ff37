//! The HTTP proxy to reach a server through, as given or from the environment, which is read the way curl
//! reads it.

use std::env;
use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::net::dial::url::{Url, UrlError};
use crate::net::percent::decode;

/// The variables for `ws://`. Not `HTTP_PROXY`: a CGI script gets a request's `Proxy` field in it, so any client
/// could choose the proxy (CVE-2016-5385).
const FOR_WS: &[&str] = &[
    "ws_proxy",
    "WS_PROXY",
    "http_proxy",
    "all_proxy",
    "ALL_PROXY",
];
/// The variables for `wss://`.
const FOR_WSS: &[&str] = &[
    "wss_proxy",
    "WSS_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];
/// The variables that list servers to reach without a proxy.
const EXCEPTIONS: &[&str] = &["no_proxy", "NO_PROXY"];

/// An HTTP proxy. The connection to it does not use TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The name or address to connect to; IPv6 without brackets.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// The option or environment variable it comes from.
    pub source: &'static str,
    /// The value of `Proxy-Authorization`. A secret.
    authorization: Option<String>,
}

impl Proxy {
    /// Parses `http://USER:PASSWORD@HOST:PORT`, where only the host is required.
    ///
    /// # Errors
    ///
    /// If the text is anything else.
    pub fn parse(source: &'static str, text: &str) -> Result<Self, ProxyUrlError> {
        let fail = |reason| ProxyUrlError { source, reason };
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(fail(None)),
            None => text,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user_info, place) = match authority.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, authority),
        };
        let url = format!("http://{place}").parse::<Url>();
        let url = url.map_err(|reason| fail(Some(reason)))?;
        Ok(Self {
            host: url.host,
            port: url.port,
            source,
            authorization: user_info.map(basic),
        })
    }

    /// The proxy for a server, from the environment.
    ///
    /// # Errors
    ///
    /// If its variable is not the URL of a proxy.
    pub fn from_environment(url: &Url) -> Result<Option<Self>, ProxyUrlError> {
        let variable = |name: &str| {
            let value = env::var_os(name)?;
            Some(value.to_string_lossy().into_owned())
        };
        choose(url, variable)
    }

    /// The value of `Proxy-Authorization`; `None` if the URL has no user.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// As in curl, the first variable that is set and not empty counts, and only `no_proxy` exempts servers: not even
/// 127.0.0.1 is exempt by default.
fn choose(
    url: &Url,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ProxyUrlError> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some((*name, value))
        })
    };
    if first(EXCEPTIONS).is_some_and(|(_, list)| is_exempt(url, &list)) {
        return Ok(None);
    }
    first(if url.secure { FOR_WSS } else { FOR_WS })
        .map(|(name, value)| Proxy::parse(name, &value))
        .transpose()
}

/// Whether a list of exceptions, separated by commas or spaces, contains a server.
fn is_exempt(url: &Url, list: &str) -> bool {
    list.split([',', ' ', '\t']).any(|entry| {
        let (name, port) = split_port(entry);
        let name = name.trim_matches(['[', ']']);
        let is_host = match url.host.parse() {
            Ok(address) => is_in(address, name),
            Err(_) => is_within(&url.host, name),
        };
        entry == "*" || is_host && port.is_none_or(|port| port == url.port)
    })
}

/// An IPv6 address has a port only after its brackets.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// Whether an address equals another, or is in a network such as `10.0.0.0/8` (RFC 4632 §3.1).
fn is_in(address: IpAddr, network: &str) -> bool {
    let Some((base, length)) = network.split_once('/') else {
        return network.parse() == Ok(address);
    };
    let Ok(length) = length.parse::<u32>() else {
        return false;
    };
    match (address, base.parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(base))) => {
            (address.to_bits() ^ base.to_bits()).leading_zeros() >= length
        }
        (IpAddr::V6(address), Ok(IpAddr::V6(base))) => {
            (address.to_bits() ^ base.to_bits()).leading_zeros() >= length
        }
        _ => false,
    }
}

/// Whether a host is a domain or a subdomain of it. A leading dot or `*.` makes no difference.
fn is_within(host: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.').as_bytes();
    let domain = domain.strip_prefix('*').unwrap_or(domain);
    let domain = domain.trim_matches('.').as_bytes();
    let Some(start) = host.len().checked_sub(domain.len()) else {
        return false;
    };
    let (labels, end) = host.split_at(start);
    !domain.is_empty()
        && end.eq_ignore_ascii_case(domain)
        && labels.last().is_none_or(|last| *last == b'.')
}

/// RFC 7617 §2: user and password, separated by a colon, in Base64.
fn basic(user_info: &str) -> String {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let credentials = [&decode(user)[..], b":", &decode(password)].concat();
    format!("Basic {}", STANDARD.encode(credentials))
}

/// A text that is not the URL of a proxy. The text is not shown, as it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyUrlError {
    /// The option or environment variable it comes from.
    source: &'static str,
    /// What is wrong with it; `None` if it is the scheme.
    reason: Option<UrlError>,
}

impl fmt::Display for ProxyUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected http://HOST:PORT, ", self.source)?;
        match self.reason {
            None => write!(f, "no other kind of proxy is supported"),
            Some(UrlError::Character) => write!(f, "in visible ASCII"),
            Some(UrlError::Port) => write!(f, "with a port from 1 to 65535"),
            Some(_) => write!(f, "and this is not a URL"),
        }
    }
}

impl std::error::Error for ProxyUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy chosen with these variables, as `HOST:PORT`, or nothing.
    fn chosen(url: &str, variables: &[(&str, &str)]) -> String {
        let url: Url = url.parse().expect("a URL");
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(own, _)| *own == name)?;
            Some((*value).to_owned())
        };
        match choose(&url, variable) {
            Ok(Some(proxy)) => format!("{}:{}", proxy.host, proxy.port),
            Ok(None) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_variable_set_wins() {
        let all = ("ALL_PROXY", "http://all:1");
        for (url, variables, expected) in [
            ("ws://a/", &[][..], ""),
            ("ws://a/", &[("http_proxy", "http://b:3128/")], "b:3128"),
            ("ws://a/", &[("http_proxy", "b:3128"), all], "b:3128"),
            ("ws://a/", &[("http_proxy", ""), all], "all:1"),
            ("ws://a/", &[("HTTP_PROXY", "http://evil:1")], ""),
            ("ws://a/", &[("https_proxy", "http://b:1")], ""),
            ("ws://a/", &[("http_proxy", "b"), ("ws_proxy", "c")], "c:80"),
            ("ws://127.0.0.1/", &[("all_proxy", "b:1")], "b:1"),
            ("wss://a/", &[("HTTPS_PROXY", "HTTP://[::1]:2")], "::1:2"),
            (
                "wss://a/",
                &[("HTTPS_PROXY", "b"), ("https_proxy", "c")],
                "c:80",
            ),
            ("wss://a/", &[("http_proxy", "http://b:1")], ""),
            ("wss://a/", &[all, ("NO_PROXY", "a")], ""),
            (
                "wss://a/",
                &[all, ("no_proxy", "b"), ("NO_PROXY", "a")],
                "all:1",
            ),
        ] {
            assert_eq!(chosen(url, variables), expected, "{url} {variables:?}");
        }
    }

    #[test]
    fn exceptions_are_hosts_domains_and_networks() {
        for (url, list, expected) in [
            ("ws://a.test/", "*", true),
            ("ws://a.test/", "b.test, A.TEST", true),
            ("ws://a.test./", "a.test", true),
            ("ws://x.a.test/", "a.test", true),
            ("ws://x.a.test/", ".a.test", true),
            ("ws://a.test/", ".a.test", true),
            ("ws://x.a.test/", "*.a.test", true),
            ("ws://xa.test/", "a.test", false),
            ("ws://test/", "a.test", false),
            ("ws://a.test/", ",. ,*.", false),
            ("ws://a.test/", "a.test:80", true),
            ("ws://a.test:81/", "a.test:80", false),
            ("wss://a.test/", "a.test:443", true),
            ("ws://a.test/", "a.test:x", false),
            ("ws://10.1.2.3/", "10.1.2.3", true),
            ("ws://10.1.2.3/", "2.3", false),
            ("ws://10.1.2.3:1/", "10.1.2.3:1", true),
            ("ws://10.1.2.3/", "10.0.0.0/8", true),
            ("ws://11.1.2.3/", "10.0.0.0/8", false),
            ("ws://11.1.2.3/", "10.0.0.0/0", true),
            ("ws://10.1.2.3/", "10.1.2.3/33", false),
            ("ws://[::1]/", "::1", true),
            ("ws://[::1]/", "[0:0::1]", true),
            ("ws://[::1]:1/", "[::1]:1", true),
            ("ws://[::1]:1/", "[::1]:2", false),
            ("ws://[fd00::1]/", "fd00::/8", true),
            ("ws://[fd00::1]/", "10.0.0.0/0", false),
        ] {
            let url: Url = url.parse().expect("a URL");
            assert_eq!(is_exempt(&url, list), expected, "{url} {list}");
        }
    }

    #[test]
    fn credentials_are_decoded_but_not_shown() {
        for (text, expected) in [
            ("http://b:1", None),
            (
                "http://Aladdin:open%20sesame@b:1",
                Some("Aladdin:open sesame"),
            ),
            ("Aladdin@b:1", Some("Aladdin:")),
            ("http://a:p@ss%4Z%@b:1/x", Some("a:p@ss%4Z%")),
            ("http://a%3a:%c3%A4:b@b:1", Some("a::\u{e4}:b")),
        ] {
            let proxy = Proxy::parse("--proxy", text).expect("a proxy");
            let expected = expected.map(|text| format!("Basic {}", STANDARD.encode(text)));
            assert_eq!(proxy.authorization(), expected.as_deref(), "{text}");
            assert_eq!((&proxy.host[..], proxy.port), ("b", 1));
            let shown = "Proxy { host: \"b\", port: 1, source: \"--proxy\", .. }";
            assert_eq!(format!("{proxy:?}"), shown);
        }
    }

    #[test]
    fn errors_name_the_source_but_not_the_text() {
        for (text, reason) in [
            ("socks5://u:secret@b:1", "no other kind"),
            ("https://u:secret@b:1", "no other kind"),
            ("http://u:secret@b:x", "a port"),
            ("http://u:secret@", "not a URL"),
            ("http://u:secret@b b", "visible ASCII"),
        ] {
            let error = chosen("ws://a/", &[("all_proxy", text)]);
            assert!(error.starts_with("all_proxy: "), "{error}");
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
