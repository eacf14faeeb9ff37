//! Lines, messages and pings.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use support::Server;
use support::connect::{command, connect, finish, start};

use super::servers::{accept, ignore_messages, read_frame, websocket};
use super::{interrupt, url};

#[test]
fn lines_become_messages_and_messages_become_lines() {
    let server = Server::start();
    let run = connect(
        &[&url(&server, "/echo")],
        "a\n\n\u{e4} b\r\nlast".as_bytes(),
    );
    run.assert_printed("a\n\n\u{e4} b\nlast\n");
    assert!(run.stderr.contains("connected to ws://"), "{run:?}");
    assert!(run.stderr.contains("closed with 1000"), "{run:?}");

    let run = connect(&[&url(&server, "/"), "--quiet"], b"hi\n");
    run.assert_printed("Received:  hi\n");
    assert_eq!(run.stderr, "");
}

#[test]
fn the_end_of_stdin_loses_nothing() {
    let server = Server::start();
    let lines: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    for option in ["--quiet", "--compress"] {
        let run = connect(&[&url(&server, "/echo"), option], lines.as_bytes());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout == lines.as_bytes(), "{option}: lines differ");
    }
    connect(&[&url(&server, "/echo")], b"").assert_printed("");
}

#[test]
fn waits_for_a_slow_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    let server = thread::spawn(move || answer_late(&listener));
    connect(&[&url], b"x\n").assert_printed("late\n");
    server.join().expect("the server gets what it expects");
}

/// A server that answers a Ping before the message that preceded it, and sends nothing more once it is closed.
fn answer_late(listener: &TcpListener) {
    let (mut client, _) = accept(listener);
    assert_eq!(read_frame(&mut client), (0x81, b"x".to_vec()));
    let (opcode, payload) = read_frame(&mut client);
    assert_eq!(opcode, 0x89);
    let length = u8::try_from(payload.len()).expect("short");
    let pong = [&[0x8a, length][..], &payload].concat();
    client.write_all(&pong).expect("it reads");
    thread::sleep(Duration::from_millis(50));
    client.write_all(b"\x81\x04late").expect("it reads");
    assert_eq!(read_frame(&mut client), (0x88, vec![0x03, 0xe8]));
    client.write_all(&[0x88, 0]).expect("it reads");
}

#[test]
fn binary_is_sent_and_printed_unchanged() {
    let server = Server::start();
    let bytes: Vec<u8> = (0..1_000_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let run = connect(&[&url(&server, "/echo"), "--binary"], &bytes);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout == bytes, "the bytes differ");
}

#[test]
fn invalid_utf8_is_not_sent_as_text() {
    let server = Server::start();
    let run = connect(&[&url(&server, "/echo")], b"\xff\n");
    run.assert_failed(1, &["not UTF-8", "--binary"]);
}

#[test]
fn exits_after_one_message() {
    let server = Server::start();
    let run = connect(
        &[&url(&server, "/echo"), "--one-message"],
        b"first\nsecond\n",
    );
    run.assert_printed("first\n");

    // As for an interactive user, stdin stays open.
    let mut child = start(&mut command(&[&url(&server, "/echo"), "--one-message"]));
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"open\n").expect("it reads");
    finish(child).assert_printed("open\n");
}

#[test]
fn listens_without_stdin() {
    let url = websocket(|mut client| {
        // As long as stdin would be waited for without `--listen`, and longer.
        thread::sleep(Duration::from_millis(500));
        client
            .write_all(b"\x81\x03one\x81\x03two")
            .expect("it reads");
        ignore_messages(client);
    });
    let mut child = start(&mut command(&[&url, "--listen"]));
    drop(child.stdin.take());
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for line in ["one", "two"] {
        assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some(line));
    }
    interrupt(&child);
    finish(child).assert_failed(130, &[]);
}

#[test]
fn stays_as_long_as_it_is_told_to() {
    let url = websocket(|mut client| {
        read_frame(&mut client);
        thread::sleep(Duration::from_millis(700));
        client.write_all(b"\x81\x04late").expect("it reads");
        ignore_messages(client);
    });
    connect(&[&url, "--wait", "2"], b"x\n").assert_printed("late\n");
}

/// More than fits into the memory of the component, if it were kept.
#[test]
fn long_messages_are_printed_while_they_arrive() {
    const SIZE: usize = 48 << 20;
    let url = websocket(|mut client| {
        let size = u64::try_from(SIZE).expect("fits").to_be_bytes();
        client
            .write_all(&[&[0x82, 127][..], &size].concat())
            .expect("it reads");
        client.write_all(&vec![b'x'; SIZE]).expect("it reads");
        client.write_all(&[0x81, 0]).expect("it reads");
        ignore_messages(client);
    });
    let run = connect(&[&url, "--binary"], b"");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout == vec![b'x'; SIZE], "{} bytes", run.stdout.len());
}

#[test]
fn ping_times_are_shown() {
    let server = Server::start();
    let run = connect(&[&url(&server, "/echo"), "--ping"], b"");
    run.assert_printed("");
    assert!(run.stderr.contains("pong 1 after "), "{run:?}");

    let mut child = start(&mut command(&[&url(&server, "/echo"), "--ping=1"]));
    let stdin = child.stdin.take().expect("piped");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut lines = stderr.lines().map_while(Result::ok);
    for pong in ["pong 1 after ", "pong 2 after "] {
        assert!(lines.any(|line| line.starts_with(pong)), "no {pong:?}");
    }
    drop(stdin);
    finish(child).assert_printed("");
}
