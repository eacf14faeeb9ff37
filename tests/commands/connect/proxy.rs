//! HTTP proxies.

use support::Server;
use support::connect::{command, connect, run};

use super::servers::{proxy, tls_in_front_of};
use super::{closed_port, url};

#[test]
fn connects_through_a_proxy() {
    let server = Server::start();
    let proxy = format!("http://{}", proxy(None));
    let echo = url(&server, "/echo");
    connect(&[&echo, "--proxy", &proxy], b"x\n").assert_printed("x\n");

    let tls = tls_in_front_of(server.address);
    let secure = format!("wss://localhost:{}/echo", tls.port());
    connect(&[&secure, "--insecure", "--proxy", &proxy], b"y\n").assert_printed("y\n");

    let closed = format!("ws://{}/", closed_port());
    connect(&[&closed, "--proxy", &proxy], b"").assert_failed(1, &["the proxy", "502 Bad Gateway"]);
    let no_proxy = format!("http://{}", closed_port());
    connect(&[&echo, "--proxy", &no_proxy], b"").assert_failed(1, &["cannot connect to the proxy"]);
    connect(&[&echo, "--proxy", "socks5://a:1"], b"").assert_failed(2, &["http://HOST:PORT"]);
}

#[test]
fn reads_the_proxy_from_the_environment() {
    let server = Server::start();
    let ws = url(&server, "/echo");
    let tls = tls_in_front_of(server.address);
    let wss = format!("wss://localhost:{}/echo", tls.port());
    // Nothing listens there, so using this proxy fails.
    let nowhere = format!("http://{}", closed_port());
    let run = |url: &str, option: &str, variables: &[(&str, &str)]| {
        let mut command = command(&[url, "--insecure"]);
        command.args((!option.is_empty()).then_some(option));
        command.envs(variables.iter().copied());
        run(&mut command, b"x\n")
    };
    for (url, name) in [(&ws, "http_proxy"), (&wss, "HTTPS_PROXY")] {
        let run = run(url, "", &[(name, &nowhere)]);
        run.assert_failed(1, &["cannot connect to the proxy", name]);
    }
    run(&ws, "--no-proxy", &[("http_proxy", &nowhere)]).assert_printed("x\n");
    let exempt = [("ALL_PROXY", &nowhere[..]), ("no_proxy", "b, localhost")];
    run(&wss, "", &exempt).assert_printed("x\n");
    // In a CGI script, this variable is the field `Proxy` of the request.
    run(&ws, "", &[("HTTP_PROXY", &nowhere)]).assert_printed("x\n");
    let option = format!("--proxy=http://{}", proxy(None));
    run(&ws, &option, &[("http_proxy", &nowhere)]).assert_printed("x\n");

    let run = run(&ws, "", &[("all_proxy", "socks5://u:secret@a:1")]);
    run.assert_failed(2, &["all_proxy: ", "http://HOST:PORT"]);
    assert!(!run.stderr.contains("secret"), "{run:?}");
}

#[test]
fn proxy_credentials_go_to_the_proxy_only() {
    let server = Server::start();
    let echo = url(&server, "/echo");
    // The example of RFC 7617 §2.
    let place = proxy(Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    let right = format!("http://Aladdin:open%20sesame@{place}");
    let wrong = format!("http://Aladdin:secret@{place}");
    connect(&[&echo, "--proxy", &right], b"x\n").assert_printed("x\n");
    let mut by_environment = command(&[&echo]);
    by_environment.env("http_proxy", &right);
    run(&mut by_environment, b"x\n").assert_printed("x\n");

    let odd = format!("socks5://Aladdin:secret@{place}");
    for (proxy, code, reason) in [
        (&format!("http://{place}"), 1, "407"),
        (&wrong, 1, "407"),
        (&odd, 2, "http://HOST:PORT"),
    ] {
        let run = connect(&[&echo, "--verbose", "--proxy", proxy], b"");
        run.assert_failed(code, &["proxy", reason]);
        assert!(!run.stderr.contains("secret"), "{run:?}");
    }
}
