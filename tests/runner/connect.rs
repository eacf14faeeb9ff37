//! Runs of `wasocket connect`.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::{wait, wasocket};

/// What a run came to.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, size) = (self.code, self.stdout.len());
        // Nobody wants to read 1 MiB.
        let start = self.stdout.get(..1000).unwrap_or(&self.stdout);
        let start = String::from_utf8_lossy(start);
        let stderr = &self.stderr;
        write!(
            f,
            "exit code {code:?}, {size} bytes {start:?}, stderr {stderr:?}"
        )
    }
}

impl Run {
    #[track_caller]
    pub fn assert_printed(&self, stdout: impl AsRef<[u8]>) {
        let stdout = stdout.as_ref();
        let size = stdout.len();
        assert!(self.stdout == stdout, "not the {size} bytes: {self:?}");
        assert_eq!(self.code, Some(0), "{self:?}");
    }

    #[track_caller]
    pub fn assert_failed(&self, code: i32, reasons: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for reason in reasons {
            self.assert_noted(reason, true);
        }
    }

    /// stderr has this text, or has it not.
    #[track_caller]
    pub fn assert_noted(&self, text: &str, is_noted: bool) {
        assert_eq!(self.stderr.contains(text), is_noted, "{text:?}: {self:?}");
    }
}

/// What of the environment `wasocket connect` reads. Names in lower case stand for both cases.
const ENVIRONMENT: &[&str] = &[
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ssl_cert_dir",
    "ssl_cert_file",
    "ws_proxy",
    "wss_proxy",
];

/// `wasocket connect` with these arguments, and nothing in the environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = wasocket(&["connect"]);
    command.args(arguments);
    for name in ENVIRONMENT {
        command
            .env_remove(name)
            .env_remove(name.to_ascii_uppercase());
    }
    command
}

/// Runs it to its end; all of `stdin` is there from the start.
pub fn connect(arguments: &[&str], stdin: &[u8]) -> Run {
    run(&mut command(arguments), stdin)
}

pub fn run(command: &mut Command, stdin: &[u8]) -> Run {
    let mut child = start(command);
    let mut pipe = child.stdin.take().expect("piped");
    let stdin = stdin.to_vec();
    let writer = thread::spawn(move || {
        // The client may have had enough before.
        let _ = pipe.write_all(&stdin);
    });
    let run = finish(child);
    writer.join().expect("the writer does not panic");
    run
}

pub fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Waits for the end, and kills what does not end.
pub fn finish(mut child: Child) -> Run {
    drop(child.stdin.take());
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let status = wait(&mut child);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = |reader: Option<JoinHandle<Vec<u8>>>| {
        let reader = reader.map(JoinHandle::join).transpose();
        reader.expect("no panic").unwrap_or_default()
    };
    let run = Run {
        code: status.and_then(|status| status.code()),
        stdout: read(stdout),
        stderr: String::from_utf8_lossy(&read(stderr)).into_owned(),
    };
    assert!(status.is_some(), "too slow: {run:?}");
    run
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = vec![];
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}
