//! The parsers of the host that read what anyone sends: request heads, PROXY headers, the fields that name a client, and
//! the frames of HTTP/2. The first byte selects one.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use wasocket_host::http::frame_scanner::FrameScanner;
use wasocket_host::net::forwarded::{ForwardedField, Trust, Trusted, read_proxy_header};
use wasocket_host::net::peer::{Address, Peer};
use wasocket_host_core::http1::limits::{MAX_FIELDS, MAX_HEAD};
use wasocket_host_core::http1::{Field, Framing, Head, Refusal, Request};

fuzz_target!(|input: &[u8]| {
    let [parser, bytes @ ..] = input else { return };
    match parser % 4 {
        0 => head(bytes),
        1 => proxy_header(bytes),
        2 => forwarded(bytes),
        _ => frames(bytes),
    }
});

/// A head is read the same however it is cut, and is either refused or harmless.
fn head(bytes: &[u8]) {
    let whole = read_head(bytes, bytes.len().max(1));
    assert_eq!(whole, read_head(bytes, 1), "cut at every byte");
    match whole {
        Ok(Some((request, _, left))) => check_request(&request, bytes.len() - left),
        Ok(None) => assert!(bytes.len() <= MAX_HEAD + 2),
        Err(refusal) => assert!((400..=599).contains(&refusal.status)),
    }
}

/// A request, how it is framed, and the number of bytes after it.
type Read = Result<Option<(Request, Framing, usize)>, Refusal>;

fn read_head(bytes: &[u8], size: usize) -> Read {
    let mut head = Head::default();
    let mut buffer = BytesMut::new();
    let mut arrived = 0;
    for piece in bytes.chunks(size) {
        arrived += piece.len();
        buffer.extend_from_slice(piece);
        // What was found for the log may depend on how much of it has arrived.
        let read = head.read(&mut buffer).map_err(|refused| refused.refusal)?;
        if let Some((request, framing)) = read {
            let left = bytes.len() - arrived + buffer.len();
            return Ok(Some((request, framing, left)));
        }
    }
    Ok(None)
}

fn check_request(request: &Request, size: usize) {
    assert!(size <= MAX_HEAD + 2 && request.fields.len() <= MAX_FIELDS);
    let is_token = |name: &str| {
        let is_tchar =
            |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
        !name.is_empty() && name.bytes().all(is_tchar)
    };
    assert!(is_token(&request.method));
    assert!(
        request
            .target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    );
    for (name, value) in &request.fields {
        assert!(is_token(name));
        assert!(
            value
                .iter()
                .all(|byte| *byte == b'\t' || !byte.is_ascii_control())
        );
    }
    // Two readers could disagree on where such a body ends.
    let has = |name: &str| {
        request
            .fields
            .iter()
            .any(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    assert!(!(has("content-length") && has("transfer-encoding")));
}

/// What follows a header is neither read nor changes what it says.
fn proxy_header(bytes: &[u8]) {
    let Some((client, size)) = read_header(bytes) else {
        return;
    };
    let header = &bytes[..size];
    assert_eq!(read_header(header), Some((client, size)));
    assert!(size < 12 + 4 + 4097);
    if header.starts_with(b"PROXY ") {
        assert!(header.ends_with(b"\r\n") && size <= 107);
    }
    let followed = [header, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(read_header(&followed), Some((client, size)));
    assert_eq!(read_header(&header[..size - 1]), None, "its end is needed");
}

/// The client that a header names, and the length of the header; `None` if it is refused.
fn read_header(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut stream = bytes;
    let client = {
        let read = pin!(read_proxy_header(&mut stream));
        match read.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(client) => client.ok()?,
            Poll::Pending => panic!("a slice never has to be waited for"),
        }
    };
    Some((client, bytes.len() - stream.len()))
}

/// Lines of the field that the trusted proxy writes, the first of which the client may have written.
fn forwarded(bytes: &[u8]) {
    const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    for (field, name) in [
        (ForwardedField::XForwardedFor, "X-Forwarded-For"),
        (ForwardedField::Forwarded, "Forwarded"),
    ] {
        let lines = bytes.split(|byte| *byte == b'\n');
        let line = |value: &[u8]| (name.to_owned(), value.to_owned());
        let fields: Vec<Field> = lines.map(line).collect();
        let trust = Trust {
            proxies: vec![Trusted::Network(PROXY, 32)],
            field,
        };
        let peer = Peer::from(SocketAddr::new(PROXY, 1));
        let client = trust.client(peer, &fields);
        // Whoever is not the proxy, and writes the same, is not believed.
        let stranger = Peer::from(SocketAddr::new(Ipv4Addr::new(10, 0, 0, 2).into(), 1));
        assert_eq!(trust.client(stranger, &fields), stranger);
        // Once it is clear who the client is, what is left of it changes nothing.
        if client.address != Address::Ip(PROXY) {
            let forged: &[u8] = match field {
                ForwardedField::XForwardedFor => b"203.0.113.9",
                ForwardedField::Forwarded => b"for=203.0.113.9;proto=https",
            };
            let more = [&[line(forged), line(b"\",")][..], &fields].concat();
            assert_eq!(trust.client(peer, &more), client);
        }
    }
}

/// The frames are the same however the bytes are cut.
fn frames(bytes: &[u8]) {
    let found = |size: usize| {
        let mut scanner = FrameScanner::after(0);
        let mut found = vec![];
        for piece in bytes.chunks(size) {
            scanner.scan(piece, |frame| found.push(frame));
        }
        found
    };
    let whole = found(bytes.len().max(1));
    assert!(whole.len() <= bytes.len() / 9);
    assert_eq!(whole, found(1));
    assert_eq!(whole, found(7));
}
