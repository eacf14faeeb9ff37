//! Unix sockets, and sockets from systemd.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use support::{Server, TIMEOUT, opening_handshake, read_head, target_folder, text, wasocket};

use super::{assert_fails, serve};

#[test]
fn a_unix_socket_is_served_alongside_a_port() {
    let path = target_folder("sockets-unix").join("app.sock");
    let place = format!("unix:{}", path.display());
    // A socket left behind by a process that was killed.
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
    client.set_read_timeout(Some(TIMEOUT)).expect("a time");
    let handshake = String::from_utf8(opening_handshake("/echo")).expect("ASCII");
    let handshake = handshake.replace("a.test", "localhost");
    client.write_all(handshake.as_bytes()).expect("it reads");
    assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
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

/// A proxy of another user connects as a member of the socket's group.
#[test]
fn a_unix_socket_has_the_mode_and_group_that_it_is_given() {
    let path = target_folder("sockets-group").join("app.sock");
    let place = format!("unix:{}", path.display());
    let groups = Command::new("id").arg("-G").output().expect("id runs");
    let groups = String::from_utf8(groups.stdout).expect("numbers");
    let group = groups.split_whitespace().next_back().expect("a group");
    for (options, mode) in [
        (&["--unix-group", group][..], 0o660),
        (&["--unix-group", group, "--unix-mode", "620"], 0o620),
        (&["--unix-mode", "0666"], 0o666),
    ] {
        let options = [&["--listen", &place], options].concat();
        let _server = Server::run(&mut serve(&options));
        let file = fs::metadata(&path).expect("the socket");
        assert_eq!(file.permissions().mode() & 0o777, mode, "{options:?}");
        if options.contains(&"--unix-group") {
            assert_eq!(file.gid().to_string(), group);
        }
    }
    assert_fails(&["--unix-mode", "888"], "octal");
    assert_fails(&["--unix-group", "no such group"], "/etc/group");
}

#[test]
fn a_file_is_not_replaced_by_a_socket() {
    let path = target_folder("sockets-file").join("app.sock");
    fs::write(&path, "precious").expect("the folder is writable");
    let place = format!("unix:{}", path.display());
    assert_fails(&["--listen", &place], "not a socket");
    assert_eq!(fs::read(&path).expect("the file"), b"precious");
    assert_fails(
        &["--listen", "unix:/nowhere/app.sock"],
        "unix:/nowhere/app.sock",
    );
}

/// Listens as systemd does, then becomes the program.
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
fn a_socket_from_systemd_is_served() {
    for workers in ["1", "2"] {
        let options = ["--listen", "systemd", "--workers", workers];
        let server = Server::run(&mut activated(&options));
        let get = |host| {
            let (head, _) = server.request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            head.status
        };
        assert_eq!(get("localhost"), 200);
        assert_eq!(get("a.test"), 421, "the socket is on loopback");
    }
    assert_fails(&["--listen", "systemd"], "systemd passed no sockets");
}
