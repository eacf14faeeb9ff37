//! What stderr is told.

use alloc::format;
use core::fmt;

use wasi::cli::stderr::get_stderr;
use wasi::io::streams::OutputStream;

use crate::options::Verbosity;

/// The log. A line for which there is no room is lost: nobody waits for who reads it.
pub(crate) struct Log {
    stderr: OutputStream,
    verbosity: Verbosity,
}

impl Log {
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        Self {
            stderr: get_stderr(),
            verbosity,
        }
    }

    /// Something is wrong with the app, or the server cannot begin.
    pub(crate) fn error(&self, message: fmt::Arguments<'_>) {
        self.write("error", message);
    }

    /// Something does not work for now.
    pub(crate) fn warn(&self, message: fmt::Arguments<'_>) {
        if self.verbosity != Verbosity::Quiet {
            self.write("warning", message);
        }
    }

    /// What becomes of each connection.
    pub(crate) fn debug(&self, message: fmt::Arguments<'_>) {
        if self.verbosity == Verbosity::Verbose {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: fmt::Arguments<'_>) {
        let line = format!("{level}: {message}\n");
        let has_room = |room: u64| usize::try_from(room).is_ok_and(|room| room >= line.len());
        if self.stderr.check_write().is_ok_and(has_room) {
            // Nobody may be reading; that is no reason not to serve.
            let _ = self.stderr.write(line.as_bytes());
            let _ = self.stderr.flush();
        }
    }
}
