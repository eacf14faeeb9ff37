//! The hosts to serve, checked against the name in each request.
//!
//! A page of `evil.example` can have its name resolve to 127.0.0.1 on a second lookup: the browser then takes whatever
//! listens there for the page's own server, including cookies and `Origin` (DNS rebinding). The one thing that such a
//! page cannot change is the name, which its requests carry in `Host`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use wasocket_host_core::http1::{Refusal, Refused};

use crate::contract::bindings::Request;
use crate::guest::wasi::AllowedError;
use crate::net::host_pattern::Host;

/// RFC 9110 §15.5.20: for a server that is "unable or unwilling to produce an authoritative response for
/// the target URI".
const MISDIRECTED: Refusal = Refusal::new(
    421,
    "This server does not serve this host. Its operator can allow it: wasocket serve --allow-host",
);

/// A pattern for hosts to serve: `NAME[:PORT]`, where `*` is any name, and `*.` before a name is one more label.
/// Without a port, or with `:*`, any port matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host,
    port: Option<u16>,
}

impl AllowedHost {
    const ANY: Self = Self {
        host: Host::Any,
        port: None,
    };
}

impl FromStr for AllowedHost {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        if text.contains('/') {
            return Err(AllowedError::Url);
        }
        let (host, port) = split(text);
        Ok(Self {
            host: host.parse()?,
            port: match port {
                None | Some("*") => None,
                Some(port) => Some(port.parse().map_err(|_| AllowedError::Port)?),
            },
        })
    }
}

/// The hosts that a runner serves.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    allowed: Vec<AllowedHost>,
    /// The addresses listened on, and whether loopback is among them.
    addresses: Vec<IpAddr>,
    loopback: bool,
    /// Whether any host is served.
    any: bool,
}

impl Hosts {
    /// Serves the allowed hosts and the runner's own: the addresses listened on, and loopback names if loopback is among
    /// them. If no host is allowed explicitly, any host is served, unless the runner listens on loopback only: no client
    /// should reach it by another name.
    pub fn new(allowed: &[AllowedHost], listening: &[SocketAddr]) -> Self {
        let addresses = || listening.iter().map(|address| address.ip().to_canonical());
        let only_loopback = !listening.is_empty() && addresses().all(|ip| ip.is_loopback());
        Self {
            allowed: allowed.to_vec(),
            addresses: addresses().filter(|ip| !ip.is_unspecified()).collect(),
            loopback: addresses().any(|ip| ip.is_loopback() || ip.is_unspecified()),
            any: allowed.contains(&AllowedHost::ANY) || allowed.is_empty() && !only_loopback,
        }
    }

    /// Checks that a request is for one of these hosts. An HTTP/1.0 request may name no host; browsers do not send such
    /// requests.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Refused> {
        match authority(request) {
            Some(authority) if !self.any && !self.has(&authority, request.secure) => {
                // Without a user name and a password, which a target may have.
                let host = authority.rsplit('@').next().unwrap_or_default();
                Err(MISDIRECTED.because_of(host.as_bytes()))
            }
            _ => Ok(()),
        }
    }

    /// Whether this host is served, without TLS.
    pub(crate) fn serve(&self, authority: &str) -> bool {
        self.any || self.has(authority, false)
    }

    fn has(&self, authority: &str, secure: bool) -> bool {
        let (host, port) = split(authority);
        let port = match port {
            // RFC 3986 §3.2.3: an empty port is the same as no port, which means the scheme's default.
            None | Some("") => Some(if secure { 443 } else { 80 }),
            Some(port) => port.parse().ok(),
        };
        let Some(port) = port else { return false };
        let host = match host.strip_prefix('[') {
            Some(literal) => literal.strip_suffix(']').unwrap_or_default(),
            None => host,
        };
        let named = |allowed: &AllowedHost| {
            allowed.host.matches(&normal(host)) && allowed.port.is_none_or(|own| own == port)
        };
        self.is_own(host) || self.allowed.iter().any(named)
    }

    /// Whether the host always means an address that the runner listens on, whichever resolver is asked.
    fn is_own(&self, host: &str) -> bool {
        match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(ip) => self.addresses.contains(&ip) || self.loopback && ip.is_loopback(),
            Err(_) => self.loopback && is_localhost(host),
        }
    }
}

/// RFC 6761 §6.3: `localhost` and all names below it are loopback for every resolver.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Returns an address in the form that [`AllowedHost`] uses, and a name unchanged.
fn normal(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) => host.to_owned(),
    }
}

/// Splits an authority into host and port. The colons of an IPv6 address are within brackets.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// RFC 9112 §3.2.2: "When an origin server receives a request with an absolute-form of request-target, the
/// origin server MUST ignore the received Host header field (if any) and instead use the host information of
/// the request-target." In HTTP/2 there is `:authority`, which takes the place of `Host` (RFC 9113 §8.3.1).
fn authority(request: &Request) -> Option<String> {
    if request.authority.is_some() {
        return request.authority.clone();
    }
    if let Some((_, rest)) = request.target.split_once("://")
        && !request.target.starts_with('/')
    {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        return rest.get(..end).map(str::to_owned);
    }
    let is_host = |(name, _): &&(String, Vec<u8>)| name.eq_ignore_ascii_case("host");
    let (_, value) = request.fields.iter().find(is_host)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::bindings::HttpVersion;

    fn hosts(allowed: &[&str], listening: &[&str]) -> Result<Hosts, String> {
        let allowed: Result<Vec<AllowedHost>, _> =
            allowed.iter().map(|text| text.parse()).collect();
        let listening: Result<Vec<_>, _> = listening.iter().map(|text| text.parse()).collect();
        let listening = listening.map_err(|_| "not an address")?;
        Ok(Hosts::new(
            &allowed.map_err(|error| error.to_string())?,
            &listening,
        ))
    }

    fn request(target: &str, host: Option<&str>, secure: bool) -> Request {
        let field = |host: &str| ("HOST".to_owned(), host.as_bytes().to_vec());
        Request {
            method: "GET".to_owned(),
            target: target.to_owned(),
            version: HttpVersion::Http11,
            authority: None,
            protocol: None,
            fields: host.map(field).into_iter().collect(),
            secure,
            remote: None,
        }
    }

    fn check(hosts: &Hosts, served: &[&str], refused: &[&str]) {
        for host in served {
            assert!(
                hosts.check(&request("/", Some(host), false)).is_ok(),
                "{host}"
            );
        }
        for host in refused {
            assert!(
                hosts.check(&request("/", Some(host), false)).is_err(),
                "{host}"
            );
        }
    }

    #[test]
    fn loopback_serves_only_loopback_names() -> Result<(), String> {
        check(
            &hosts(&[], &["127.0.0.1:1234", "[::1]:1234"])?,
            &[
                "localhost",
                "LOCALHOST:1234",
                "localhost.",
                "chat.localhost:80",
                "127.0.0.1:1234",
                "127.1.2.3",
                "[::1]:1234",
                "[::ffff:127.0.0.1]",
                "localhost:",
            ],
            &[
                "",
                "evil.example",
                "localhost.evil.example",
                "evillocalhost",
                "127.0.0.1.evil.example",
                "192.0.2.1",
                "0.0.0.0",
                "[::1",
                "[",
                "localhost:x",
                "localhost:1234:5",
                "a@localhost",
            ],
        );
        Ok(())
    }

    #[test]
    fn other_addresses_serve_any_host() -> Result<(), String> {
        for listening in [&["0.0.0.0:80"][..], &["127.0.0.1:80", "192.0.2.1:80"], &[]] {
            check(
                &hosts(&[], listening)?,
                &["a.example", "", "127.0.0.1"],
                &[],
            );
        }
        Ok(())
    }

    #[test]
    fn serves_allowed_hosts_and_own_addresses() -> Result<(), String> {
        check(
            &hosts(
                &["a.example", "*.b.example:80", "[2001:DB8::1]"],
                &["192.0.2.1:80"],
            )?,
            &[
                "A.example:1",
                "a.example.",
                "x.b.example",
                "x.b.example:80",
                "[2001:db8:0::1]:9",
                "192.0.2.1",
            ],
            &[
                "b.example",
                "x.b.example:81",
                "localhost",
                "127.0.0.1",
                "192.0.2.2",
            ],
        );
        check(
            &hosts(&["a.example"], &["[::]:80"])?,
            &["a.example", "localhost", "[::1]"],
            &["b.example", "[::]"],
        );
        for all in ["*", "*:*"] {
            check(
                &hosts(&[all], &["127.0.0.1:1"])?,
                &["b.example", "", "a:x"],
                &[],
            );
        }
        let secure = hosts(&["a.example:443"], &["0.0.0.0:443"])?;
        assert!(secure.check(&request("/", Some("a.example"), true)).is_ok());
        assert!(
            secure
                .check(&request("/", Some("a.example"), false))
                .is_err()
        );
        Ok(())
    }

    #[test]
    fn host_in_the_target_overrides_the_field() -> Result<(), String> {
        let hosts = hosts(&[], &["127.0.0.1:1"])?;
        let serves = |target, host| hosts.check(&request(target, host, false)).is_ok();
        assert!(serves("http://localhost/x", Some("evil.example")));
        assert!(!serves("http://evil.example?x", Some("localhost")));
        assert!(serves("/?a=http://evil.example/", Some("localhost")));
        assert!(serves("/", None));
        Ok(())
    }

    #[test]
    fn http_2_uses_the_authority() -> Result<(), String> {
        let hosts = hosts(&[], &["127.0.0.1:1"])?;
        for (authority, is_served) in [("localhost:1", true), ("evil.example", false)] {
            let request = Request {
                authority: Some(authority.to_owned()),
                version: HttpVersion::Http2,
                ..request("/", Some("localhost"), false)
            };
            assert_eq!(hosts.check(&request).is_ok(), is_served, "{authority}");
        }
        Ok(())
    }

    #[test]
    fn refuses_malformed_hosts() {
        for bad in [
            "", ":80", "http://a", "a:x", "a:65536", "a b", "[::1", "*.", "a/", "a:",
        ] {
            assert!(bad.parse::<AllowedHost>().is_err(), "{bad}");
        }
    }
}
