//! Runs of `wasocket connect`.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use crate::process::wait_for_exit;
use crate::wasocket;

/// The result of a run.
pub struct Run {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of its output.
    pub stdout: Vec<u8>,
    /// All of its messages.
    pub stderr: String,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, size) = (self.code, self.stdout.len());
        // A failure should not print 1 MiB.
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
    /// It printed exactly this, and succeeded.
    #[track_caller]
    pub fn assert_printed(&self, stdout: impl AsRef<[u8]>) {
        let stdout = stdout.as_ref();
        let size = stdout.len();
        assert!(self.stdout == stdout, "expected {size} bytes: {self:?}");
        assert_eq!(self.code, Some(0), "{self:?}");
    }

    /// It failed with this exit code, and its messages contain each of these reasons.
    #[track_caller]
    pub fn assert_failed(&self, code: i32, reasons: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for reason in reasons {
            self.assert_noted(reason, true);
        }
    }

    /// Its messages contain this text, or do not.
    #[track_caller]
    pub fn assert_noted(&self, text: &str, is_noted: bool) {
        assert_eq!(self.stderr.contains(text), is_noted, "{text:?}: {self:?}");
    }
}

/// The environment variables that `wasocket connect` reads, in lower case for both cases.
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

/// `wasocket connect` with these arguments, and an environment without the variables it reads.
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

/// Runs `wasocket connect` to its end; all of `stdin` is available from the start.
pub fn connect(arguments: &[&str], stdin: &[u8]) -> Run {
    run(&mut command(arguments), stdin)
}

/// Runs a command to its end; all of `stdin` is available from the start.
pub fn run(command: &mut Command, stdin: &[u8]) -> Run {
    let mut child = start(command);
    let mut pipe = child.stdin.take().expect("piped");
    let stdin = stdin.to_vec();
    let writer = thread::spawn(move || {
        // The client may exit without reading all of it.
        let _ = pipe.write_all(&stdin);
    });
    let run = finish(child);
    writer.join().expect("the writer does not panic");
    run
}

/// Starts a command, with its standard streams piped.
pub fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Closes stdin and waits for the end; kills the process if it takes too long.
pub fn finish(mut child: Child) -> Run {
    drop(child.stdin.take());
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let status = wait_for_exit(&mut child);
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
