//! What moves with a connection, and what does not.

use std::fs;

use support::operator::{admin, get, metric, wait_for_metric};
use support::{Client, Server, Site, text, wasocket};

use crate::certificate::Certificate;
use crate::tls_client::tls_to;
use crate::{GUEST, Service, private_folder, signal, wait_for_end};

trait Echo {
    fn assert_echo(&mut self, message: &str);
}

impl Echo for Client {
    fn assert_echo(&mut self, message: &str) {
        self.send(&text(&format!("!echo {message}")));
        assert_eq!(self.read_text(), message);
    }
}

/// The app's state, counts and the line in the access log move along through several processes, each of which ends cleanly.
#[test]
fn a_connection_goes_from_process_to_process() {
    let mut service = Service::start("chain", &["--admin", "127.0.0.1:0"]);
    let admin = admin(&service.server);
    let mut client = service.server.websocket("/");
    client.assert_echo("zero");
    for number in ["one", "two", "three"] {
        service.hand_over();
        assert_eq!(metric(&admin, "wasocket_handover_arrived_total"), 1);
        assert_eq!(metric(&admin, "wasocket_connections_open"), 1);
        client.assert_echo(number);
    }
    assert_eq!(service.server.wait(), Some(0));
    drop(client);
    service.wait_for("messages_received=4", 1);
    assert_eq!(service.count("ended remote"), 1, "one line for all");
    service.signal("TERM");
    wait_for_end(service.current());
    assert!(!service.post().exists(), "the socket is left behind");
}

/// Half of a message has arrived: the old process waits for the other half.
#[test]
fn a_connection_that_is_not_at_rest_leaves_later() {
    let service = Service::start("rest", &["--admin", "127.0.0.1:0"]);
    let admin = admin(&service.server);
    let mut client = service.server.websocket("/");
    // The first fragment of "!echo hello", and half of the next frame.
    client.send(b"\x01\x88\0\0\0\0!echo he");
    client.send(b"\x89\x80\0\0\0\0");
    assert_eq!(client.read_exactly(2), b"\x8a\0");
    client.send(b"\x80\x83\0\0\0\0l");
    service.signal("USR2");
    service.wait_for("another process takes over", 1);
    // The new one serves others meanwhile.
    let mut other = service.server.websocket("/");
    other.assert_echo("new");
    assert_eq!(metric(&admin, "wasocket_handover_arrived_total"), 0);
    client.send(b"lo");
    assert_eq!(client.read_text(), "hello");
    wait_for_metric(&admin, "wasocket_handover_arrived_total", 1);
    client.assert_echo("again");
    service.wait_for("taken over", 1);
    other.assert_echo("still there");
}

/// The new process reads the options and the component again.
#[test]
fn new_options_take_effect() {
    let folder = private_folder("options");
    let config = folder.join("wasocket.toml");
    let write = |workers: u8, host: &str| {
        let (component, folder) = (GUEST.display(), folder.display());
        let text = format!(
            "component = \"{component}\"\nlisten = [\"127.0.0.1:0\"]\nallow-host = [\"{host}\"]\n\
             workers = {workers}\ntake-over-from = \"unix:{folder}/handover.sock\"\n"
        );
        fs::write(&config, text).expect("written");
    };
    write(1, "a.test");
    let file = config.to_str().expect("UTF-8");
    let service = Service {
        server: Server::run(&mut wasocket(&["serve", "--config", file])),
        folder: folder.clone(),
    };
    let mut clients: Vec<_> = (0..8).map(|_| service.server.websocket("/")).collect();
    let asked = |host: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        service.server.request(&request).0.status
    };
    assert_eq!(asked("b.test"), 421);
    for (workers, host) in [(3, "b.test"), (2, "*"), (1, "*")] {
        write(workers, host);
        service.hand_over();
        for client in &mut clients {
            client.assert_echo("still served");
        }
        // Whichever worker accepts it.
        for _ in 0..12 {
            assert_ne!(asked("b.test"), 421);
        }
    }
    assert_ne!(asked("c.test"), 421);
}

/// Functions that wait cannot be suspended: they get some time, then their clients are told to reconnect.
#[test]
fn a_function_that_waits_is_closed_when_its_time_is_over() {
    let folder = private_folder("waits");
    let place = format!("unix:{}/handover.sock", folder.display());
    let options = ["--take-over-from", &place, "--swap-grace", "2"];
    let mut service = Service {
        server: Server::with_options(&options),
        folder,
    };
    let mut client = service.server.websocket("/echo");
    service.signal("USR2");
    service.wait_for("another process takes over", 1);
    client.assert_echoes("still served");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    drop(client);
    service.wait_for("taken over", 1);
    assert_eq!(service.server.wait(), Some(0));
    service.server.websocket("/echo").assert_echoes("new");
}

/// A process whose own successor arrives makes its predecessor finish.
#[test]
fn the_next_but_one_process_waits_for_the_first() {
    let folder = private_folder("next-but-one");
    let place = format!("unix:{}/handover.sock", folder.display());
    let service = Service {
        server: Server::with_options(&["--take-over-from", &place]),
        folder,
    };
    let mut client = service.server.websocket("/echo");
    service.signal("USR2");
    service.wait_for("another process takes over", 1);
    let second = service.current();
    let mut other = service.server.websocket("/echo");
    other.assert_echoes("on the second");
    signal(second, "USR2");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    drop(client);
    service.wait_for("another process takes over", 2);
    other.assert_echoes("still there");
    service
        .server
        .websocket("/echo")
        .assert_echoes("on the third");
}

/// The keys of TLS are in the memory of the process.
#[test]
fn tls_connections_are_closed_when_their_time_is_over() {
    let folder = private_folder("tls");
    let place = format!("unix:{}/handover.sock", folder.display());
    let certificate = Certificate::new("handover-tls");
    let options = ["--take-over-from", &place, "--swap-grace", "1"];
    let service = Service {
        server: Server::run(&mut certificate.serve(&options)),
        folder,
    };
    let proxy = tls_to(service.server.address, &certificate.file(), b"");
    let site = Site::at(proxy);
    let mut client = site.websocket("/echo");
    service.signal("USR2");
    service.wait_for("another process takes over", 1);
    client.assert_echoes("still served");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    drop(client);
    service.wait_for("taken over", 1);
    site.websocket("/echo").assert_echoes("new");
}

#[test]
fn the_new_process_has_the_admin_endpoint() {
    let service = Service::start("admin", &["--admin", "127.0.0.1:0"]);
    let admin = admin(&service.server);
    let done = "wasocket_handovers_total{outcome=\"done\"}";
    assert_eq!(metric(&admin, done), 0);
    service.hand_over();
    assert_eq!(get(&admin, "/readyz").0, 200);
    assert_eq!(metric(&admin, done), 1);
}
