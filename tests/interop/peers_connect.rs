//! `wasocket connect` against third-party servers. `tests/setup.sh` installs them, and `tests/peers/run` describes
//! them.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use support::connect::{command, connect, finish, start};
use support::{collect_lines, root};

/// The longest that a server may take to start, including its build at the first start.
const BUILD_TIMEOUT: Duration = Duration::from_secs(300);

/// A running server from `tests/peers`, stopped when dropped.
struct Peer {
    child: Child,
    url: String,
    log: Arc<Mutex<String>>,
}

impl Peer {
    fn start(name: &str) -> Self {
        let mut child = Command::new(root().join("tests/peers/run"))
            .args([name, "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tests/peers/run runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("text");
            // The test may have given up waiting.
            let _ = sender.send(line);
        });
        let log = collect_lines(child.stderr.take().expect("piped"));
        // Made before anything can panic, so that the server is stopped.
        let mut peer = Self {
            child,
            url: String::new(),
            log,
        };
        let line = line.recv_timeout(BUILD_TIMEOUT).expect("it starts");
        assert!(line.starts_with("ws://127.0.0.1:"), "no URL: {line:?}");
        line.trim_end().clone_into(&mut peer.url);
        peer
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("the server's stderr: {log:?}");
        }
    }
}

/// The features of a peer.
struct Abilities {
    compression: bool,
    close_reason: bool,
}

const ALL: Abilities = Abilities {
    compression: true,
    close_reason: true,
};
const NONE: Abilities = Abilities {
    compression: false,
    close_reason: false,
};

fn run(name: &str, abilities: &Abilities) {
    for options in [&[][..], &["--compress"]] {
        let compressed = abilities.compression && !options.is_empty();
        // A new one each time: it exits after 50 seconds, and the machine may be slow.
        let peer = Peer::start(name);
        lines_come_back(&peer, options, compressed);
        bytes_come_back(&peer, options, compressed);
        a_big_message_arrives(&peer, options, compressed);
    }
    let peer = Peer::start(name);
    options_shape_the_handshake(&peer);
    the_close_code_is_shown(&peer, abilities.close_reason);
    a_refusal_is_shown(&peer);
}

fn lines_come_back(peer: &Peer, options: &[&str], compressed: bool) {
    let long = noise(1_200_000);
    let long: String = long.iter().map(|b| char::from(b'0' + b / 4)).collect();
    let lines = [
        "short",
        "",
        "Gr\u{fc}\u{df}e, \u{4e16}\u{754c} \u{1f980}",
        "short", // again, to be compressed with context
        &"x".repeat(70_000),
        &long,
        "",
        "last",
    ];
    let lines = lines.join("\n") + "\n";
    let url = peer.url("/");
    let run = connect(&[&[url.as_str()], options].concat(), lines.as_bytes());
    run.assert_printed(&lines);
    run.assert_noted(", compressed", compressed);
    run.assert_noted("closed with 1000", true);
}

fn bytes_come_back(peer: &Peer, options: &[&str], compressed: bool) {
    let mut bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 16).collect();
    bytes.append(&mut noise(200_000));
    let url = peer.url("/");
    let run = connect(&[&[url.as_str(), "--binary"], options].concat(), &bytes);
    run.assert_printed(&bytes);
    run.assert_noted(", compressed", compressed);
}

/// Noise that repeats after 16 KiB: a compressor refers that far back only if the server allows it, which
/// Python's does not.
fn noise(length: u32) -> Vec<u8> {
    (0..length)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect()
}

fn a_big_message_arrives(peer: &Peer, options: &[&str], compressed: bool) {
    let big = "Gru\u{df} \u{4e16}\u{754c}\u{1f980}".repeat(1 << 16);
    assert_eq!(big.len(), 1 << 20);
    let url = peer.url("/big");
    let run = connect(&[&[url.as_str(), "--one-message"], options].concat(), b"");
    run.assert_printed(big + "\n");
    run.assert_noted(", compressed", compressed);
}

fn options_shape_the_handshake(peer: &Peer) {
    let url = peer.url("/");
    let run = connect(&[&url, "--subprotocol", "superchat,chat", "--ping"], b"x\n");
    run.assert_printed("x\n");
    run.assert_noted(", subprotocol chat\n", true);
    run.assert_noted("pong 1 after ", true);

    let run = connect(&[&url], b"");
    run.assert_printed("");
    run.assert_noted("subprotocol", false);
    run.assert_noted("pong", false);
}

fn the_close_code_is_shown(peer: &Peer, has_reason: bool) {
    let mut child = start(&mut command(&[&peer.url("/close")]));
    // As for an interactive user, stdin stays open.
    let stdin = child.stdin.take();
    let run = finish(child);
    drop(stdin);
    run.assert_failed(3, &["the server closed with 4321"]);
    run.assert_noted("4321: enough\n", has_reason);
}

fn a_refusal_is_shown(peer: &Peer) {
    let run = connect(&[&peer.url("/refuse")], b"");
    run.assert_failed(1, &["HTTP 403 Forbidden\nnot for you\n"]);
    run.assert_noted("connected", false);
}

#[test]
fn gorilla_websocket() {
    run("gorilla", &ALL);
}

#[test]
fn golang_x_net_websocket() {
    run("xnet", &NONE);
}

#[test]
fn npm_ws() {
    run("ws", &ALL);
}

#[test]
fn python_websockets() {
    run("python", &ALL);
}

#[test]
fn tokio_tungstenite() {
    let abilities = Abilities {
        close_reason: true,
        ..NONE
    };
    run("tungstenite", &abilities);
}
