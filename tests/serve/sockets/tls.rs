//! TLS, and certificates that change or cannot be used.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, thread};

use support::connect;
use support::{
    Server, Site, app_behaviours, build_guest, client_config, host_behaviours, opening_handshake,
    text,
};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::assert_fails;
use super::certificate::Certificate;
use super::tls_client::{echo, tls_to};

#[test]
fn serves_tls_1_2_and_1_3() {
    let certificate = Certificate::new("tls");
    let server = Server::run(&mut certificate.serve(&[]));
    let trusted = certificate.file();
    echo(&server, &trusted, b"hello\n").assert_printed("hello\n");
    let long = [vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
    echo(&server, &trusted, &long).assert_printed(&long);

    // The guest knows that the connection is secure: only secure pages are of the same origin.
    let place = format!("localhost:{}", server.address.port());
    let url = format!("wss://{place}/echo");
    for (scheme, code) in [("http", 1), ("https", 0)] {
        let origin = format!("{scheme}://{place}");
        let mut command = connect::command(&[&url, "--origin", &origin]);
        let run = connect::run(command.env("SSL_CERT_FILE", &trusted), b"hello\n");
        assert_eq!(run.code, Some(code), "{run:?}");
    }

    let url = format!("https://{place}/");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let most = version.trim_start_matches("--tlsv");
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--include",
            "--tls-max",
            most,
            version,
        ]);
        let output = curl.arg("--cacert").arg(&trusted).arg(&url).output();
        let output = output.expect("curl runs");
        let page = String::from_utf8_lossy(&output.stdout);
        assert!(page.starts_with("HTTP/1.1 200"), "{version}: {output:?}");
        assert!(page.contains("<html"), "{page}");
    }
}

#[test]
fn every_host_behaviour_holds_over_tls() {
    let certificate = Certificate::new("tls-host");
    let options = ["--allow-host", "*", "--keep-alive-timeout", "10"];
    let server = Server::run(&mut certificate.serve(&options));
    let site = Site::at(tls_to(server.address, &certificate.file(), b""));
    // Refused upgrades are covered by another row.
    let origins = [(
        "the vectors of opening handshakes",
        "their origins are those of http://",
    )];
    thread::scope(|scope| {
        for row in host_behaviours::DEFAULT_APP {
            scope.spawn(move || app_behaviours::run("TLS", &[*row], &site, &origins));
        }
    });
}

/// Output held back by TLS is sent, too, and before the end.
#[test]
fn slow_readers_get_everything_over_tls() {
    let certificate = Certificate::new("tls-slow");
    let component = build_guest("faults", "bare");
    let component = component.to_str().expect("a path in UTF-8");
    let serve = |timeout| {
        let options = ["--allow-host", "*", "--send-timeout", timeout, component];
        let mut command = certificate.serve(&options);
        let server = Server::run(command.args(["--call-timeout", "1000"]));
        let site = Site::at(tls_to(server.address, &certificate.file(), b""));
        (server, site)
    };
    let (_server, site) = serve("30");
    app_behaviours::run("TLS", host_behaviours::FAULTS, &site, &[]);

    // A client that reads nothing is disconnected.
    let (server, _) = serve("1");
    let config = client_config(&certificate.file());
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(config, name).expect("a client");
    let stream = TcpStream::connect(server.address).expect("it accepts");
    let mut deaf = StreamOwned::new(tls, stream);
    let request = [opening_handshake("/flood"), text("go")].concat();
    deaf.write_all(&request).expect("it reads");
    server.wait_for_log("stopped reading");
}

#[test]
fn certificates_are_reloaded() {
    let certificate = Certificate::new("tls-reload");
    let server = Server::run(&mut certificate.serve(&["--workers", "2"]));
    let old = certificate.0.join("old.pem");
    fs::copy(certificate.file(), &old).expect("the folder is writable");
    echo(&server, &old, b"a\n").assert_printed("a\n");

    certificate.renew();
    server.signal("HUP");
    server.wait_for_log("reloaded the TLS certificate");
    let new = certificate.0.join("new.pem");
    fs::copy(certificate.file(), &new).expect("the folder is writable");
    // Enough connections to reach both workers.
    for _ in 0..8 {
        echo(&server, &new, b"b\n").assert_printed("b\n");
    }
    echo(&server, &old, b"b\n").assert_failed(1, &["TLS failed"]);

    fs::write(certificate.file(), "no certificate").expect("the folder is writable");
    server.signal("HUP");
    server.wait_for_log("keeping the old one");
    echo(&server, &new, b"c\n").assert_printed("c\n");
}

#[test]
fn clients_without_tls_are_disconnected() {
    let certificate = Certificate::new("tls-plain");
    let server = Server::run(&mut certificate.serve(&["--head-timeout", "1"]));
    let mut plain = server.connect();
    plain.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.wait_for_log("plain HTTP");
    // The client gets a TLS alert, not HTTP.
    let mut received = Vec::new();
    let _ = plain.stream.read_to_end(&mut received);
    assert!(!received.starts_with(b"HTTP"), "{received:?}");

    let mut slow = server.connect();
    slow.send(b"\x16");

    assert_eq!(slow.read_to_end(), b"");
    server.wait_for_log("took too long");
}

/// What `openssl req -x509` makes by default.
#[test]
fn an_authoritys_certificate_is_named_as_the_reason() {
    let certificate = Certificate::new("tls-authority");
    certificate.make("CA:TRUE");
    let server = Server::run(&mut certificate.serve(&[]));
    server.wait_for_log("CA:TRUE");
    echo(&server, &certificate.file(), b"").assert_failed(1, &["CA:TRUE", "CA:FALSE"]);
}

#[test]
fn unusable_certificates_have_distinct_errors() {
    let certificate = Certificate::new("tls-wrong");
    let file = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
    let (cert, key) = (file(certificate.file()), file(certificate.key()));
    let fails = |cert: &str, key: &str, message: &str| {
        assert_fails(&["--tls-cert", cert, "--tls-key", key], message);
    };
    fails("/nowhere.pem", &key, "cannot read /nowhere.pem");
    fails(&key, &key, "has no certificate");
    fails(&cert, &cert, "has no unencrypted private key");
    let kept = file(certificate.0.join("kept.pem"));
    fs::copy(&cert, &kept).expect("the folder is writable");
    certificate.renew();
    fails(&kept, &key, "does not match the first certificate");
    assert_fails(&["--tls-cert", &cert], "--tls-key");
}
