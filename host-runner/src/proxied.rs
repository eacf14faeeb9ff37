//! What a proxy in front says of the client: the PROXY protocol, and the fields of RFC 7239 and its forerunners.
//!
//! Both are claims, and only who makes them decides what they are worth: see [`Trust`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt};
use wasocket_http1::Field;

use crate::accepted::Peer;

/// The proxies that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// All whose first so many bits are these.
    Network(IpAddr, u32),
    /// Those behind a Unix socket.
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
            return Err("the network has bits behind its prefix: 10.0.0.0/8, and not 10.1.2.3/8");
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

/// The first bits of an address; those behind are zero.
fn prefix(ip: IpAddr, bits: u32) -> u128 {
    let all = match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => ip.into(),
    };
    let dropped = width(ip).saturating_sub(bits);
    // A shift by all 128 bits leaves nothing.
    let kept = all.checked_shr(dropped).unwrap_or_default();
    kept.checked_shl(dropped).unwrap_or_default()
}

/// Whose claims are believed: nobody's, by default.
#[derive(Clone, Debug, Default)]
pub struct Trust(pub Vec<Trusted>);

impl Trust {
    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether who is at the other end is believed.
    pub fn includes(&self, peer: &Peer) -> bool {
        self.has(peer.ip)
    }

    fn has(&self, ip: Option<IpAddr>) -> bool {
        self.0.iter().any(|trusted| trusted.includes(ip))
    }

    /// The client, as the proxy has it in the fields of a request. None where they say nothing, or something
    /// that cannot be right: the peer is the proxy then.
    ///
    /// A proxy adds to what it got, which anybody can have written. So it is read from its end: the first
    /// address that is no trusted proxy's is the client's.
    pub(crate) fn client(&self, peer: Peer, fields: &[Field]) -> Option<Peer> {
        if !self.includes(&peer) {
            return None;
        }
        // A proxy knows one of the two kinds, and passes the other as the client wrote it.
        let hops = match (list(fields, "forwarded")?, old(fields)?) {
            (Some(forwarded), None) => forwarded_hops(&forwarded)?,
            (None, Some(old)) => old,
            _ => return None,
        };
        let is_strange = |hop: &Hop| hop.node.is_none_or(|(ip, _)| !self.has(Some(ip)));
        // If all are proxies, the one that began.
        let hop = hops.get(hops.iter().rposition(is_strange).unwrap_or_default())?;
        let secure = hop.secure.or(hops.last()?.secure);
        let (ip, port) = match hop.node {
            Some((ip, port)) => (Some(ip), port),
            // Hidden by the proxy: the proxy is all that is known.
            None => (peer.ip, peer.port),
        };
        Some(Peer {
            ip,
            port,
            secure: secure.unwrap_or(peer.secure),
        })
    }
}

/// What one proxy says of who has asked it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hop {
    /// None where it does not tell.
    node: Option<(IpAddr, Option<u16>)>,
    secure: Option<bool>,
}

/// The lines of a field as one list (RFC 9110 §5.3). The outer is none if they are no ASCII.
fn list(fields: &[Field], name: &str) -> Option<Option<String>> {
    let mut joined: Option<String> = None;
    for (_, value) in fields
        .iter()
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
    {
        let value = str::from_utf8(value)
            .ok()
            .filter(|value| value.is_ascii())?;
        match &mut joined {
            Some(joined) => {
                joined.push(',');
                joined.push_str(value);
            }
            none => *none = Some(value.to_owned()),
        }
    }
    Some(joined)
}

/// `X-Forwarded-For` and `X-Forwarded-Proto`. Of the second the last counts: that of the proxy in front.
fn old(fields: &[Field]) -> Option<Option<Vec<Hop>>> {
    let proto = list(fields, "x-forwarded-proto")?;
    let proto = proto.as_deref().and_then(|proto| proto.rsplit(',').next());
    let secure = match proto {
        Some(proto) => Some(is_secure(proto.trim())?),
        None => None,
    };
    let Some(nodes) = list(fields, "x-forwarded-for")? else {
        return Some(secure.map(|_| vec![Hop { node: None, secure }]));
    };
    let hop = |node: &str| {
        let node = Some(address(node.trim())?);
        Some(Hop { node, secure })
    };
    Some(Some(nodes.split(',').map(hop).collect::<Option<_>>()?))
}

fn is_secure(proto: &str) -> Option<bool> {
    match proto.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// An address with or without a port; IPv6 with a port is in brackets.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let literal = text.strip_prefix('[')?.strip_suffix(']')?;
    Some((IpAddr::V6(literal.parse().ok()?), None))
}

/// The most parameters of an element of `Forwarded`.
const MAX_PARAMETERS: usize = 16;

/// RFC 7239 §4: `Forwarded = 1#forwarded-element`. None if it is malformed anywhere.
fn forwarded_hops(text: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    // RFC 9110 §5.6.1.2: empty elements of a list are to be ignored.
    for element in split(text, ',')?
        .into_iter()
        .filter(|element| !element.is_empty())
    {
        let mut hop = Hop::default();
        let mut seen = Vec::new();
        for pair in split(element, ';')? {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.to_ascii_lowercase(), unquote(value)?);
            // They are compared with each other: RFC 7239 has four.
            if seen.len() >= MAX_PARAMETERS {
                return None;
            }
            // §4: "Each parameter MUST NOT occur more than once per field-value."
            if !is_token(&name) || seen.contains(&name) {
                return None;
            }
            match name.as_str() {
                "for" => hop.node = node(&value)?,
                "proto" => hop.secure = Some(is_secure(&value)?),
                _ => {}
            }
            seen.push(name);
        }
        hops.push(hop);
    }
    Some(hops)
}

/// RFC 7239 §6: an address with or without a port, `unknown`, or a name that hides it. The outer is none if
/// it is neither.
fn node(value: &str) -> Option<Option<(IpAddr, Option<u16>)>> {
    let name = value.split(':').next().unwrap_or_default();
    if name.eq_ignore_ascii_case("unknown") || name.starts_with('_') {
        return Some(None);
    }
    // §6: "an IPv6 address is always enclosed in square brackets."
    let bare = value.parse::<Ipv6Addr>().is_ok();
    if bare {
        return None;
    }
    address(value).map(Some)
}

/// The trimmed parts between separators that are not in quotes. None if a quote is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (index, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            char if char == separator && !quoted => {
                parts.push(text.get(start..index)?.trim());
                start = index.checked_add(char.len_utf8())?;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    (!quoted).then_some(parts)
}

/// RFC 7239 §4: `value = token / quoted-string`.
fn unquote(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return is_token(value).then(|| value.to_owned());
    };
    let (mut text, mut escaped) = (String::new(), false);
    for char in quoted.strip_suffix('"')?.chars() {
        match char {
            _ if escaped => {
                text.push(char);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return None,
            char => text.push(char),
        }
    }
    (!escaped).then_some(text)
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(valid)
}

/// A decimal number as it is written only: no sign, no zero in front.
fn number(text: &str) -> Option<u16> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

/// What version 2 of the PROXY protocol begins with. Version 1 is never shorter than this.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its end included.
const MAX_LINE: usize = 107;
/// The longest header of version 2 behind its fixed part: addresses and more that is skipped.
const MAX_BLOCK: usize = 4096;

/// Reads the header of the PROXY protocol, version 1 or 2, and not a byte behind it. Returns who the
/// client is; none where the proxy speaks for itself, or does not know.
///
/// # Errors
///
/// When the stream does not begin with a valid header.
pub(crate) async fn read_proxy_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_binary(stream).await;
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        // Who does not speak it is told at once: an HTTP request may be shorter than the longest line.
        if !line.starts_with(b"PROXY ") || line.len() >= MAX_LINE {
            return Err(malformed("it does not begin with one"));
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line).ok_or_else(|| malformed("its line is invalid"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the PROXY header: {what}"),
    )
}

/// `PROXY TCP4 source destination port port`, with one space between each. The outer is none if it is invalid.
fn parse_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let rest = line.strip_prefix("PROXY ")?;
    // Whatever follows is to be ignored.
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let parts: Vec<&str> = rest.split(' ').collect();
    let [family, source, destination, port, destination_port] = parts[..] else {
        return None;
    };
    let ip = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    ip(destination)?;
    number(destination_port)?;
    Some(Some(SocketAddr::new(ip(source)?, number(port)?)))
}

async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let [command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BLOCK {
        return Err(malformed("it is too long"));
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block).await?;
    parse_block(command, family, &block).ok_or_else(|| malformed("its block is invalid"))
}

/// The outer is none if it is invalid.
fn parse_block(command: u8, family: u8, block: &[u8]) -> Option<Option<SocketAddr>> {
    match (command, family) {
        // LOCAL: the proxy itself, to see whether we are well. The rest is to be ignored.
        (0x20, _) => Some(None),
        // PROXY, TCP over IPv4: source, destination, the two ports.
        (0x21, 0x11) => {
            let (ip, rest) = block.split_first_chunk::<4>()?;
            let (_, rest) = rest.split_first_chunk::<4>()?;
            Some(Some(SocketAddr::new(IpAddr::from(*ip), source_port(rest)?)))
        }
        (0x21, 0x21) => {
            let (ip, rest) = block.split_first_chunk::<16>()?;
            let (_, rest) = rest.split_first_chunk::<16>()?;
            Some(Some(SocketAddr::new(IpAddr::from(*ip), source_port(rest)?)))
        }
        // Unspecified, or a Unix socket: there is no address.
        (0x21, 0x00) => Some(None),
        (0x21, 0x31) => (block.len() >= 216).then_some(None),
        _ => None,
    }
}

fn source_port(ports: &[u8]) -> Option<u16> {
    let (ports, _) = ports.split_first_chunk::<4>()?;
    let [high, low, ..] = *ports;
    Some(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
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

    /// What trusted proxies in 10.0.0.0/8 say, as the guest sees it.
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
    fn what_cannot_be_right_is_ignored() {
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
        // Either may be the client's own.
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

    /// The address in a header, and what is left behind it; an error as its text.
    fn read(mut bytes: &[u8]) -> (String, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let Ok(runtime) = runtime else {
            return ("no runtime".to_owned(), 0);
        };
        let text = match runtime.block_on(read_proxy_header(&mut bytes)) {
            Ok(Some(address)) => address.to_string(),
            Ok(None) => "-".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        (text, bytes.len())
    }

    #[test]
    fn lines_of_version_1() {
        for (line, expected) in [
            ("TCP4 192.0.2.1 192.0.2.2 56324 443", "192.0.2.1:56324"),
            ("TCP6 2001:db8::1 ::1 1 65535", "[2001:db8::1]:1"),
            ("UNKNOWN", "-"),
            ("UNKNOWN ffff:f...f:ffff what ever", "-"),
        ] {
            let bytes = format!("PROXY {line}\r\nGET /");
            assert_eq!(read(bytes.as_bytes()), (expected.to_owned(), 5), "{line}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        for bad in [
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
            "PROXY\r\n",
            "proxy UNKNOWN\r\n",
            &long,
        ] {
            let (outcome, _) = read(bad.as_bytes());
            assert!(outcome.starts_with("error"), "{bad}: {outcome}");
        }
    }

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    #[test]
    fn blocks_of_version_2() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0, 80];
        let v6 = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 16], &[0, 9, 0, 80]].concat();
        let more = [&v4[..], &[4, 0, 1, 7]].concat();
        for (command, family, block, expected) in [
            (0x21, 0x11, &v4[..], "192.0.2.1:4660"),
            (0x21, 0x11, &more, "192.0.2.1:4660"),
            (0x21, 0x21, &v6, "[::1]:9"),
            (0x21, 0x31, &[0; 216], "-"),
            (0x21, 0x00, &[], "-"),
            (0x20, 0x00, &[], "-"),
            (0x20, 0x11, &v4, "-"),
        ] {
            let bytes = [&binary(command, family, block)[..], b"GET /"].concat();
            assert_eq!(read(&bytes), (expected.to_owned(), 5), "{command} {family}");
        }
        for (command, family, block) in [
            (0x11, 0x11, &v4[..]),
            (0x22, 0x11, &v4),
            (0x21, 0x12, &v4),
            (0x21, 0x41, &v4),
            (0x21, 0x11, &v4[..11]),
            (0x21, 0x21, &v6[..35]),
            (0x21, 0x31, &[0; 215]),
            (0x21, 0x00, &[0; MAX_BLOCK + 1]),
        ] {
            let (outcome, _) = read(&binary(command, family, block));
            assert!(
                outcome.starts_with("error"),
                "{command} {family}: {outcome}"
            );
        }
        let (outcome, _) = read(&binary(0x21, 0x11, &v4)[..20]);
        assert!(outcome.starts_with("error"), "cut: {outcome}");
    }
}
