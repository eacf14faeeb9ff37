//! stdout: messages, while they arrive.

use std::io::{self, IsTerminal, Write};

use wasocket_host::bindings::Piece;
use wasocket_host::net::dial::error::printable;

/// Prints messages, as lines or unchanged.
#[derive(Debug)]
pub(super) struct Printer {
    is_binary: bool,
    is_terminal: bool,
    /// The size so far of a binary message that is not printed.
    skipped: u64,
}

impl Printer {
    /// `is_binary`: prints messages unchanged, without line breaks.
    pub(super) fn new(is_binary: bool) -> Self {
        Self {
            is_binary,
            is_terminal: io::stdout().is_terminal(),
            skipped: 0,
        }
    }

    /// Prints part of a message. Returns the size of a binary message that is not printed, at its end.
    ///
    /// # Errors
    ///
    /// If stdout cannot be written.
    pub(super) fn print(&mut self, part: &Piece) -> io::Result<Option<u64>> {
        if !self.is_binary && !part.is_text {
            return Ok(self.skip(part));
        }
        let mut stdout = io::stdout().lock();
        if !self.is_binary && self.is_terminal {
            // A server must not write escape sequences to a terminal; a pipe gets everything.
            let text = String::from_utf8_lossy(&part.bytes);
            stdout.write_all(printable(&text).as_bytes())?;
        } else {
            stdout.write_all(&part.bytes)?;
        }
        if !self.is_binary && part.last {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()?;
        Ok(None)
    }

    fn skip(&mut self, part: &Piece) -> Option<u64> {
        self.skipped = self.skipped.saturating_add(part.bytes.len() as u64);
        part.last.then(|| std::mem::take(&mut self.skipped))
    }
}
