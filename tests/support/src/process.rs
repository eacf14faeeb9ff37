//! Processes that tests start.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::TIMEOUT;

/// Kills a process that leads a process group, and the whole group with it.
pub fn kill_group(leader: &mut Child) {
    // Before `wait`, so that the process id cannot be another's.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", leader.id())])
        .stderr(Stdio::null())
        .status();
    let _ = leader.wait();
}

/// Waits for a process to exit; `None` if it is still running after [`TIMEOUT`].
pub(crate) fn wait_for_exit(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Collects what is written to a pipe, line by line, on a thread.
pub fn collect_lines(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(log, "{line}");
        }
    });
    log
}
