//! TLS.

use support::connect::{command, connect, run};
use support::{Server, tls_file};

use super::servers::{answering, hanging_up, tls_in_front_of};

#[test]
fn tls_certificates_are_verified() {
    let server = Server::start();
    let tls = tls_in_front_of(server.address);
    let echo = format!("wss://localhost:{}/echo", tls.port());
    connect(&[&echo], b"").assert_failed(1, &["TLS failed", "--insecure"]);
    connect(&[&echo, "--insecure"], b"x\n").assert_printed("x\n");

    let certificate = tls_file("certificate.pem");
    let trusting = |url: &str| {
        let mut command = command(&[url, "--binary"]);
        command.env("SSL_CERT_FILE", &certificate);
        command
    };
    let bytes = vec![b'y'; 1_000_000];
    let trusted = run(&mut trusting(&echo), &bytes);
    assert_eq!(trusted.code, Some(0), "{}", trusted.stderr);
    assert!(trusted.stdout == bytes, "the bytes differ");
    // The certificate is that of the URL's host.
    let place = format!("127.0.0.2:{}", tls.port());
    let mut elsewhere = trusting("wss://localhost:1/echo");
    run(elsewhere.args(["--connect-to", &place]), b"z").assert_printed("z");
    let other_name = format!("wss://127.0.0.2:{}/echo", tls.port());
    run(&mut trusting(&other_name), b"").assert_failed(1, &["TLS failed"]);

    let plain = format!("wss://{}/echo", server.address);
    connect(&[&plain, "--insecure"], b"").assert_failed(1, &["TLS failed", "ws://"]);
    let secure = format!("ws://localhost:{}/echo", tls.port());
    connect(&[&secure], b"").assert_failed(1, &["wss://"]);
    connect(&[&answering(b"")], b"").assert_failed(1, &["wss://"]);
    connect(&[&hanging_up()], b"").assert_failed(1, &["TLS failed", "ws://"]);
}
