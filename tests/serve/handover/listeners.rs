//! Listening sockets stay open.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use support::{TIMEOUT, opening_handshake, read_head, text};

use crate::{Service, wait_for_end};

/// Clients of a Unix socket move, and its file stays until the last process ends.
#[test]
fn a_unix_socket_is_served_on() {
    let folder = crate::private_folder("unix-place");
    let path = folder.join("app.sock");
    let place = format!("unix:{}", path.display());
    let service = Service::start("unix", &["--listen", &place]);
    let open = || {
        let mut client = UnixStream::connect(&path).expect("the runner accepts");
        client.set_read_timeout(Some(TIMEOUT)).expect("a time");
        client.write_all(&opening_handshake("/")).expect("it reads");
        assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
        client
    };
    let echo = |client: &mut UnixStream| {
        client.write_all(&text("!echo hello")).expect("it reads");
        let mut echo = [0; 7];
        client.read_exact(&mut echo).expect("an echo");
        assert_eq!(&echo, b"\x81\x05hello");
    };
    let mut client = open();
    for _ in 0..2 {
        service.hand_over();
        echo(&mut client);
        echo(&mut open());
    }
    drop(client);
    service.signal("TERM");
    wait_for_end(service.current());
    assert!(!path.exists(), "the socket is left behind");
}

/// No client is ever refused, or cut off before the answer.
#[test]
fn clients_that_come_meanwhile_are_served() {
    let service = Service::start("come", &["--workers", "2"]);
    let address = service.server.address;
    let is_over = AtomicBool::new(false);
    let come_and_go = || {
        let mut served = 0;
        while !is_over.load(Relaxed) {
            let mut client = TcpStream::connect(address).expect("somebody accepts");
            client.set_read_timeout(Some(TIMEOUT)).expect("a time");
            client.write_all(&opening_handshake("/")).expect("it reads");
            assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
            client.write_all(&text("!echo hello")).expect("it reads");
            let mut echo = [0; 7];
            client.read_exact(&mut echo).expect("an echo");
            served += 1;
        }
        served
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(come_and_go)).collect();
        for _ in 0..3 {
            service.hand_over();
        }
        is_over.store(true, Relaxed);
        for client in clients {
            assert!(client.join().expect("served") > 0);
        }
    });
}
