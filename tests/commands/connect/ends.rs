//! The end of a connection, and the exit code.

use std::io::{BufRead, BufReader, Read, Write};

use support::connect::{command, connect, finish, start};
use support::{Server, build_guest};

use super::servers::{answering, ignore_messages, read_frame, websocket};
use super::{interrupt, url};

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
    interrupt(&child);
    finish(child).assert_failed(130, &["closed with 1001", "SIGINT"]);
}

#[test]
fn an_unanswered_question_sets_the_exit_code() {
    let silent = || websocket(ignore_messages);
    connect(&[&silent()], b"x\n").assert_failed(4, &["no answer", "--wait"]);
    connect(&[&silent(), "--wait", "0"], b"x\n").assert_printed("");
    connect(&[&silent(), "--wait", "1", "--one-message"], b"").assert_failed(4, &["no answer"]);
    connect(&[&silent()], b"").assert_printed("");
}

/// The end has the reason that the user can do something about.
#[test]
fn the_limit_that_ended_a_connection_is_named() {
    let mute = websocket(|mut client| while read_frame(&mut client).0 != 0x88 {});
    let run = connect(&[&mute, "--listen", "--keepalive", "1"], b"");
    run.assert_failed(3, &["did not answer a ping", "--keepalive"]);

    // It takes the Close frame, and says no more.
    let rude = websocket(|mut client| drop(client.read_to_end(&mut Vec::new())));
    let run = connect(&[&rude, "--wait", "0"], b"");
    run.assert_failed(3, &["did not answer the Close frame in time (1006)"]);

    let long = websocket(|mut client| {
        let _ = client.write_all(&[0x82, 127, 0, 0, 0, 0, 0, 0x20, 0, 0]);
        read_frame(&mut client);
    });
    let run = connect(&[&long, "--max-message", "1"], b"");
    run.assert_failed(3, &["--max-message of 1 MiB"]);

    let server = Server::start();
    let long = vec![b'x'; 4 << 20];
    let run = connect(&[&url(&server, "/echo")], &long);
    run.assert_failed(
        3,
        &["the server closed with 1009 (a message exceeds its limit)"],
    );
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
