//! Signals that stop the runner.

use std::fmt;
use std::fs;
use std::future::pending;
use std::io;

use tokio::select;
use tokio::signal::unix::{self, SignalKind};

/// Ctrl-C, and the signals of service managers.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    /// SIGHUP, unless it has another meaning.
    hangup: Option<unix::Signal>,
}

impl Signals {
    /// Starts to catch the signals; SIGHUP only `with_hangup`, if it is to stop the runner too. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn catch(with_hangup: bool) -> io::Result<Self> {
        let with_hangup = with_hangup && !is_hangup_ignored();
        let hangup = with_hangup.then(|| unix::signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            () = received(self.hangup.as_mut()) => Signal::Hangup,
        }
    }
}

/// Whether the process was started to outlive its terminal, as by nohup (proc_pid_status(5), `SigIgn`).
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 != 0)
}

async fn received(signal: Option<&mut unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// A signal to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    Hangup,
}

impl Signal {
    /// The exit code of a process ended by this signal: 128 plus its number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}
