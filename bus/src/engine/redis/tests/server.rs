//! A Redis server of a test's own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::TIMEOUT;

use crate::engine::redis::{RedisConnector, Tuning};
use crate::settings::Settings;

/// A Redis server on a port of its own, with an append-only file in a folder of its own. Ends when it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(arguments: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = support::temporary_folder(&format!("redis-{number}"));
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        // Another process may take a port that has just been found free.
        for _ in 0..5 {
            let port = free_port();
            let child = spawn(port, &folder, &arguments);
            let mut server = Self {
                child,
                port,
                folder: folder.clone(),
                arguments: arguments.clone(),
            };
            if server.is_up() {
                return server;
            }
            let _ = server.child.kill();
            let _ = server.child.wait();
            std::mem::forget(server);
        }
        panic!("redis-server does not start: tests/setup.sh installs it");
    }

    /// `kill -9`, and a new process on the same port with the same file.
    pub(super) fn kill_and_restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.folder, &self.arguments);
        assert!(self.is_up(), "redis-server does not start again");
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `STOP`.
    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill");
        assert!(status.success());
    }

    pub(super) fn connector(&self) -> RedisConnector {
        self.connector_to(&format!("redis://127.0.0.1:{}", self.port))
    }

    pub(super) fn connector_to(&self, url: &str) -> RedisConnector {
        RedisConnector {
            settings: Settings::from_url(url).expect("a URL"),
            tuning: Tuning::default(),
        }
    }

    /// What `redis-cli` prints.
    pub(super) fn cli(&self, arguments: &[&str]) -> String {
        let output = self.cli_command().args(arguments).output();
        stdout(&output.expect("redis-cli: tests/setup.sh installs it"))
    }

    pub(super) fn cli_command(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        command
    }

    /// Whether it comes to serve. With TLS, it only has to listen.
    fn is_up(&mut self) -> bool {
        let is_plain = !self.arguments.iter().any(|text| text == "--tls-port");
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if self.child.try_wait().expect("the child is ours").is_some() {
                return false;
            }
            let listens = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if listens && (!is_plain || self.serves()) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn serves(&self) -> bool {
        let answer = self.cli(&["ping"]);
        answer.starts_with("PONG") || answer.starts_with("NOAUTH")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(port: u16, folder: &std::path::Path, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "yes", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdout(Stdio::null());
    command
        .spawn()
        .expect("redis-server: tests/setup.sh installs it")
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
