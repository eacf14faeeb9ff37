//! What a proxy in front says about the client: the PROXY protocol (`proxy_protocol`), and the fields of RFC 7239 and
//! its predecessors (`fields`).
//!
//! Both are claims, which are worth as much as whoever makes them: see [`Trust`].

mod fields;
mod proxy_protocol;

pub(crate) use proxy_protocol::read_proxy_header;

use std::net::IpAddr;
use std::str::FromStr;

use wasocket_host_core::http1::Field;

use crate::net::peer::Peer;
use fields::{Hop, hops};
use proxy_protocol::number;

/// Proxies to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// Those whose address begins with this prefix, of this many bits.
    Network(IpAddr, u32),
    /// Those connected through a Unix socket.
    Unix,
}

impl FromStr for Trusted {
    type Err = &'static str;

    /// `IP`, `IP/BITS`, or `unix`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let expected =
            "expected an address or a network, such as 192.0.2.1, 10.0.0.0/8 or fd00::/8; or unix";
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(number(bits).ok_or(expected)?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| expected)?;
        let width = width(ip);
        let bits = bits.map_or(width, u32::from);
        if bits > width {
            return Err(expected);
        }
        if prefix(ip, bits) != prefix(ip, width) {
            return Err(
                "the network has bits set after its prefix: write 10.0.0.0/8, not 10.1.2.3/8",
            );
        }
        Ok(Self::Network(ip, bits))
    }
}

impl Trusted {
    fn includes(&self, ip: Option<IpAddr>) -> bool {
        match (self, ip) {
            (Self::Unix, None) => true,
            (Self::Network(own, bits), Some(ip)) => {
                let ip = ip.to_canonical();
                own.is_ipv4() == ip.is_ipv4() && prefix(*own, *bits) == prefix(ip, *bits)
            }
            _ => false,
        }
    }
}

fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The first bits of an address; the rest is zero.
fn prefix(ip: IpAddr, bits: u32) -> u128 {
    let all = match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => ip.into(),
    };
    let dropped = width(ip).saturating_sub(bits);
    // A shift by all 128 bits leaves 0.
    let kept = all.checked_shr(dropped).unwrap_or_default();
    kept.checked_shl(dropped).unwrap_or_default()
}

/// The proxies whose claims are trusted. None by default.
#[derive(Clone, Debug, Default)]
pub struct Trust(pub Vec<Trusted>);

impl Trust {
    /// Whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this peer is trusted.
    pub fn includes(&self, peer: &Peer) -> bool {
        self.has(peer.ip)
    }

    fn has(&self, ip: Option<IpAddr>) -> bool {
        self.0.iter().any(|trusted| trusted.includes(ip))
    }

    /// The client, according to a proxy's fields in a request. `None` if the peer is not trusted, or if the fields say
    /// nothing or are invalid; then the peer counts as the client.
    ///
    /// A proxy appends to what it received, which may come from anyone. So the fields are read from the end: the first
    /// address that is not a trusted proxy's is the client's.
    pub(crate) fn client(&self, peer: Peer, fields: &[Field]) -> Option<Peer> {
        if !self.includes(&peer) {
            return None;
        }
        let hops = hops(fields)?;
        let is_strange = |hop: &Hop| hop.node.is_none_or(|(ip, _)| !self.has(Some(ip)));
        // If all are proxies, the first of them.
        let hop = hops.get(hops.iter().rposition(is_strange).unwrap_or_default())?;
        let secure = hop.secure.or(hops.last()?.secure);
        let (ip, port) = match hop.node {
            Some((ip, port)) => (Some(ip), port),
            // Hidden by the proxy, so the proxy is all that is known.
            None => (peer.ip, peer.port),
        };
        Some(Peer {
            ip,
            port,
            secure: secure.unwrap_or(peer.secure),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::fields::MAX_PARAMETERS;
    use super::*;

    fn trust(texts: &[&str]) -> Trust {
        Trust(texts.iter().filter_map(|text| text.parse().ok()).collect())
    }

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn networks_are_compared_by_their_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::a00:1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            let trust = trust(&[network]);
            assert!(!trust.is_empty(), "{network}");
            assert!(trust.has(ip(inside)), "{network} {inside}");
            assert!(!trust.has(ip(outside)), "{network} {outside}");
            assert!(!trust.has(None), "{network}");
        }
        assert!(trust(&["unix"]).has(None) && !trust(&["unix"]).has(ip("127.0.0.1")));
        for bad in [
            "",
            "a",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "::/",
            "::/-1",
            "::/+1",
            "1.2.3",
        ] {
            assert!(bad.parse::<Trusted>().is_err(), "{bad}");
        }
    }

    /// The client according to trusted proxies in 10.0.0.0/8, as the guest sees it.
    fn client(fields: &[(&str, &str)]) -> String {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let fields: Vec<Field> = fields.iter().map(own).collect();
        let peer = Peer::from(SocketAddr::from(([10, 0, 0, 1], 5)));
        match trust(&["10.0.0.0/8"]).client(peer, &fields) {
            Some(peer) if peer.secure => format!("{peer} secure"),
            Some(peer) => peer.to_string(),
            None => "-".to_owned(),
        }
    }

    #[test]
    fn fields_are_read_from_their_end() {
        for (forwarded, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1;proto=https;by=_me", "192.0.2.1 secure"),
            ("For=\"192.0.2.1:80\" ; Proto=HTTP", "192.0.2.1:80"),
            ("for=\"[2001:db8::1]:80\"", "[2001:db8::1]:80"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=\"\\1\\92.0.2.1\"", "192.0.2.1"),
            ("for=203.0.113.9, for=192.0.2.1", "192.0.2.1"),
            (
                "for=203.0.113.9, for=192.0.2.1, for=10.0.0.9;proto=https",
                "192.0.2.1 secure",
            ),
            ("for=10.0.0.8, for=10.0.0.9", "10.0.0.8"),
            (
                "for=203.0.113.9, for=unknown;proto=https",
                "10.0.0.1:5 secure",
            ),
            (",for=203.0.113.9,, for=192.0.2.1,", "192.0.2.1"),
            ("for=_hidden", "10.0.0.1:5"),
            ("host=\"a,b;for=203.0.113.9\";for=192.0.2.1", "192.0.2.1"),
            ("proto=https", "10.0.0.1:5 secure"),
        ] {
            assert_eq!(client(&[("forwarded", forwarded)]), expected, "{forwarded}");
        }
        for (old, proto, expected) in [
            ("192.0.2.1", "https", "192.0.2.1 secure"),
            ("203.0.113.9,192.0.2.1", "https, http", "192.0.2.1"),
            ("203.0.113.9, 192.0.2.1 ,10.0.0.7", "http", "192.0.2.1"),
            ("2001:db8::1", "http", "2001:db8::1"),
            ("[2001:db8::1]:9", "http", "[2001:db8::1]:9"),
            ("192.0.2.1:9", "WSS", "192.0.2.1:9 secure"),
        ] {
            let fields = [("X-Forwarded-For", old), ("X-Forwarded-Proto", proto)];
            assert_eq!(client(&fields), expected, "{old} {proto}");
        }
        let lines = [
            ("Forwarded", "for=203.0.113.9"),
            ("forwarded", "for=192.0.2.1"),
        ];
        assert_eq!(client(&lines), "192.0.2.1", "two lines are one list");
        assert_eq!(
            client(&[("X-Forwarded-Proto", "https")]),
            "10.0.0.1:5 secure"
        );
    }

    #[test]
    fn invalid_fields_are_ignored() {
        for bad in [
            "",
            "for",
            "for=",
            "for=a",
            "for=192.0.2.256",
            "for=2001:db8::1",
            "for=\"2001:db8::1\"",
            "for=\"[192.0.2.1]\"",
            "for=192.0.2.1:80",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=\"192.0.2.1\\\"",
            "for=192.0.2.1;for=192.0.2.2",
            "for =192.0.2.1",
            "for=192.0.2.1;proto=gopher",
            ",",
            "for=x, for=192.0.2.1",
        ] {
            assert_eq!(client(&[("Forwarded", bad)]), "-", "{bad}");
        }
        for bad in ["", "a", "192.0.2.1,", "192.0.2.1 192.0.2.2", "unknown"] {
            assert_eq!(client(&[("X-Forwarded-For", bad)]), "-", "{bad}");
        }
        let many: String = (0..=MAX_PARAMETERS).map(|n| format!("a{n}=b;")).collect();
        assert_eq!(
            client(&[("Forwarded", &format!("{many}for=192.0.2.1"))]),
            "-"
        );
        // The client may have sent either one.
        let both = [
            ("Forwarded", "for=192.0.2.1"),
            ("X-Forwarded-For", "192.0.2.1"),
        ];
        assert_eq!(client(&both), "-");
        assert_eq!(client(&[]), "-");
        let stranger = Peer::from(SocketAddr::from(([192, 0, 2, 9], 5)));
        let fields = [("Forwarded".to_owned(), b"for=192.0.2.1".to_vec())];
        assert_eq!(trust(&["10.0.0.0/8"]).client(stranger, &fields), None);
    }
}
