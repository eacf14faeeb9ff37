//! HTTP/2 over TLS.

use std::process::Command;

use support::{Server, tls_file};

/// Serves over TLS, with the tests' certificate.
fn over_tls(options: &[&str]) -> Server {
    let mut command = support::wasocket(&["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--tls-cert").arg(tls_file("certificate.pem"));
    command.arg("--tls-key").arg(tls_file("key.pem"));
    Server::run(command.args(options))
}

#[test]
fn tls_negotiates_http_2() {
    for (options, offered, version) in [
        (&["--http2"][..], "--http2", "HTTP/2 200"),
        (&["--http2"], "--http1.1", "HTTP/1.1 200"),
        (&[], "--http2", "HTTP/1.1 200"),
    ] {
        let server = over_tls(options);
        let url = format!("https://localhost:{}/", server.address.port());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", offered, "--cacert"]);
        let output = curl
            .arg(tls_file("certificate.pem"))
            .arg(url)
            .output()
            .expect("curl runs");
        let page = String::from_utf8_lossy(&output.stdout);
        assert!(page.starts_with(version), "{options:?}: {output:?}");
    }
}

/// A browser opens the WebSockets of the default page on the connection it got the page on.
#[test]
fn chromium_opens_streams() {
    let server = over_tls(&["--http2"]);
    server.assert_serves("browser", "wss");
    let log = server.log();
    let ended: Vec<_> = log.lines().filter(|line| line.contains("ended ")).collect();
    assert!(ended.len() >= 2, "{log}");
    assert!(
        ended.iter().all(|line| line.contains("http=\"2\"")),
        "{log}"
    );
}
