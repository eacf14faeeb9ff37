//! NATS and Redis, as servers of a test's own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::temporary_folder;

/// The longest that a server may take to start.
const START: Duration = Duration::from_secs(30);

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `nats-server`, with JetStream.
    Nats,
    /// `redis-server`, with an append-only file.
    Redis,
}

/// An engine on a free port, with its files in a temporary folder. Ends when it is dropped.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Engine {
    /// Starts one. `test`: a name for its folder, which no other test uses.
    pub fn start(kind: Kind, test: &str) -> Self {
        let folder = temporary_folder(&format!("engine-{test}-{kind:?}"));
        // Another process may take a port that has just been found free.
        for _ in 0..5 {
            let port = free_port();
            let mut child = spawn(kind, port, &folder);
            if is_up(&mut child, port) {
                return Self {
                    kind,
                    child,
                    port,
                    folder,
                };
            }
        }
        panic!("{kind:?} does not start: tests/setup.sh installs it");
    }

    /// The URL for `--bus`.
    pub fn url(&self) -> String {
        let scheme = match self.kind {
            Kind::Nats => "nats",
            Kind::Redis => "redis",
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Ends it without a warning, and starts it again on the same port with the same files.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        self.child = spawn(self.kind, self.port, &self.folder);
        assert!(is_up(&mut self.child, self.port), "it starts again");
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn spawn(kind: Kind, port: u16, folder: &Path) -> Child {
    let port = port.to_string();
    let mut command = match kind {
        Kind::Nats => {
            let mut command = Command::new("nats-server");
            command.args(["--addr", "127.0.0.1", "--port", &port, "--jetstream"]);
            command.arg("--store_dir").arg(folder);
            command
        }
        Kind::Redis => {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &port]);
            command.args(["--save", "", "--appendonly", "yes"]);
            command.arg("--dir").arg(folder);
            command
        }
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("tests/setup.sh installs it")
}

fn is_up(child: &mut Child, port: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < START {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}
