//! Where `wasocket serve` listens, and how its clients come in: over Unix sockets, sockets of systemd, TLS, proxies.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod runner;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use runner::{PATIENCE, Server, opening_handshake, root, text, wasocket};

/// A folder of a test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = root().join("target/sockets").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("target is writable");
    folder
}

/// `wasocket serve` on a port of loopback, and as these options say.
fn serve(options: &[&str]) -> Command {
    let mut command = wasocket(&["--verbose", "serve", "--listen", "127.0.0.1:0"]);
    command.args(options);
    command
}

fn assert_fails(options: &[&str], message: &str) {
    let output = serve(options).output().expect("the runner runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{options:?}");
    assert!(error.contains(message), "{options:?}: {error}");
}

#[test]
fn a_unix_socket_is_served_beside_a_port() {
    let path = folder("unix").join("app.sock");
    let place = format!("unix:{}", path.display());
    // What one who was killed leaves behind.
    drop(UnixListener::bind(&path).expect("the folder is writable"));

    let mut server = Server::run(&mut serve(&["--listen", &place]));
    let mode = fs::metadata(&path)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (head, _) = server.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(head.status, 200);

    let mut client = UnixStream::connect(&path).expect("the runner accepts");
    client.set_read_timeout(Some(PATIENCE)).expect("a time");
    let handshake = String::from_utf8(opening_handshake("/echo")).expect("ASCII");
    let handshake = handshake.replace("a.test", "localhost");
    client.write_all(handshake.as_bytes()).expect("it reads");
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a head");
        received.extend(byte);
    }
    assert!(received.starts_with(b"HTTP/1.1 101 "));
    client.write_all(&text("hello")).expect("it reads");
    let mut echo = [0; 7];
    client.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo, b"\x81\x05hello");

    assert_fails(&["--listen", &place], "is in use");
    drop(client);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let path = folder("file").join("app.sock");
    fs::write(&path, "precious").expect("the folder is writable");
    let place = format!("unix:{}", path.display());
    assert_fails(&["--listen", &place], "no socket");
    assert_eq!(fs::read(&path).expect("the file"), b"precious");
    assert_fails(
        &["--listen", "unix:/nowhere/app.sock"],
        "unix:/nowhere/app.sock",
    );
}

/// Listens as systemd does, and becomes the program.
const ACTIVATE: &str = "
import os, socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
os.execv(sys.argv[1], sys.argv[1:])
";

fn activated(options: &[&str]) -> Command {
    let program = wasocket(&["serve"]);
    let mut command = Command::new("python3");
    command
        .args(["-c", ACTIVATE])
        .arg(program.get_program())
        .args(program.get_args())
        .args(options);
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn a_socket_of_systemd_is_served() {
    let server = Server::run(&mut activated(&["--listen", "systemd"]));
    let get = |host| {
        let (head, _) = server.request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        head.status
    };
    assert_eq!(get("localhost"), 200);
    assert_eq!(get("a.test"), 421, "it is on loopback");
    assert_fails(&["--listen", "systemd"], "no sockets are passed");
}
