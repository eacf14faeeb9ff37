//! The log, on stderr.

use alloc::format;
use core::fmt;

use wasi::cli::stderr::get_stderr;
use wasi::io::streams::OutputStream;

use crate::options::Verbosity;

/// The log. A line that does not fit is lost: no connection waits for the reader.
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

    /// The course of each connection.
    pub(crate) fn debug(&self, message: fmt::Arguments<'_>) {
        if self.verbosity == Verbosity::Verbose {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: fmt::Arguments<'_>) {
        let line = format!("{level}: {message}\n");
        let has_room = |room: u64| usize::try_from(room).is_ok_and(|room| room >= line.len());
        if self.stderr.check_write().is_ok_and(has_room) {
            // Without a reader the server still serves.
            let _ = self.stderr.write(line.as_bytes());
            let _ = self.stderr.flush();
        }
    }
}
