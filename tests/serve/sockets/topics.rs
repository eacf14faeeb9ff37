//! Subscribers behind TLS.

use support::{Client, Server, Site, build_guest, text, tls_file};

use super::serve;
use super::tls_client::tls_to;

#[test]
fn subscribers_behind_tls_hear_each_other() {
    let guest = build_guest("topics", "");
    let mut command = serve(&["--allow-host", "*", "--connections-per-instance", "2"]);
    command.arg("--tls-cert").arg(tls_file("certificate.pem"));
    command.arg("--tls-key").arg(tls_file("key.pem"));
    let server = Server::run(command.arg(&guest));
    let proxy = tls_to(server.address, &tls_file("certificate.pem"), b"");
    let site = Site::at(proxy);
    let join = |_| {
        let mut client = site.websocket("/room");
        assert!(client.read_text().starts_with("!subscribed"));
        client
    };
    let mut clients: Vec<Client> = (0..5).map(join).collect();
    let long = "x".repeat(60_000);
    for message in ["one", &long, "two"] {
        clients[0].send(&text(message));
    }
    for client in &mut clients {
        for message in ["one", &long, "two"] {
            assert!(client.read_text() == message);
        }
    }
}
