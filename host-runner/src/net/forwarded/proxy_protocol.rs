//! The PROXY protocol, versions 1 and 2: a header before everything else that the client sends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The start of a version 2 header. A version 1 header is never shorter than this.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest version 1 header, including its CRLF.
const MAX_LINE: usize = 107;
/// The longest version 2 header after its fixed part: addresses, and extensions that are skipped.
const MAX_BLOCK: usize = 4096;

/// Reads a PROXY protocol header, version 1 or 2, and no byte after it. Returns the client's address; `None` if the
/// proxy speaks for itself or does not know.
///
/// # Errors
///
/// If the stream does not begin with a valid header.
pub async fn read_proxy_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_binary(stream).await;
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        // A client that does not speak it is refused early: an HTTP request may be shorter than the longest line.
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

/// `PROXY TCP4 source destination port port`, separated by single spaces. The outer `None`: it is invalid.
fn parse_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let rest = line.strip_prefix("PROXY ")?;
    // The rest of the line is ignored.
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

/// The outer `None`: it is invalid.
fn parse_block(command: u8, family: u8, block: &[u8]) -> Option<Option<SocketAddr>> {
    match (command, family) {
        // LOCAL: the proxy's own health check. The rest is ignored.
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
        // Unspecified, or a Unix socket: no address.
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

/// Parses a decimal number without a sign or leading zeros.
pub(super) fn number(text: &str) -> Option<u16> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address in a header, or the error's text, and the number of bytes left after it.
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
