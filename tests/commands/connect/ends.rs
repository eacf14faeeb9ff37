//! The end of a connection, and the exit code.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use support::connect::{command, connect, finish, start};
use support::{Server, build_guest};

use super::servers::answering;
use super::url;

#[test]
fn an_abnormal_end_sets_the_exit_code() {
    let faults = Server::serving(&build_guest("faults", "bare"), &[]);
    connect(&[&url(&faults, "/")], b"trap\n").assert_failed(3, &["1011"]);

    let server = Server::start();
    let long = vec![b'x'; 4 << 20];
    connect(&[&url(&server, "/echo")], &long).assert_failed(3, &["1009"]);

    let run = connect(&[&answering(b"HTTP/1.1 101 x\r\n\r\n")], b"");
    run.assert_failed(1, &["no WebSocket"]);
    connect(&[&answering(b"")], b"").assert_failed(1, &["no WebSocket"]);
}

#[test]
fn an_interrupt_closes_the_connection() {
    let server = Server::start();
    let mut child = start(&mut command(&[&url(&server, "/echo")]));
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"up\n").expect("it reads");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    assert_eq!(line, "up\n");
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &id]).status();
    assert!(status.expect("kill runs").success());
    let run = finish(child);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("closed with 1001"), "{run:?}");
}

#[test]
fn a_closed_stdout_closes_the_connection() {
    let server = Server::start();
    let mut child = start(&mut command(&[&url(&server, "/echo")]));
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"x\n").expect("it reads");
    let run = finish(child);
    assert_eq!(run.code, Some(0), "{run:?}");
}
