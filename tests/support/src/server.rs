//! The running server.

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::wait_for_exit;
use crate::{Site, TIMEOUT, collect_lines, kill_group, wasocket};

/// A running server on a free port, killed when dropped. A test that fails then shows its log.
pub struct Server {
    child: Child,
    site: Site,
    log: Arc<Mutex<String>>,
}

impl Deref for Server {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Server {
    /// Serves the default app.
    pub fn start() -> Self {
        Self::with_options(&[])
    }

    /// Serves this component.
    pub fn serving(component: &Path, options: &[&str]) -> Self {
        let component = component.to_str().expect("a path in UTF-8");
        let mut arguments = vec![component];
        arguments.extend(options);
        Self::with_options(&arguments)
    }

    /// Starts `wasocket serve` with these arguments.
    pub fn with_options(arguments: &[&str]) -> Self {
        // The tests send all kinds of `Host`.
        let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
        // Shorter than anyone would wait for the usual one.
        if !arguments.contains(&"--keep-alive-timeout") {
            command.args(["--keep-alive-timeout", "10"]);
        }
        Self::run(command.args(arguments))
    }

    /// Starts `wasocket serve` with these arguments, and with this as its stderr.
    pub fn logging_to(log: impl Into<Stdio>, arguments: &[&str]) -> Self {
        let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
        Self::run_logging_to(log, command.args(arguments))
    }

    /// Like [`run`](Self::run), with this as the program's stderr.
    pub fn run_logging_to(log: impl Into<Stdio>, program: &mut Command) -> Self {
        Self::spawn(program.stderr(log))
    }

    /// Starts a server whose first line of output has `http://ADDRESS/` or `https://ADDRESS/` in it.
    pub fn run(program: &mut Command) -> Self {
        Self::spawn(program.stderr(Stdio::piped()))
    }

    fn spawn(program: &mut Command) -> Self {
        let mut child = program
            // So that whatever it starts, as jco does, is killed with it.
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let log = child.stderr.take().map(collect_lines).unwrap_or_default();
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("the server prints where it listens");
        let address = line
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .and_then(|(address, _)| address.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Self {
            child,
            site: Site::at(address),
            log,
        }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the log contains `text`.
    pub fn wait_for_log(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < TIMEOUT, "no {text:?} in {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The resident memory of the process, in bytes (proc_pid_status(5), `VmRSS`).
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kilobytes.expect("a number of kB") * 1024
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the server to exit, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let status = wait_for_exit(&mut self.child).expect("the runner exits in time");
        status.code()
    }

    /// Runs a peer against this server; a failure shows the server's log, too.
    #[track_caller]
    pub fn assert_serves(&self, peer: &str, scheme: &str) {
        if let Err(output) = self.serves(peer, scheme) {
            panic!("{output}{}", self.log());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_group(&mut self.child);
        if thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}
