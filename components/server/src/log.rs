//! The log, on stderr.

use alloc::format;
use core::cell::Cell;
use core::fmt;

use wasi::cli::stderr::get_stderr;
use wasi::io::streams::OutputStream;

use crate::options::Verbosity;

/// The most lines about refused clients in a time, in nanoseconds, so that a flood of them does not fill the disk.
const MAX_REFUSALS: u32 = 10;
const REFUSALS_TIME: u64 = 10_000_000_000;

/// The log. A line that does not fit into the stream is dropped, so that connections never wait for the log's reader.
pub(crate) struct Log {
    stderr: OutputStream,
    verbosity: Verbosity,
    refusals: Cell<Refusals>,
}

/// The lines about refusals in the current time.
#[derive(Clone, Copy, Default)]
struct Refusals {
    end: u64,
    lines: u32,
    suppressed: u32,
}

impl Log {
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        Self {
            stderr: get_stderr(),
            verbosity,
            refusals: Cell::default(),
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

    /// Logs why a client was refused. Beyond ten lines in ten seconds, refusals are counted, and the number is in the next
    /// line.
    pub(crate) fn refusal(&self, now: u64, message: fmt::Arguments<'_>) {
        let mut refusals = self.refusals.get();
        if now >= refusals.end {
            refusals.end = now.saturating_add(REFUSALS_TIME);
            refusals.lines = 0;
        }
        if refusals.lines < MAX_REFUSALS {
            refusals.lines += 1;
            match refusals.suppressed {
                0 => self.warn(message),
                number => self.warn(format_args!("{message} ({number} refusals not logged)")),
            }
            refusals.suppressed = 0;
        } else {
            refusals.suppressed = refusals.suppressed.saturating_add(1);
        }
        self.refusals.set(refusals);
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
