//! SIGUSR2 starts the program again, as it is on disk now: the new process takes over from this one.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use tokio::signal::unix::Signal;

/// What a service manager has said of this process, and not of the next one.
const OWN: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// This program and its arguments, as it was started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    is_running: Arc<AtomicBool>,
}

impl Program {
    /// Must be called before the file may have been replaced.
    ///
    /// # Errors
    ///
    /// If the system does not tell which file it is.
    pub(crate) fn own() -> io::Result<Self> {
        Ok(Self {
            path: env::current_exe()?,
            arguments: env::args_os().skip(1).collect(),
            is_running: Arc::default(),
        })
    }

    /// Starts it, unless one that was started before still runs.
    fn start(&self) {
        if self.is_running.swap(true, Relaxed) {
            tracing::warn!("SIGUSR2: a process was started already, and still runs");
            return;
        }
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        for name in OWN {
            command.env_remove(name);
        }
        match command.spawn() {
            Ok(child) => {
                tracing::info!(pid = child.id(), "SIGUSR2: started a process to take over");
                self.watch(child);
            }
            Err(error) => {
                self.is_running.store(false, Relaxed);
                let path = self.path.display();
                tracing::error!("SIGUSR2: cannot start {path}, this process goes on: {error}");
            }
        }
    }

    /// Waits for its end, which should come after that of this process.
    fn watch(&self, mut child: Child) {
        let is_running = Arc::clone(&self.is_running);
        let wait = move || {
            if let Ok(status) = child.wait() {
                tracing::error!("the process that was to take over has ended: {status}");
            }
            is_running.store(false, Relaxed);
        };
        if let Err(error) = thread::Builder::new().name("successor".into()).spawn(wait) {
            tracing::warn!("the end of the process that takes over will not be noticed: {error}");
        }
    }
}

/// Starts the program at each of these signals; never returns. `program`: `None` if this process cannot be taken over from.
pub(crate) async fn follow_signals(mut signals: Signal, program: Option<Program>) {
    while signals.recv().await.is_some() {
        match &program {
            Some(program) => program.start(),
            None => tracing::error!(
                "SIGUSR2: another process can take over only if this one was started with --take-over-from unix:PATH"
            ),
        }
    }
    std::future::pending().await
}
