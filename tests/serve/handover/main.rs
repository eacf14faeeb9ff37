//! A new process of the runner takes over from the old one, with the running program: clients notice nothing.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

#[path = "../sockets/certificate.rs"]
#[allow(dead_code, reason = "the tests of sockets use the rest")]
mod certificate;
mod faults;
mod listeners;
mod moves;
#[path = "../topics/peer.rs"]
#[allow(dead_code, reason = "the tests of topics use the rest")]
mod peer;
mod rooms;
mod stand_in;
#[path = "../swap/talker.rs"]
mod talker;
#[path = "../sockets/tls_client.rs"]
#[allow(dead_code, reason = "the tests of sockets use the rest")]
mod tls_client;
mod traffic;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use support::{Server, TIMEOUT, build_guest, target_folder, wasocket};

static GUEST: LazyLock<PathBuf> = LazyLock::new(|| build_guest("topics", ""));

/// The processes of one service, one after the other.
struct Service {
    /// The first process, and the log of all.
    server: Server,
    folder: PathBuf,
}

impl Service {
    /// Serves the component that the tests of topics use.
    fn start(test: &str, options: &[&str]) -> Self {
        Self::serving(test, &GUEST, options)
    }

    fn serving(test: &str, component: &Path, options: &[&str]) -> Self {
        let folder = private_folder(test);
        let place = format!("unix:{}", folder.join("handover.sock").display());
        let options = [options, &["--take-over-from", &place]].concat();
        let server = Server::serving(component, &options);
        Self { server, folder }
    }

    /// Where the next process is expected.
    fn post(&self) -> PathBuf {
        self.folder.join("handover.sock")
    }

    /// The process that serves, or that is about to.
    fn current(&self) -> u32 {
        let log = self.server.log();
        let started = log.split("started a process to take over pid=").skip(1);
        let number = |rest: &str| rest.split_whitespace().next()?.parse().ok();
        let started: Vec<u32> = started.filter_map(number).collect();
        let last = started.into_iter().rev().find(|process| is_there(*process));
        last.unwrap_or(self.server.id())
    }

    /// Sends a signal to the process that serves.
    fn signal(&self, name: &str) {
        signal(self.current(), name);
    }

    /// How often this has been logged.
    fn count(&self, text: &str) -> usize {
        self.server.log().matches(text).count()
    }

    /// Waits until this has been logged this number of times.
    fn wait_for(&self, text: &str, times: usize) {
        let start = Instant::now();
        while self.count(text) < times {
            assert!(
                start.elapsed() < 5 * TIMEOUT,
                "not {times} times {text:?} in {}",
                self.server.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Has a new process take over, and waits until the old one has ended.
    fn hand_over(&self) {
        let old = self.current();
        let before = self.count("taken over");
        signal(old, "USR2");
        self.wait_for("taken over", before + 1);
        assert_ne!(self.current(), old);
    }
}

/// An empty folder that only this user may write to.
fn private_folder(test: &str) -> PathBuf {
    let folder = target_folder(&format!("handover-{test}"));
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("it is ours");
    for entry in fs::read_dir(&folder).expect("a folder") {
        let _ = fs::remove_file(entry.expect("an entry").path());
    }
    folder
}

fn signal(process: u32, name: &str) {
    let arguments = [format!("-{name}"), process.to_string()];
    let status = Command::new("kill").args(arguments).status();
    assert!(status.expect("kill runs").success());
}

/// Whether a process runs.
fn is_there(process: u32) -> bool {
    fs::read_link(format!("/proc/{process}/exe")).is_ok()
}

/// Waits until a process has gone.
fn wait_for_end(process: u32) {
    let start = Instant::now();
    while is_there(process) {
        assert!(start.elapsed() < TIMEOUT, "{process} is still there");
        thread::sleep(Duration::from_millis(10));
    }
}

/// `wasocket serve` on a loopback port, with these options.
fn serve(options: &[&str]) -> Command {
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
    command.args(options);
    command
}
