//! Behind real proxies, with the configurations of `deploy/proxies`: only ports and paths are replaced.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod client;
mod proxy;
mod rooms;

use std::path::Path;
use std::process::Command;

use support::{Server, temporary_folder, wasocket};

use client::Visitor;
use proxy::{Certificate, Proxy, free_port, is_root};

/// Where the runner is reached, and as what it is to see the client.
enum Upstream {
    Unix,
    Tcp,
    /// By the PROXY protocol, with TLS that the proxy passes through.
    Passed,
}

/// A runner, with the options that the configurations name.
fn runner(upstream: &Upstream, folder: &Path, certificate: &Certificate) -> Server {
    let mut command = wasocket(&["--verbose", "serve", "--listen", "127.0.0.1:0"]);
    command.args(["--allow-host", "chat.example"]);
    match upstream {
        Upstream::Unix => {
            let place = format!("unix:{}", folder.join("app.sock").display());
            command.args(["--trust", "unix", "--listen", &place]);
            if is_root() {
                command.args(["--unix-group", "www-data"]);
            }
        }
        Upstream::Tcp => {
            command.args(["--trust", "127.0.0.1", "--http2", "--admin", "127.0.0.1:0"]);
        }
        Upstream::Passed => {
            command.args(["--trust", "127.0.0.1", "--proxy-protocol"]);
            command.arg("--tls-cert").arg(&certificate.chain);
            command.arg("--tls-key").arg(&certificate.key);
        }
    }
    let server = Server::run(&mut command);
    if matches!(upstream, Upstream::Tcp) {
        server.wait_for_log("metrics on ");
    }
    server
}

/// A runner behind a proxy, which `start` starts for a port and the text of its configuration, and what holds then.
fn assert_serves(
    file: &str,
    upstream: &Upstream,
    start: impl Fn(&Path, u16, &str) -> Command,
    further: &[(&str, &str)],
) -> Server {
    let folder = temporary_folder(&format!("proxies-{}", file.replace('.', "-")));
    let certificate = Certificate::new(&folder);
    let server = runner(upstream, &folder, &certificate);
    let (port, admin) = (free_port(), admin_of(&server));
    let replaced = [
        ("/run/wasocket", folder.to_str().expect("UTF-8").to_owned()),
        (
            "/etc/letsencrypt/live/chat.example",
            folder.to_str().expect("UTF-8").to_owned(),
        ),
        (
            "/etc/haproxy/chat.example.pem",
            certificate.both.display().to_string(),
        ),
        ("127.0.0.1:1234", server.address.to_string()),
        ("port 9100", format!("port {admin}")),
    ];
    let mut text = proxy::configuration(file);
    for (from, to) in &replaced {
        text = text.replace(from, to);
    }
    for (from, to) in further {
        assert!(text.contains(from), "{file} has {from:?}");
        text = text.replace(from, to);
    }
    let proxy = Proxy::start(start(&folder, port, &text), port, &folder);

    let visitor = Visitor::new(port, &certificate.chain);
    visitor.is_served(&server, &proxy);
    drop(proxy);
    std::fs::remove_dir_all(folder).expect("the folder");
    server
}

/// The port of the operator's endpoint, if there is one.
fn admin_of(server: &Server) -> String {
    let log = server.log();
    let line = log.split_once("metrics on http://127.0.0.1:");
    let port = line.and_then(|(_, rest)| rest.split_once('/'));
    port.map_or_else(|| "9100".to_owned(), |(port, _)| port.to_owned())
}

#[test]
fn nginx() {
    let start = |folder: &Path, port: u16, text: &str| {
        let site = text.replace("listen 443", &format!("listen 127.0.0.1:{port}"));
        proxy::nginx(folder, "", &format!("http {{\n{site}\n}}"))
    };
    assert_serves("nginx.conf", &Upstream::Unix, start, &[]);
}

#[test]
fn nginx_with_the_proxy_protocol() {
    let start = |folder: &Path, port: u16, text: &str| {
        let text = text.replace("listen 443", &format!("listen 127.0.0.1:{port}"));
        let module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;";
        proxy::nginx(folder, module, &text)
    };
    assert_serves("nginx-stream.conf", &Upstream::Passed, start, &[]);
}

#[test]
fn haproxy() {
    for (further, version) in [
        (&[][..], "1.1"),
        (&[("check port", "proto h2 check port")], "2"),
    ] {
        let server = assert_serves("haproxy.cfg", &Upstream::Tcp, proxy::haproxy, further);
        let log = server.log();
        let mut lines = log.lines().filter(|line| line.contains("path=\"/echo\""));
        let field = format!("http=\"{version}\"");
        assert!(lines.all(|line| line.contains(&field)), "{version}: {log}");
    }
}

#[test]
fn haproxy_with_the_proxy_protocol() {
    for header in ["send-proxy-v2", "send-proxy"] {
        let further = [("send-proxy-v2", header)];
        assert_serves(
            "haproxy-tcp.cfg",
            &Upstream::Passed,
            proxy::haproxy,
            &further,
        );
    }
}

#[test]
fn caddy() {
    assert_serves("Caddyfile", &Upstream::Unix, proxy::caddy, &[]);
}

#[test]
fn apache() {
    assert_serves("apache.conf", &Upstream::Unix, proxy::apache, &[]);
}
