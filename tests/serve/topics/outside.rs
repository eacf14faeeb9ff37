//! Publishers and listeners that know nothing of this repository except `docs/design/engines.md`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use support::engine::{Engine, Kind};
use support::{TIMEOUT, root};

use crate::engines::{runners, wait_for_engine};
use crate::peer::Peer;

/// A client of NATS, made with Python's.
struct Python {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Python {
    /// Listens on one subject, and publishes on another.
    fn start(engine: &Engine, listen: &str, publish: &str) -> Self {
        let mut child = Command::new(root().join("target/peers/python/bin/python"))
            .arg(root().join("tests/peers/python/nats_room.py"))
            .args([&engine.url(), listen, publish])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/setup.sh installs it");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut python = Self {
            input: child.stdin.take().expect("piped"),
            lines: output.lines(),
            child,
        };
        assert_eq!(python.line(), "listening");
        python
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }

    fn publish(&mut self, text: &str) {
        writeln!(self.input, "{text}").expect("it reads");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_of_nats_is_in_a_room_without_history() {
    let engine = Engine::start(Kind::Nats, "outside");
    let runners = runners(&engine, 1);
    wait_for_engine(&runners);
    let mut peer = Peer::join(&runners[0], "/room%201.a");
    peer.socket.set_read_timeout(Some(TIMEOUT)).expect("a time");
    let subject = "wasocket.1.topic.room=25201=2Ea.message";
    let mut python = Python::start(&engine, subject, subject);
    peer.send("from a browser");
    assert_eq!(python.line(), "1 text from a browser");
    assert_eq!(peer.read(), "from a browser");
    python.publish("from Python");
    assert_eq!(python.line(), "- from Python");
    assert_eq!(peer.read(), "from Python");
}

#[test]
fn what_a_client_of_nats_publishes_is_in_history() {
    let engine = Engine::start(Kind::Nats, "outside-history");
    let runners = runners(&engine, 1);
    wait_for_engine(&runners);
    let mut peer = Peer::join(&runners[0], "/room?keep=10&position");
    let mut python = Python::start(
        &engine,
        "wasocket.1.topic.room.message",
        "wasocket.1.keep.room",
    );
    peer.send("first");
    assert_eq!(python.line(), "1 text first");
    let text = peer.read();
    let (position, text) = text.split_once('\n').expect("a position");
    assert_eq!(text, "first");
    python.publish("second");
    assert!(peer.read().ends_with("\nsecond"));
    let mut late = Peer::open(&runners[0], &format!("/room?after={position}"));
    assert!(late.wait_until_subscribed().1, "nothing is missing");
    assert_eq!(late.read(), "second");
}
