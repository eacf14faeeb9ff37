//! The PROXY protocol, and the fields that proxies add.

use std::io::Read;

use support::{Server, Site, opening_handshake};

use super::certificate::Certificate;
use super::tls_client::tls_to;
use super::{assert_fails, serve};

/// A valid opening handshake with further field lines.
fn handshake(fields: &str) -> Vec<u8> {
    let mut handshake = opening_handshake("/echo");
    handshake.truncate(handshake.len() - 2);
    [&handshake[..], fields.as_bytes(), b"\r\n"].concat()
}

/// Sends bytes on a new connection; returns the status of the response.
fn status(site: &Site, bytes: &[u8]) -> u16 {
    let mut client = site.connect();
    client.send(bytes);
    client.read_head().status
}

/// Sends bytes on a new connection; returns everything received before it is closed or reset.
fn read_all(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut client = site.connect();
    client.send(bytes);
    let mut received = Vec::new();
    let _ = client.stream.read_to_end(&mut received);
    received
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";

const BLOCK: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x02\x12\x34\0\x50";

#[test]
fn the_proxy_protocol_names_the_client() {
    let options = ["--allow-host", "*", "--proxy-protocol"];
    let server = Server::run(&mut serve(&options));
    for (header, remote) in [(LINE, "192.0.2.1:56324"), (BLOCK, "192.0.2.7:4660")] {
        assert_eq!(status(&server, &[header, &handshake("")].concat()), 101);
        server.wait_for_log(&format!("remote={remote} path=\"/echo\""));
    }
    assert_eq!(
        read_all(&server, &handshake("")),
        b"",
        "the header is missing"
    );
    server.wait_for_log("the PROXY header");

    let strangers = ["--proxy-protocol", "--trust", "192.0.2.0/24"];
    let server = Server::run(&mut serve(&strangers));
    assert_eq!(read_all(&server, &[LINE, &handshake("")].concat()), b"");
    server.wait_for_log("--trust");
}

#[test]
fn clients_behind_the_proxy_protocol_are_limited_separately() {
    let options = ["--proxy-protocol", "--max-connections-per-address", "1"];
    let server = Server::run(&mut serve(&[&["--allow-host", "*"], &options[..]].concat()));
    let open = |header: &[u8]| {
        let mut client = server.connect();
        client.send(&[header, &handshake("")].concat());
        let status = client.read_head().status;
        (client, status)
    };
    let (_first, status) = open(LINE);
    assert_eq!(status, 101);
    let (_other, status) = open(BLOCK);
    assert_eq!(status, 101, "another address behind the same proxy");
    assert_eq!(open(LINE).1, 429);
}

/// Whichever of the two is refused, it is before the TLS handshake, which neither begins.
#[test]
fn the_limits_on_proxied_clients_come_before_tls() {
    let certificate = Certificate::new("tls-limited");
    let options = ["--allow-host", "*", "--proxy-protocol"];
    let limit = ["--max-connections-per-address", "1"];
    let server = Server::run(&mut certificate.serve(&[&options[..], &limit].concat()));
    let clients = [server.connect(), server.connect()];
    let [mut first, mut second] = clients;
    first.send(LINE);
    second.send(LINE);
    server.wait_for_log("too many connections already");
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let certificate = Certificate::new("tls-proxied");
    let options = [
        "--allow-host",
        "*",
        "--proxy-protocol",
        "--trust",
        "127.0.0.1",
    ];
    let server = Server::run(&mut certificate.serve(&options));
    for (header, remote) in [(LINE, "192.0.2.1:56324"), (BLOCK, "192.0.2.7:4660")] {
        let site = Site::at(tls_to(server.address, &certificate.file(), header));
        assert_eq!(status(&site, &handshake("")), 101);
        server.wait_for_log(&format!("remote={remote} path=\"/echo\""));
    }
}

/// The app's decision shows what it knows: on a secure connection, an origin with `http://` is foreign.
#[test]
fn only_trusted_proxies_may_name_the_client() {
    let origin = "Origin: http://a.test\r\n";
    let secure = "X-Forwarded-For: 203.0.113.9, 192.0.2.2\r\nX-Forwarded-Proto: https\r\n";
    let foreign = format!("{origin}{secure}");

    let trust = ["--allow-host", "*", "--trust", "127.0.0.0/8"];
    let server = Server::run(&mut serve(&trust));
    assert_eq!(status(&server, &handshake(&foreign)), 403);
    assert_eq!(status(&server, &handshake(secure)), 101);
    server.wait_for_log("remote=192.0.2.2 path=\"/echo\"");

    let strangers = ["--allow-host", "*", "--trust", "192.0.2.0/24"];
    let server = Server::run(&mut serve(&strangers));
    assert_eq!(status(&server, &handshake(&foreign)), 101);
    server.wait_for_log("path=\"/echo\"");
    assert!(
        !server.log().contains("remote=192.0.2.2"),
        "{}",
        server.log()
    );
    assert_fails(&["--trust", "10.0.0.1/8"], "10.0.0.0/8");
}

/// A client reaches the server through a proxy that appends to the field it writes, and passes on the other.
#[test]
fn what_the_client_forges_is_never_read() {
    let asked = |field: &str, fields: &str| {
        let trust = ["--allow-host", "*", "--trust", "127.0.0.1", "--forwarded"];
        let server = Server::run(serve(&trust).arg(field));
        assert_eq!(status(&server, &handshake(fields)), 101);
        server.wait_for_log("path=\"/echo\"");
        let log = server.log();
        let (before, _) = log.split_once(" path=\"/echo\"").expect("an access line");
        let (_, remote) = before.rsplit_once("remote=").expect("a client");
        remote.to_owned()
    };
    for garbage in ["x", "\"", "203.0.113.9"] {
        let old =
            format!("X-Forwarded-For: {garbage}, 192.0.2.2\r\nForwarded: for=203.0.113.9\r\n");
        assert_eq!(asked("x-forwarded-for", &old), "192.0.2.2", "{garbage}");
        let new =
            format!("Forwarded: {garbage}, for=192.0.2.2\r\nX-Forwarded-For: 203.0.113.9\r\n");
        assert_eq!(asked("forwarded", &new), "192.0.2.2", "{garbage}");
    }
    let hidden = "Forwarded: for=192.0.2.2, for=_hidden\r\n";
    assert_eq!(asked("forwarded", hidden), "unknown", "not the proxy");
}

/// Clients that a proxy does not name share the limits of one address; the proxy keeps its own.
#[test]
fn clients_without_a_name_share_a_limit() {
    let options = [
        "--allow-host",
        "*",
        "--trust",
        "127.0.0.1",
        "--max-requests-per-address",
        "2",
    ];
    let server = Server::run(&mut serve(&options));
    let ask = |fields| status(&server, &handshake(fields));
    let statuses: Vec<_> = (0..10).map(|_| ask("X-Forwarded-For: x\r\n")).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask("X-Forwarded-For: 192.0.2.2\r\n"), 101);
    assert_eq!(ask(""), 101);
}
