//! What a proxy in front says about the client: the PROXY protocol (`proxy_protocol`), and the fields of RFC 7239 and
//! its predecessors (`fields`).
//!
//! Both are claims, which are worth as much as whoever makes them: see [`Trust`].

mod fields;
mod proxy_protocol;

pub use proxy_protocol::read_proxy_header;

use std::net::IpAddr;
use std::str::FromStr;

use wasocket_host_core::http1::Field;

use crate::net::peer::{Address, Peer};
pub use fields::ForwardedField;
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
pub struct Trust {
    /// Their addresses.
    pub proxies: Vec<Trusted>,
    /// The field that they write.
    pub field: ForwardedField,
}

impl Trust {
    /// Whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.proxies.is_empty()
    }

    /// Whether this peer is trusted.
    pub fn includes(&self, peer: &Peer) -> bool {
        match peer.address {
            Address::Ip(ip) => self.has(Some(ip)),
            Address::Unix => self.has(None),
            Address::Unknown => false,
        }
    }

    fn has(&self, ip: Option<IpAddr>) -> bool {
        self.proxies.iter().any(|trusted| trusted.includes(ip))
    }

    /// The client on a socket of `peer` that nothing names: the peer itself, unless it is a trusted proxy.
    pub(crate) fn unnamed_client(&self, peer: Peer) -> Peer {
        if self.includes(&peer) {
            Peer {
                address: Address::Unknown,
                port: None,
                ..peer
            }
        } else {
            peer
        }
    }

    /// The client that a request on a socket of `peer` comes from: the peer itself, unless it is a trusted proxy that
    /// names another.
    ///
    /// Element by element from the end, the first address that is not a trusted proxy's is the client's. Where an
    /// element does not tell, or is malformed, the client is unknown, since it is not the proxy that sent the request.
    pub fn client(&self, peer: Peer, fields: &[Field]) -> Peer {
        if !self.includes(&peer) {
            return peer;
        }
        let mut client = peer;
        let nearest = self.field.is_secure(fields).unwrap_or(peer.secure);
        client.secure = nearest;
        for hop in self.field.hops(fields) {
            let hop = hop.unwrap_or_default();
            client.secure = hop.secure.unwrap_or(nearest);
            let Some((ip, port)) = hop.node else {
                client.address = Address::Unknown;
                client.port = None;
                break;
            };
            client.address = Address::Ip(ip);
            client.port = port;
            if !self.has(Some(ip)) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::fields::MAX_PARAMETERS;
    use super::*;

    fn trust(texts: &[&str]) -> Trust {
        Trust {
            proxies: texts.iter().filter_map(|text| text.parse().ok()).collect(),
            field: ForwardedField::default(),
        }
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

    /// The client according to trusted proxies in 10.0.0.0/8 that write this field.
    fn client_by(field: ForwardedField, fields: &[(&str, &str)]) -> String {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let fields: Vec<Field> = fields.iter().map(own).collect();
        let trust = Trust {
            field,
            ..trust(&["10.0.0.0/8"])
        };
        let peer = trust.client(Peer::from(SocketAddr::from(([10, 0, 0, 1], 5))), &fields);
        if peer.secure {
            format!("{peer} secure")
        } else {
            peer.to_string()
        }
    }

    fn forwarded(value: &str) -> String {
        client_by(ForwardedField::Forwarded, &[("forwarded", value)])
    }

    fn x_forwarded(fields: &[(&str, &str)]) -> String {
        client_by(ForwardedField::XForwardedFor, fields)
    }

    #[test]
    fn forwarded_is_read_from_its_end() {
        for (value, client) in [
            ("", "10.0.0.1:5"),
            (",", "10.0.0.1:5"),
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
            ("for=203.0.113.9, for=unknown;proto=https", "unknown secure"),
            (",for=203.0.113.9,, for=192.0.2.1,", "192.0.2.1"),
            ("for=_hidden", "unknown"),
            ("host=\"a,b;for=203.0.113.9\";for=192.0.2.1", "192.0.2.1"),
            ("by=\"\\\\\",for=192.0.2.1", "192.0.2.1"),
            ("proto=https", "unknown secure"),
        ] {
            assert_eq!(forwarded(value), client, "{value}");
        }
        let lines = [
            ("Forwarded", "for=203.0.113.9"),
            ("forwarded", "for=192.0.2.1"),
        ];
        let client = client_by(ForwardedField::Forwarded, &lines);
        assert_eq!(client, "192.0.2.1", "two lines are one list");
    }

    #[test]
    fn x_forwarded_for_is_read_from_its_end() {
        for (addresses, proto, client) in [
            ("192.0.2.1", "https", "192.0.2.1 secure"),
            ("203.0.113.9,192.0.2.1", "https, http", "192.0.2.1"),
            ("203.0.113.9, 192.0.2.1 ,10.0.0.7", "http", "192.0.2.1"),
            ("192.0.2.1,", "gopher", "192.0.2.1"),
            ("2001:db8::1", "http", "2001:db8::1"),
            ("[2001:db8::1]:9", "http", "[2001:db8::1]:9"),
            ("192.0.2.1:9", "WSS", "192.0.2.1:9 secure"),
            ("10.0.0.8, 10.0.0.9", "http", "10.0.0.8"),
        ] {
            let fields = [("X-Forwarded-For", addresses), ("X-Forwarded-Proto", proto)];
            assert_eq!(x_forwarded(&fields), client, "{addresses} {proto}");
        }
        let proto = ("X-Forwarded-Proto", "https");
        assert_eq!(x_forwarded(&[proto]), "10.0.0.1:5 secure");
    }

    #[test]
    fn nothing_left_of_the_client_is_parsed() {
        for garbage in ["x", "\"", "for=\"", "for=\\\"", "=;=", "\u{fc}"] {
            let own = format!("{garbage}, 192.0.2.1");
            assert_eq!(
                x_forwarded(&[("X-Forwarded-For", &own)]),
                "192.0.2.1",
                "{own}"
            );
            let own = format!("{garbage}, for=192.0.2.1, for=10.0.0.9");
            assert_eq!(forwarded(&own), "192.0.2.1", "{own}");
        }
    }

    #[test]
    fn a_malformed_element_leaves_the_client_unknown() {
        for bad in [
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
        ] {
            assert_eq!(forwarded(bad), "unknown", "{bad}");
            let beyond = format!("for=203.0.113.9, {bad}, for=10.0.0.9");
            assert_eq!(forwarded(&beyond), "unknown", "{beyond}");
        }
        for bad in [
            "a",
            "192.0.2.1 192.0.2.2",
            "unknown",
            "192.0.2.1, x, 10.0.0.9",
        ] {
            assert_eq!(x_forwarded(&[("X-Forwarded-For", bad)]), "unknown", "{bad}");
        }
        let many: String = (0..=MAX_PARAMETERS).map(|n| format!("a{n}=b;")).collect();
        assert_eq!(forwarded(&format!("{many}for=192.0.2.1")), "unknown");
    }

    #[test]
    fn the_other_field_is_the_clients_own() {
        let both = [
            ("Forwarded", "for=192.0.2.1"),
            ("X-Forwarded-For", "192.0.2.2"),
        ];
        assert_eq!(x_forwarded(&both), "192.0.2.2");
        assert_eq!(client_by(ForwardedField::Forwarded, &both), "192.0.2.1");
    }

    #[test]
    fn only_a_proxy_names_clients() {
        let stranger = Peer::from(SocketAddr::from(([192, 0, 2, 9], 5)));
        let fields = [("X-Forwarded-For".to_owned(), b"192.0.2.1".to_vec())];
        assert_eq!(trust(&["10.0.0.0/8"]).client(stranger, &fields), stranger);
    }
}
