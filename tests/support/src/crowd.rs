//! Crowds of independent clients, which number publications and every message in both directions, and notice whatever is
//! lost, doubled, reordered or closed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::root;

/// The programs in tests/peers: each is 300 clients that stay, and some that come and go.
const PEERS: [&str; 3] = ["gorilla", "ws", "python"];

/// The number of clients that stay, in all crowds.
pub const STAYING: u64 = 900;

/// Clients made with one library.
struct Crowd {
    peer: &'static str,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    fn start(peer: &'static str, url: &str) -> Self {
        let mut child = Command::new(root().join("tests/peers/run"))
            .args([&format!("{peer}-crowd"), url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            peer,
            child,
            output,
        }
    }

    /// The next line, or why there is none.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        if line.is_empty() {
            let mut why = String::new();
            let mut stderr = self.child.stderr.take().expect("piped");
            stderr.read_to_string(&mut why).expect("text");
            panic!("{}: {why}", self.peer);
        }
        line
    }

    /// Lets it end. Returns what it has counted.
    fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let counted = serde_json::from_str(&self.line()).expect("JSON");
        assert!(self.child.wait().expect("it is ours").success());
        counted
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One crowd for each library.
pub struct Crowds(Vec<Crowd>);

impl Crowds {
    /// Starts them, and waits until all clients that stay are there.
    pub fn start(url: &str) -> Self {
        let mut crowds: Vec<_> = PEERS.iter().map(|peer| Crowd::start(peer, url)).collect();
        for crowd in &mut crowds {
            assert_eq!(crowd.line(), "ready\n");
        }
        Self(crowds)
    }

    /// Lets them end: none has noticed a fault, and each has had traffic to check.
    pub fn end(self) {
        for crowd in self.0 {
            let (peer, counted) = (crowd.peer, crowd.end());
            println!("{peer}: {counted}");
            for what in ["told", "said", "published", "heard", "pongs", "visits"] {
                assert!(counted[what].as_u64() > Some(100), "{peer}: {what}");
            }
        }
    }
}
