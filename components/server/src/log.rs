//! The log, on stderr.

use alloc::format;
use core::fmt;

use wasi::cli::stderr::get_stderr;
use wasi::io::streams::OutputStream;

use crate::options::Verbosity;

/// The log. A line that does not fit into the stream is dropped, so that connections never wait for the log's reader.
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

    /// Logs a fault of the app, or a failure to start.
    pub(crate) fn error(&self, message: fmt::Arguments<'_>) {
        self.write("error", message);
    }

    /// Logs a temporary failure.
    pub(crate) fn warn(&self, message: fmt::Arguments<'_>) {
        if self.verbosity != Verbosity::Quiet {
            self.write("warning", message);
        }
    }

    /// Logs an event of a connection.
    pub(crate) fn debug(&self, message: fmt::Arguments<'_>) {
        if self.verbosity == Verbosity::Verbose {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: fmt::Arguments<'_>) {
        let line = format!("{level}: {message}\n");
        let has_room = |room: u64| usize::try_from(room).is_ok_and(|room| room >= line.len());
        if self.stderr.check_write().is_ok_and(has_room) {
            // Serve even if stderr is closed.
            let _ = self.stderr.write(line.as_bytes());
            let _ = self.stderr.flush();
        }
    }
}
